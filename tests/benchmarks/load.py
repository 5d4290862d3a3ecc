"""The app under many visitors at once, and under one after another for an hour: latencies, turns in the queue, memory.

TRAJECTORY_SOAK_SONGS and TRAJECTORY_SOAK_SECONDS make the hour with 200 songs shorter.
"""

import asyncio
import os
import re
import statistics
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import numpy as np
import psutil
from playwright.sync_api import Browser

from tests import audio_files
from tests.benchmarks.forecasts import Row, verdict
from tests.browser.serving import chromium_drawing_in_software, served
from tests.faults.killing import launchers, workers_of
from tests.visitor import Visitor
from trajectory.library import Library

SESSIONS = 20
SONGS = int(os.environ.get("TRAJECTORY_SOAK_SONGS", "200"))
SECONDS = float(os.environ.get("TRAJECTORY_SOAK_SECONDS", "3600"))
FIRST_SONGS = 20  # after which memory may grow no more
SETTLE_SECONDS = 10.0  # before memory is compared
PATIENCE = 900.0  # seconds that one of many visitors waits for a training
LOOK_SECONDS = 0.5  # between two looks at memory
MB = 1e6


@dataclass
class Walls:
    """Seconds that visitors waited, by what for."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    requests: int = 0
    asked_again: int = 0

    def rows(self, target: str) -> list[Row]:
        return [(what, target, f"{told(walls)}, {len(walls)} times", "-") for what, walls in self.seconds.items()]


def told(walls: list[float]) -> str:
    return f"median {statistics.median(walls):.2f} s, p95 {np.percentile(walls, 95):.2f}, worst {max(walls):.2f}"


async def visit(address: str, song: bytes, walls: Walls) -> str:
    """Upload, train, explore, forecast, export; gives the song's id."""

    async def timed(what: str, waiting: Any) -> None:
        walls.seconds[what].append(await waiting)

    async with Visitor.at(address) as visitor:
        await timed("page Listen", visitor.goto(""))
        await timed("upload, to the preview", visitor.drop("song.wav", song, on="Drop a song"))
        both = lambda: visitor.says("Explore it") and "progress" not in visitor.kinds()  # noqa: E731
        await timed("both trainings, waiting included", visitor.until(both, PATIENCE))
        name = parse_qs(visitor.query)["song"][0]
        await timed("page Explore", visitor.goto("explore"))
        assert await visitor.fetch(f"/sound/{name}") == song
        await timed("page Forecast", visitor.goto("forecast"))
        await timed("the forecasts", visitor.until(lambda: not visitor.says("hourglass"), PATIENCE))
        await timed("page Export", visitor.goto("export"))
        await timed("numbers, and a page", visitor.click("Numbers for Python"))
        await timed("numbers, and a page", visitor.click("A page that opens anywhere"))
        assert all([await visitor.fetch(path) for path in visitor.downloads()])
        await visitor.choose("What", "Poster (PNG)")
        await visitor.click("Make it")
        await timed("a poster, waiting included", visitor.until(lambda: visitor.says("It is made"), PATIENCE))
        await timed("page Library", visitor.goto("library"))
        refused = [words for words in visitor.words() if re.search("failed|start it again|went wrong|try again", words)]
        assert not refused, refused
        walls.requests += visitor.requests
        walls.asked_again += visitor.asked_again
    return name


# --- Many at once


def crowd(_pool: ProcessPoolExecutor) -> tuple[list[Row], Any]:
    """Twenty visitors who come within a few seconds, one of them in a browser."""
    walls, songs = Walls(), [audio_files.tune(number, seconds=5 + number / 4) for number in range(SESSIONS)]
    with tempfile.TemporaryDirectory() as folder:
        home, book = Path(folder), Path(folder) / "queue.txt"
        os.environ["QUEUE_BOOK"] = str(book)
        with (
            served(home, module="tests.benchmarks.watching") as app,
            chromium_drawing_in_software() as browser,
            memory_of(app.process) as memory,
            ThreadPoolExecutor(1) as apart,  # the browser's own loop runs in this thread
        ):
            began = time.perf_counter()
            others = apart.submit(asyncio.run, _crowd(app.address, songs[1:], walls))
            _browsed(app.address, browser, home, songs[0], others)
            names = others.result()
            took = time.perf_counter() - began
        library = Library(home)
        whole = [name for name in names if len([library.run(run.id) for run in library.runs_of(name)]) >= 2]
        entries = [line.split() for line in book.read_text().splitlines()]
    states = [state for _, state, *_ in entries]
    lost = states.count("asked") - states.count("done")
    late, waits = turns(entries)
    rows: list[Row] = [
        (f"{SESSIONS} visits at once", "all whole", f"{len(whole) + 1} in {took:.0f} s", verdict(len(whole) == SESSIONS - 1)),
        ("jobs lost", "none", f"{lost} of {states.count('asked')}", verdict(lost == 0)),
        ("pieces of work that another's stepped before out of turn", "none", f"{late} of {len(waits)}", verdict(late == 0)),
        ("waiting in the queue", "-", told(waits), "-"),
        ("requests of the visitors at the protocol", "-", f"{walls.requests}", "-"),
        ("pages that had to be asked for twice", "-", f"{walls.asked_again}", "-"),
        *walls.rows("-"),
        *memory.rows(),
    ]
    return rows, [list(row) for row in rows]


async def _crowd(address: str, songs: list[bytes], walls: Walls) -> list[str]:
    async def one(number: int, song: bytes) -> str:
        await asyncio.sleep(number / 4)
        return await visit(address, song, walls)

    return await asyncio.gather(*(one(number, song) for number, song in enumerate(songs)))


