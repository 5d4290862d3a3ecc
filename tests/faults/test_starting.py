"""What keeps workers from starting, and threads and tasks that end by an error: said in the log, on the health page and on the page."""

import asyncio
import itertools
import logging
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.browser.serving import health, served
from tests.children import PATIENCE
from tests.faults.victims import sound
from tests.songs import ROOT
from tests.test_jobs import at_once, cluster, no_practice, until
from tests.visitor import Visitor
from trajectory import indexing, jobs, logs, workers
from trajectory.collection import Ear
from trajectory.library import Library

UNLOADABLE = "raise OSError('libtorchaudio.so: undefined symbol: torch_exception_get_what')\n"
KILLED = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n"
KILLED_AT_BIRTH = f"""
import pathlib, sys
if "spawn_main" in " ".join(sys.orig_argv) and pathlib.Path(__file__).with_name("fatal").exists():
    {KILLED.replace(chr(10), "; ")}
"""


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose modules stand before those that are installed, in the processes that are started now."""
    folder = tmp_path / "packages"
    folder.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return folder


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(logging.getLogger("trajectory"), "propagate", True)
    caplog.set_level(logging.INFO, logger="trajectory")
    return caplog


def assert_said(book: jobs.Jobs, sentence: str) -> None:
    """On the health page and to whoever asks for something."""
    until(lambda: book.health()["problem"] == sentence)
    assert not book.health()["ready"]
    refused = book.submit(at_once, 1, key="refused")
    assert (refused.state, refused.error) == ("failed", sentence)


def test_torchaudio_that_does_not_load_is_said_until_it_does(packages: Path, log: pytest.LogCaptureFixture) -> None:
    (packages / "torchaudio.py").write_text(UNLOADABLE)
    with cluster(workers=1) as book:
        early = book.submit(workers.preview, sound(1), "a.wav", None, key="early", kind="quick")
        assert_said(book, jobs.BROKEN)
        assert early.error == jobs.BROKEN  # not that something went wrong with this song
        assert "undefined symbol: torch_exception_get_what" in log.text  # with where it was raised
        assert "melscale_fbanks" in log.text
        assert jobs.MEND in log.text
        (packages / "torchaudio.py").unlink()
        until(lambda: book.health()["ready"])
        assert book.health()["problem"] is None
        assert book.submit(at_once, 2, key="again").wait(PATIENCE)


def test_a_visitor_reads_that_the_workers_cannot_work(packages: Path, tmp_path: Path) -> None:
    (packages / "torchaudio.py").write_text(UNLOADABLE)

    async def visit(address: str) -> None:
        async with Visitor.at(address) as visitor:
            await visitor.goto("")
            assert visitor.says("the workers fail in a trial run"), visitor.words()
            await visitor.drop("song.wav", sound(1), on="Drop a song")
            assert visitor.says("the workers fail in a trial run"), visitor.words()

    with served(tmp_path, warm=False) as app:
        until(lambda: health(app.address)["problem"] == jobs.BROKEN)
        asyncio.run(visit(app.address))
    assert "undefined symbol" in (tmp_path / "log.txt").read_text()


def test_workers_that_are_killed_at_birth_are_said_and_started_ever_later(packages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (packages / "sitecustomize.py").write_text(KILLED_AT_BIRTH)
    (packages / "fatal").touch()
    monkeypatch.setattr(workers, "warm", no_practice)
    begun: list[float] = []
    launched = jobs.launched
    monkeypatch.setattr(jobs, "launched", lambda options: begun.append(time.monotonic()) or launched(options))
    with cluster(workers=1) as book:
        assert_said(book, jobs.DYING)
        until(lambda: len(begun) == 6)
        pauses = [after - before for before, after in itertools.pairwise(begun)]
        assert all(pause > least for pause, least in zip(pauses, jobs.PAUSES[1:], strict=False)), pauses
        assert book.health()["problem"] == jobs.DYING  # also while others are tried
        (packages / "fatal").unlink()
        until(lambda: book.health()["ready"])
        assert book.health()["problem"] is None


def test_workers_that_are_killed_in_their_practice_are_said(packages: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (packages / "torchaudio.py").write_text(KILLED)
    with cluster(workers=1) as book:
        assert_said(book, jobs.DYING)
    assert "was ended by signal 9" in capfd.readouterr().err


def test_a_worker_that_cannot_work_gets_none_where_others_can(log: pytest.LogCaptureFixture) -> None:
    link = jobs.Jobs(address=None, workers=1, memory_bytes=None, longest={})._link
    link._loop.close()  # nothing is begun
    link._broken = {"tcp://one": "Traceback\nOSError: no"}
    link._judge({"tcp://two"}, {"tcp://one", "tcp://two"})
    assert link._there - link._broken.keys() == {"tcp://two"}
    assert "OSError: no" in log.text
    with pytest.raises(jobs.JobError, match=re.escape(jobs.BROKEN)):
        link._judge(set(), {"tcp://one"})


HANDLES = """
import logging, os, resource, signal, time
from tests.test_jobs import at_once, launchers, no_practice
from trajectory import jobs, workers

