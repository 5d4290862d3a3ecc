"""SIGKILL at random moments. TRAJECTORY_KILLS says how many; `make nightly` asks for a thousand."""

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from tornado.httpclient import HTTPError
from tornado.websocket import WebSocketError

from tests.browser.serving import health, served
from tests.faults.killing import Victim, alive, gone, shoot, until
from tests.faults.promises import Promises, older_files
from tests.faults.victims import sound
from tests.faults.visiting import STEPS, visit

KILLS = int(os.environ.get("TRAJECTORY_KILLS", "12"))
SHARES = {"house": 0.5, "workers": 0.34, "pages": 0.16}
ROUNDS = 10  # in one library: it stays small
LINGER_SECONDS = (0.1, 0.5, 3.0)  # a kill comes so long after a step has begun, at the mean: at its beginning, or near its end
ENDED = (ConnectionError, HTTPError, WebSocketError, OSError)  # what a visitor hears of an app that was killed


def kills(kind: str) -> int:
    return max(1, round(KILLS * SHARES[kind]))


def homes(folder: Path, rounds: int) -> Iterator[tuple[int, Path, Promises]]:
    """A number for each round, the library that it is about, and what was said of that so far."""
    for number in range(rounds):
        if number % ROUNDS == 0:
            root, promises = folder / f"{number}" / "home", Promises()
            root.mkdir(parents=True)
        yield number, root, promises


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where everything that is started puts its temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def test_a_library_holds_what_it_said_whenever_its_process_is_killed(tmp_path: Path) -> None:
    heard = 0
    for number, root, promises in homes(tmp_path, kills("house")):
        victim = Victim(root, promises)
        victim.start_a_house(number)
        if number % 2:
            victim.hear_until("song")
        time.sleep(np.random.default_rng(number).uniform(0, 0.4))
        victim.kill()
        promises.hold(root)
        heard += promises.heard
    assert heard


def test_an_app_holds_what_it_said_whoever_of_its_family_is_killed(tmp_path: Path, temporary: Path) -> None:
    left, began, heard = kills("workers"), time.time(), 0
    for number, root, promises in homes(tmp_path, left):
        choose, victim = np.random.default_rng(number), Victim(root, promises)
        victim.start_an_app(number)
        victim.hear_until("ready")
        assert not older_files(temporary, began), "temporary files of an earlier app are left"
        for whom in choose.choice(["worker", "scheduler"], int(choose.integers(3))):
            time.sleep(choose.uniform(0, 1.5))
            victim.said()
            assert gone(shoot(victim.process, whom, choose)), f"{whom}: something lives on"
            victim.hear_until("run")  # work goes on
            left -= 1
        time.sleep(choose.uniform(0, 1.5))
        assert gone(shoot(victim.process, str(choose.choice(["app", "app", "all"])), choose)), "something lives on"
        victim.kill()
        left, began = left - 1, time.time()
        promises.hold(root)
        heard += promises.heard
        if left <= 0:
            break
    assert heard


def test_visitors_find_what_they_saw_whoever_was_killed_while_they_were_there(tmp_path: Path, temporary: Path) -> None:
    left, began, heard = kills("pages"), time.time(), 0
    for number, root, promises in homes(tmp_path, left):
        choose = np.random.default_rng(number)
        with served(root, warm=False) as app:
            until(lambda: health(app.address)["ready"])
            assert not older_files(temporary, began), "temporary files of an earlier app are left"
            process = psutil.Process(app.process)
            if choose.random() < 0.4:
                whom = str(choose.choice(["worker", "scheduler"]))
                assert asyncio.run(_visited(app.address, process, whom, promises, number)), "a visitor did not come to the end"
                left -= 1
            asyncio.run(_visited(app.address, process, str(choose.choice(["app", "app", "all"])), promises, number + 1_000_000))
            began = time.time()
        left -= 1
        promises.hold(root)
        heard += promises.heard
        if left <= 0:
            break
    assert heard


async def _visited(address: str, app: psutil.Process, whom: str, promises: Promises, seed: int) -> bool:
    """Whether a visit came to its end, though somebody was killed in the middle of it: each seed has its step."""
    choose, fatal, begun = np.random.default_rng(seed), STEPS[seed % len(STEPS)], asyncio.Event()
    doomed: list[psutil.Process] = []

    def reaches(step: str) -> None:
        if step == fatal:
            begun.set()

    async def kill() -> None:
        await begun.wait()
        await asyncio.sleep(choose.exponential(choose.choice(LINGER_SECONDS)))
        doomed.extend(shoot(app, whom, choose))

    killing = asyncio.create_task(kill())
    try:
        await visit(address, sound(seed), promises, reaches, delete=choose.random() < 0.5)
    except ENDED:
        if whom not in ("app", "all") or not gone([app]):
            raise  # nobody had ended what it asked
    finally:
        if begun.is_set():
            await killing
        else:
            killing.cancel()  # the visit failed by itself
        assert gone(doomed), f"{whom}: something lives on"
    return alive(app)