def _browsed(address: str, browser: Browser, home: Path, song: bytes, others: "Future[Any]") -> None:
    """The one who really looks: the same visit, as far as a player needs a browser."""
    page = browser.new_page(base_url=address, viewport={"width": 1440, "height": 900})
    page.set_default_timeout(1000 * PATIENCE)
    idle = page.locator("[data-testid=stApp][data-test-script-state=notRunning]")
    file = home / "dropped.wav"
    file.write_bytes(song)
    page.goto("/")
    idle.wait_for()
    page.locator("input[type=file]").set_input_files(file)
    page.get_by_role("link", name="Explore it").click()
    page.wait_for_function("window.__trajectoryPlayers?.get('explore')?.ready()")
    page.get_by_role("button", name="Play").first.click()
    page.wait_for_function("window.__trajectoryPlayers.get('explore').audio.currentTime > 2")
    page.get_by_role("link", name="Forecast").first.click()
    page.get_by_text("what came").first.wait_for()
    page.get_by_role("link", name="Export").first.click()
    page.get_by_role("tab", name="Data").click()
    page.get_by_role("button", name=re.compile("^.*Numbers for Python")).click()
    page.get_by_role("button", name=re.compile("^Download .*npz")).wait_for()
    while not others.done():
        page.wait_for_timeout(500)
    page.close()


def turns(entries: list[list[str]]) -> tuple[int, list[float]]:
    """How many trainings and films began later than was their turn, and the seconds that each waited.

    Whoever asks for a piece of work, having `ahead` of their own before it, waits for no more than `ahead` + 1 pieces of any other owner
    that begin meanwhile, and one that was on its way to a worker already.
    """
    asked: dict[str, tuple[float, str]] = {}
    began: dict[str, float] = {}
    over: dict[str, float] = {}
    for moment, state, kind, job, owner in entries:
        if kind == "training":
            if state == "asked":
                asked[job] = float(moment), owner
            elif state == "began":
                began.setdefault(job, float(moment))
            else:
                over[job] = float(moment)
    late = 0
    for job, (moment, owner) in asked.items():
        ahead = sum(whose == owner and at < moment < over.get(one, moment) for one, (at, whose) in asked.items() if one != job)
        others: dict[str, int] = defaultdict(int)
        for one, (_, whose) in asked.items():
            if whose != owner and moment < began.get(one, -1.0) < began[job]:
                others[whose] += 1
        late += max(others.values(), default=0) > ahead + 2
    return late, [began[job] - asked[job][0] for job in began if job in asked]


# --- One after another


def soak(_pool: ProcessPoolExecutor) -> tuple[list[Row], Any]:
    """Songs that come evenly for an hour: what memory the app and its workers have at the end, against that after the first of them."""
    walls = Walls()
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as app, memory_of(app.process) as memory:
        early, late, curve = asyncio.run(_soaked(app.address, walls, memory.now))
    rows: list[Row] = [(f"{SONGS} songs one after another", "-", f"{walls.requests} requests", "-"), *walls.rows("-")]
    for who in early:
        grown = late[who] / early[who] - 1
        measured = f"{early[who]:.0f} MB after {FIRST_SONGS} songs, {late[who]:.0f} MB at the end ({grown:+.1%})"
        rows.append((f"resident memory of {who}", "within 10 %", measured, verdict(grown < 0.1)))
    return rows, {"rows": [list(row) for row in rows], "curve": curve}


async def _soaked(
    address: str, walls: Walls, memory: Callable[[], dict[str, float]]
) -> tuple[dict[str, float], dict[str, float], list[dict[str, float]]]:
    curve, early, began = [], {}, time.monotonic()
    for number in range(SONGS):
        await visit(address, audio_files.tune(number, seconds=5 + number % 20 / 4), walls)
        curve.append(memory() | {"songs": number + 1, "seconds": time.monotonic() - began})
        if number + 1 == FIRST_SONGS:
            await asyncio.sleep(SETTLE_SECONDS)
            early = memory()
        await asyncio.sleep(max(0.0, began + (number + 1) * SECONDS / SONGS - time.monotonic()))
    await asyncio.sleep(SETTLE_SECONDS)
    return early, memory(), curve


# --- Memory


@dataclass
class Memory:
    """Resident megabytes of an app's processes, and the most that each had."""

    app: psutil.Process
    most: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def now(self) -> dict[str, float]:
        found = {"the app": self.app}
        found |= dict(zip(["the scheduler"], launchers(self.app), strict=False))
        found |= {f"worker {number}": each for number, each in enumerate(sorted(workers_of(self.app), key=lambda each: each.pid))}
        sizes = {}
        for who, process in found.items():
            try:
                sizes[who] = process.memory_info().rss / MB
            except psutil.NoSuchProcess:
                continue
            self.most[who] = max(self.most[who], sizes[who])
        return sizes

    def rows(self) -> list[Row]:
        limits = {"the app": 1_000.0}
        return [
            (f"most resident memory of {who}", f"< {limit:,.0f} MB", f"{most:.0f} MB", verdict(most < limit))
            for who, most in self.most.items()
            for limit in [limits.get(who, 1_500.0)]
        ]


@contextmanager
def memory_of(process: int) -> Iterator[Memory]:
    """Looks all the while."""
    memory, over = Memory(psutil.Process(process)), threading.Event()

    def look() -> None:
        while not over.wait(LOOK_SECONDS):
            memory.now()

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    try:
        yield memory
    finally:
        over.set()
        looking.join()
