"""The app in a real browser that draws in software, on the same cores as its workers."""

import asyncio
import dataclasses
import statistics
import tempfile
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Browser, Page

from tests.benchmarks.forecasts import Row, verdict
from tests.benchmarks.music import CLIPS
from tests.browser.serving import Served, chromium_drawing_in_software, served
from tests.visitor import Visitor
from trajectory.library import Library
from trajectory.records import Trajectory
from trajectory.runs import Run

# The page's own clock says when it painted what was waited for: Playwright asks at ever longer intervals, up to half a second.
PAINTED = """async () => {
  const places = () => [document, ...[...document.querySelectorAll("*")].flatMap((each) => each.shadowRoot ?? [])];
  const frame = () => new Promise(requestAnimationFrame);
  while (!(%s)) await frame();
  await frame();
  await new Promise((resolve) => setTimeout(resolve));
  return performance.now() / 1000;
}"""
SAYS = "document.body?.innerText.match(/%s/)"
SHOWS = "places().some((place) => place.querySelector('%s'))"
PLAYABLE = "window.__trajectoryPlayers?.get('listen')?.shown()"
NOW = "performance.now() / 1000"
IDLE = "[data-testid=stApp][data-test-script-state=notRunning]"
SESSIONS = 10
CHOOSING_MS = 2_000  # what a visitor takes, at the least, to choose a file
LISTEN = """async seconds => {
  const player = window.__trajectoryPlayers.get("explore"), seen = [];
  player.stats.clear();
  for (const until = performance.now() + 1000 * seconds; performance.now() < until;) {
    await new Promise(requestAnimationFrame);
    seen.push([player.audio.currentTime, player.drawn()]);
  }
  return { seen, stats: player.stats.summary() };
}"""