def until(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, book.health()
        time.sleep(0.05)

workers.warm = no_practice
logging.basicConfig(level=logging.WARNING)
book = jobs.Jobs.start(workers=1)
until(lambda: book.health()["ready"])
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
(launcher,) = launchers()
resource.setrlimit(resource.RLIMIT_NOFILE, (min(map(int, os.listdir("/proc/self/fd"))) + 1, hard))
os.kill(launcher.pid, signal.SIGKILL)
until(lambda: book.health()["problem"] == jobs.NO_WORKERS)
assert not book.health()["ready"]
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
until(lambda: book.health()["ready"])
job = book.submit(at_once, 5, key="after")
assert job.wait(60) and job.result == 5, job.error
book.close()
print("recovered")
"""


def test_without_file_handles_the_workers_are_tried_until_there_are_some() -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", HANDLES], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.stdout == "recovered\n", done.stderr
    assert "Too many open files" in done.stderr


def test_a_folder_that_cannot_be_read_is_said_on_the_health_page_and_on_the_page(tmp_path: Path) -> None:
    place = tmp_path / "no folder"
    place.write_text("a file")

    async def visit(address: str) -> None:
        async with Visitor.at(address) as visitor:
            await visitor.goto("library")
            assert visitor.says("cannot be written (Not a directory)"), visitor.words()

    with served(tmp_path, warm=False, environment={"TRAJECTORY_HOME": str(place / "home")}) as app:
        until(lambda: health(app.address)["warm"])
        about = health(app.address)
        assert (about["ready"], about["problem"]) == (
            False,
            "the folder that songs are kept in cannot be read and written (the log has the reason)",
        )
        asyncio.run(visit(app.address))
    assert "Not a directory" in (tmp_path / "log.txt").read_text()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_the_thread_that_keeps_the_workers_does_not_end_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    async def break_down(_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(jobs._Link, "_serve", break_down)
    with cluster(workers=1) as book:
        assert_said(book, jobs.DEAD)


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `logs.begin` leaves it, without its handlers."""
    monkeypatch.setattr(logging.getLogger("trajectory"), "handlers", [])
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)


@pytest.mark.usefixtures("hook")
def test_a_thread_and_a_task_that_end_by_an_error_are_in_the_log(log: pytest.LogCaptureFixture) -> None:
    logs.begin({})
    logging.getLogger("trajectory").propagate = True
    thread = threading.Thread(target=lambda: {}["no such key"], name="of a test")
    thread.start()
    thread.join()

    async def end_by_an_error() -> None:
        raise ZeroDivisionError("in a task")

    async def begin() -> None:
        held = logs.watch(asyncio.create_task(end_by_an_error(), name="kept"))  # which asyncio says nothing of while it is held
        await asyncio.sleep(0.01)
        assert held.done()

    asyncio.run(begin())
    assert "the thread of a test ended by an error" in log.text
    assert "KeyError: 'no such key'" in log.text
    assert "the task kept ended by an error" in log.text
    assert "ZeroDivisionError: in a task" in log.text


def test_what_was_deleted_is_given_up_again_after_a_time_when_it_could_not_be(
    monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    from trajectory.ui import services

    tried: list[int] = []

    def purge() -> None:
        tried.append(len(tried))
        if len(tried) == 1:
            raise OSError("the disk went away")

    monkeypatch.setattr(services, "UNDO_SECONDS", 0.001)
    monkeypatch.setattr(services, "_machines_library", lambda: SimpleNamespace(purge=purge))

    async def tidy() -> None:
        tidying = asyncio.create_task(services._tidy())
        while len(tried) < 3:
            await asyncio.sleep(0.001)
        tidying.cancel()

    asyncio.run(asyncio.wait_for(tidy(), 10))
    assert "the disk went away" in log.text


def test_catching_up_says_what_it_could_not_do(tmp_path: Path, log: pytest.LogCaptureFixture) -> None:
    shelf = Library(tmp_path)
    shelf.add_song(sound(1), name="a.wav")

    class Broken:
        most = 10

        def carried(self, file: Path) -> Path:
            return file

        def submit(self, *_: Any, **__: Any) -> Any:
            raise ZeroDivisionError("a bug")

    under_way = indexing.CatchingUp(shelf, Broken(), Ear(encoder="musicnn", version="1"), workers.Weights(encoder="musicnn"), owner="")  # type: ignore[arg-type]
    under_way.start()
    under_way.join(PATIENCE)
    assert under_way.tally.failed == [("1 songs", indexing.UNHEARD)]
    assert "ZeroDivisionError: a bug" in log.text