def app(_pool: ProcessPoolExecutor) -> tuple[list[Row], Any]:
    """Everything that a visitor waits for."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        with served(home) as where, chromium_drawing_in_software() as browser:
            rows = [*_first_paint(where, browser), *_upload(where, browser), *_switching(where, browser)]
            rows += [*_playing(where, browser), *_two_long_scenes(where, browser, home), *_crowd(where, browser)]
            memory = _megabytes(where.process)
            rows.append(("memory of the app's process, no upload in flight", "< 400 MB", f"{memory:.0f} MB", verdict(memory < 400)))
    return rows, [list(row) for row in rows]


def _page(where: Served, browser: Browser) -> Page:
    page = browser.new_page(base_url=where.address, viewport={"width": 1440, "height": 900})
    page.set_default_timeout(120_000)
    return page


def _painted(page: Page, there: str) -> float:
    """When the page painted what it waited for, by its own clock."""
    return float(page.evaluate(PAINTED % there))


def _first_paint(where: Served, browser: Browser) -> list[Row]:
    walls = []
    for _ in range(3):
        page = _page(where, browser)
        page.goto("/", wait_until="commit")
        walls.append(_painted(page, SAYS % "See the shape of music"))  # its clock begins with the navigation
        page.close()
    wall = statistics.median(walls)
    return [("first meaningful paint", "< 1.5 s", f"{wall:.2f} s", verdict(wall < 1.5))]


def _upload(where: Served, browser: Browser) -> list[Row]:
    """From the end of the upload of a 30 s song; the browser draws the forming all the while."""
    page = _page(where, browser)
    page.goto("/")
    page.locator(IDLE).wait_for()
    page.wait_for_timeout(CHOOSING_MS)
    page.locator("input[type=file]").set_input_files(CLIPS[2])
    began = page.evaluate(NOW)
    preview = _painted(page, PLAYABLE) - began
    first = _painted(page, SAYS % "Explore it") - began
    both = _painted(page, "!" + SHOWS % "[data-testid=stProgress]") - began
    page.close()
    return [
        ("from the upload to the preview", "< 1.5 s", f"{preview:.2f} s", verdict(preview < 1.5)),
        ("from the upload to the conditioned path", "-", f"{first:.1f} s", "-"),
        ("from the upload to both models", "< 10 s", f"{both:.1f} s", verdict(both < 10)),
    ]


def _switching(where: Served, browser: Browser) -> list[Row]:
    page = _page(where, browser)
    page.goto("/explore")
    page.wait_for_function("window.__trajectoryPlayers?.get('explore')?.ready()")
    page.evaluate(f"addEventListener('click', () => window.clicked = {NOW}, true)")
    walls = []
    for _ in range(3):
        for name, seen in (
            ("Library", "document.querySelector('h1')?.textContent.includes('Library')"),
            ("Explore", SHOWS % ".trajectory-player"),
        ):
            page.locator(IDLE).wait_for()
            page.get_by_role("link", name=name).first.click()
            walls.append(_painted(page, seen) - page.evaluate("clicked"))
    page.close()
    wall = statistics.median(walls)
    return [("page switch", "< 0.3 s", f"{wall:.2f} s (worst {max(walls):.2f})", verdict(wall < 0.3))]


def _playing(where: Served, browser: Browser) -> list[Row]:
    """Ten seconds at 1x of 1,300 points."""
    page = _page(where, browser)
    page.goto("/explore")
    page.wait_for_function("window.__trajectoryPlayers?.get('explore')?.ready()")
    page.locator(IDLE).wait_for()
    page.get_by_role("button", name="Play").first.click()
    page.wait_for_function("window.__trajectoryPlayers.get('explore').audio.currentTime > 0.5")
    found = page.evaluate(LISTEN, 10)
    page.close()
    heard, drawn = np.array(found["seen"]).T
    p95 = float(np.percentile(np.abs(heard - drawn), 95))
    return [
        ("comet against the sound, 10 s, p95", "< 10 ms", f"{1000 * p95:.1f} ms", verdict(p95 < 0.01)),
        ("frames a second, 1,300 points", ">= 55", f"{found['stats']['fps']:.0f}", verdict(found["stats"]["fps"] >= 55)),
        ("script a frame, 1,300 points, p95", "-", f"{found['stats']['p95']:.1f} ms", "-"),
    ]


def _two_long_scenes(where: Served, browser: Browser, home: Path) -> list[Row]:
    """Two runs of 13,000 points, made up, side by side."""
    library = Library(home)
    (song,) = library.songs()
    runs = [library.run(each.id) for each in library.runs_of(song.id)]
    for run in runs:
        library.add_run(song.id, _lengthened(run, 13_000))
    page = _page(where, browser)
    names = [each.id for each in library.runs_of(song.id) if each.points == 13_000]
    page.goto(f"/compare?song={song.id}&run={names[0]}&against={names[1]}")
    page.wait_for_function("window.__trajectoryPlayers?.get('compare')?.ready()")
    page.locator(IDLE).wait_for()
    page.get_by_role("button", name="Play").first.click()
    page.wait_for_timeout(2_000)
    found = page.evaluate(LISTEN.replace("explore", "compare"), 10)
    page.close()
    cost = found["stats"]["p95"]
    return [("script a frame, two scenes of 13,000 points, p95", "< 4 ms", f"{cost:.1f} ms", verdict(cost < 4))]


def _lengthened(run: Run, points: int) -> Run:
    at = np.linspace(0, len(run.trajectory.points) - 1, points)
    axis = np.arange(len(run.trajectory.points))
    places = np.stack([np.interp(at, axis, run.trajectory.points[:, i]) for i in range(run.trajectory.dims)], axis=1)
    training = dataclasses.replace(run.settings.training, seed=run.settings.training.seed + 1)
    return dataclasses.replace(
        run,
        settings=dataclasses.replace(run.settings, training=training),
        trajectory=Trajectory(points=places.astype(np.float32), times=np.interp(at, axis, run.trajectory.times)),
    )


def _crowd(where: Served, browser: Browser) -> list[Row]:
    """Ten sessions at once: two in the browser that train, eight at the protocol that leaf through pages."""
    busy = [_page(where, browser) for _ in range(2)]
    for page, name in zip(busy, ("Ambient", "Orchestral"), strict=True):
        page.goto("/")
        page.locator(IDLE).wait_for()
        page.get_by_role("button", name=name).click()

    async def crowd() -> list[list[float]]:
        return await asyncio.gather(*(_leafing(where.address) for _ in range(SESSIONS - len(busy))))

    with ThreadPoolExecutor(1) as apart:  # the browser's own loop runs in this thread
        walls = [wall for session in apart.submit(asyncio.run, crowd()).result() for wall in session]
    for page in busy:
        page.get_by_role("link", name="Explore it").wait_for()
        page.close()
    worst = max(walls)
    told = f"{statistics.median(walls):.2f} s, worst {worst:.2f} s, {len(walls)} pages"
    return [(f"{SESSIONS} sessions, two of them training: every page answers within", "1 s", told, verdict(worst < 1))]


async def _leafing(address: str) -> list[float]:
    """One session as the server sees it."""
    walls = []
    async with Visitor.at(address) as visitor:
        for name in ("", "library", "explore", "library", "forecast") * 3:
            walls.append(await visitor.goto(name))
            await asyncio.sleep(0.5)
    return walls


def _megabytes(process: int) -> float:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1000 for line in lines if line.startswith("VmRSS"))
