import contextlib
import dataclasses
import gc
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
from distributed import Client

from tests.children import PATIENCE, line_of
from trajectory import launcher, workers
from trajectory.errors import TrajectoryError
from trajectory.jobs import Jobs
from trajectory.records import Trajectory
from trajectory.settings import TWO_SECONDS, SectionSettings, TrainingSettings, preset
from trajectory.workers import Report

# Workers and the scheduler import this file for its tasks: what brings torch along stays inside the tests.
ROOT = Path(__file__).parents[1]
SONG = (ROOT / "tests/truth/loop4bar_120bpm.ogg").read_bytes()
QUICK = preset("conditioned", section=SectionSettings(start=4, stop=8), training=TrainingSettings(steps=8, batch=32, device="cpu"))


def at_once(_report: Report, value: Any) -> Any:
    return value


def count(report: Report, steps: int, seconds: float) -> int:
    for step in range(1, steps + 1):
        time.sleep(seconds)
        path = Trajectory(points=np.full((50, 3), step, np.float32), times=np.arange(50.0))
        report(SimpleNamespace(step=step, steps=steps, losses={"total": 1 / step}, seconds_left=0.0, embed=lambda path=path: path))
    return os.getpid()


def ignore_everything(_report: Report, seconds: float) -> None:
    time.sleep(seconds)


def die(report: Report, marker: str, times: int) -> int:
    count(report, 3, 0.05)
    with Path(marker).open("a") as file:
        file.write("x")
    if len(Path(marker).read_text()) <= times:
        os.kill(os.getpid(), signal.SIGKILL)
    return count(report, 5, 0.05)


def break_down(_report: Report) -> None:
    raise ZeroDivisionError("a bug")


def refuse(_result: Any) -> None:
    raise TrajectoryError("the disk is full; make room")


def no_practice(dask_worker: Any) -> None:
    """Instead of workers.warm, where torch is not needed."""
    dask_worker.metrics[workers.WARM] = lambda _: 1


def until(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.01)


def ready(jobs: Jobs, workers: int) -> Jobs:
    until(lambda: jobs.health()["workers"] == workers)
    return jobs


def launchers() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "trajectory.launcher" in child.cmdline()]


def gone(processes: list[psutil.Process], seconds: float = 10.0) -> bool:
    """Whether all have ended; what waits for a slow init to take note of its end has ended too."""
    left = psutil.wait_procs(processes, timeout=seconds)[1]
    return all(process.status() == psutil.STATUS_ZOMBIE for process in left if process.is_running())


@contextlib.contextmanager
def cluster(**options: Any) -> Iterator[Jobs]:
    jobs = Jobs.start(**options)
    try:
        yield jobs
    finally:
        jobs.close()


@pytest.fixture(scope="module")
def jobs() -> Iterator[Jobs]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workers, "warm", no_practice)
        with cluster(workers=2) as jobs:
            yield ready(jobs, 2)


@pytest.fixture
def unpractised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "warm", no_practice)


def test_a_song_is_trained_and_kept_before_the_job_says_done(jobs: Jobs) -> None:
    kept = []
    job = jobs.submit(
        workers.fit, SONG, "Nána.OGG", QUICK, key="song", done=lambda run: kept.append((run, job.state, threading.current_thread().name))
    )
    assert job.wait(PATIENCE)
    assert (job.state, job.error) == ("done", None)
    (run, state, thread), name = kept[0], threading.current_thread().name
    assert job.result is None  # it is kept elsewhere
    assert state == "running"
    assert thread != name
    assert (run.song.name, run.settings) == ("Nána.OGG", QUICK)
    assert [entry["step"] for entry in job.losses] == [1, 2, 3, 4, 5, 6, 7, 8]
    np.testing.assert_allclose([entry["total"] for entry in job.losses], run.training.losses["total"], rtol=1e-5)
    assert job.snapshot is not None
    np.testing.assert_allclose(job.snapshot[0], run.trajectory.points, atol=1e-5)
    np.testing.assert_array_equal(job.snapshot[1], run.trajectory.times)
    heard = jobs.submit(workers.decode, run, run.trajectory.points[:2], key="slice", kind="quick")
    assert heard.wait(PATIENCE)
    assert heard.result.shape == (2, 22, 94)


def test_progress_arrives_while_the_job_runs(jobs: Jobs) -> None:
    job = jobs.submit(count, 40, 0.02, key="progress")
    seen: list[tuple[int, int, float]] = []
    while not job.ended:
        if job.progress is not None and job.snapshot is not None:
            seen.append((job.version, job.progress["step"], float(job.snapshot[0][0, 0])))
        time.sleep(0.02)
    distinct = sorted(set(seen))
    assert seen == sorted(seen)
    assert len(distinct) >= 3
    assert len({shown for _, _, shown in distinct}) < len({step for _, step, _ in distinct})  # pictures are rarer
    assert job.version <= 25
    assert [entry["step"] for entry in job.losses] == list(range(1, 41))
    assert job.progress is not None
    assert job.progress["steps"] == 40


def test_who_asks_for_the_same_joins_the_job(jobs: Jobs) -> None:
    first = jobs.submit(count, 20, 0.02, key="same", owner="ann")
    assert jobs.submit(count, 20, 0.02, key="same", owner="ben") is first
    assert jobs.find("same") is first
    assert first.wait(PATIENCE)
    assert jobs.submit(count, 20, 0.02, key="same") is first
    jobs.forget("same")
    assert jobs.find("same") is None


def test_a_cancelled_job_ends_at_once_and_frees_its_worker(jobs: Jobs) -> None:
    before = [jobs.submit(count, 500, 0.02, key=f"cancel {number}") for number in range(2)]
    until(lambda: all(job.progress for job in before))
    began = time.monotonic()
    for job in before:
        job.cancel()
        assert job.wait(0.5)
    assert [job.state for job in before] == ["cancelled", "cancelled"]
    again = jobs.submit(at_once, 5, key="cancel 0")
    assert again is not before[0]
    assert again.wait(8)  # of the ten seconds that were asked for
    assert time.monotonic() - began < 8
    assert again.result == 5


def test_a_job_that_ignores_cancelling_is_cancelled_all_the_same(jobs: Jobs) -> None:
    job = jobs.submit(ignore_everything, 2.0, key="stubborn")
    until(lambda: job.state == "running")
    job.cancel()
    assert job.wait(0.5)
    assert job.state == "cancelled"


def test_the_queue_gives_places_in_turn_and_quick_work_passes_it(jobs: Jobs) -> None:
    until(lambda: jobs.health()["running"] == 0)
    running = [jobs.submit(count, 500, 0.02, key=f"run {number}", owner="eve") for number in range(2)]
    until(lambda: all(job.state == "running" for job in running))
    ann = [jobs.submit(at_once, number, key=f"ann {number}", owner="ann") for number in range(3)]
    ben = jobs.submit(at_once, 0, key="ben", owner="ben")
    assert [job.place for job in (*running, ann[0], ben, ann[1], ann[2])] == [None, None, 1, 2, 3, 4]
    assert jobs.health()["waiting"] == 4
    quick = jobs.submit(at_once, "slice", key="quick", kind="quick")
    assert quick.wait(PATIENCE)
    assert (quick.result, quick.place) == ("slice", None)
    assert [job.state for job in (*running, ann[0])] == ["running", "running", "waiting"]
    version = ann[1].version
    ann[0].cancel()
    assert ann[0].state == "cancelled"
    assert [job.place for job in (ben, ann[1], ann[2])] in ([1, 2, 3], [2, 1, 3])
    assert ann[1].version > version
    for job in running:
        job.cancel()
    assert all(job.wait(PATIENCE) for job in (ben, *ann))
    assert [job.result for job in (*ann, ben)] == [None, 1, 2, 0]


def test_what_was_sent_to_the_workers_is_not_remembered(jobs: Jobs) -> None:
    assert jobs.answer(at_once, b"a song" * 1_000, key="not remembered") == b"a song" * 1_000
    clients = [each for each in gc.get_objects() if type(each) is Client and "trajectory" in each.id and each.status == "running"]
    assert clients
    assert not any(client.scheduler_comm.recent_message_log for client in clients)


def test_refusals_come_as_their_sentence_and_bugs_go_to_the_log(jobs: Jobs, caplog: pytest.LogCaptureFixture) -> None:
    bad = jobs.submit(workers.fit, b"no sound at all", "bad.mp3", QUICK, key="bad")
    assert bad.wait(PATIENCE)
    assert bad.state == "failed"
    assert bad.error is not None
    assert bad.error.startswith("bad.mp3 cannot be read as sound")
    full = jobs.submit(at_once, 1, key="full", done=refuse)
    assert full.wait(PATIENCE)
    assert (full.state, full.error, full.result) == ("failed", "the disk is full; make room", None)
    with caplog.at_level(logging.ERROR):
        bug = jobs.submit(break_down, key="bug")
        assert bug.wait(PATIENCE)
    assert (bug.state, bug.error) == ("failed", "something went wrong in the worker; the log has it")
    assert "ZeroDivisionError: a bug" in caplog.text
    assert jobs.submit(at_once, 2, key="bug") is not bug


@pytest.mark.usefixtures("unpractised")
def test_a_killed_workers_job_runs_again_but_not_for_ever(tmp_path: Path) -> None:
    with cluster(workers=1) as jobs:
        once = jobs.submit(die, str(tmp_path / "once"), 1, key="once")
        assert once.wait(PATIENCE)
        assert once.state == "done"
        assert [entry["step"] for entry in once.losses] == [1, 2, 3, 1, 2, 3, 4, 5]  # of the second attempt alone
        always = jobs.submit(die, str(tmp_path / "always"), 100, key="always")
        assert always.wait(PATIENCE)
        assert always.state == "failed"
        assert always.error is not None
        assert "ended again and again" in always.error
        assert len((tmp_path / "always").read_text()) == 2


@pytest.mark.usefixtures("unpractised")
def test_a_dead_scheduler_fails_its_jobs_and_is_replaced() -> None:
    others = launchers()
    with cluster(workers=1) as jobs:
        until(lambda: jobs.health()["ready"])
        running, waiting = (jobs.submit(count, 500, 0.02, key=key) for key in ("running", "waiting"))
        until(lambda: running.state == "running")
        (launcher,) = set(launchers()) - set(others)
        family = launcher.children(recursive=True)
        launcher.kill()
        assert running.wait(PATIENCE)
        assert waiting.wait(PATIENCE)
        assert {(job.state, job.error) for job in (running, waiting)} == {
            ("failed", "the workers stopped, and this work with them; start it again")
        }
        after = jobs.submit(at_once, 7, key="running")
        assert after.wait(PATIENCE)
        assert after.result == 7
        assert gone(family)


@pytest.mark.usefixtures("unpractised")
def test_closing_ends_everything_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    others = launchers()
    with cluster(workers=2) as jobs:
        ready(jobs, 2)
        job = jobs.submit(count, 500, 0.02, key="long")
        until(lambda: job.state == "running")
        (launcher,) = set(launchers()) - set(others)
        family = [launcher, *launcher.children(recursive=True)]
        assert len(family) >= 3
        assert list(tmp_path.iterdir())
    assert (job.state, job.error) == ("failed", "the app was closed before this was done; start it again")
    assert gone(family, 1)
    assert not list(tmp_path.iterdir())
    late = jobs.submit(at_once, 1, key="late")
    assert late.state == "failed"


APP = """
import sys
import time
from pathlib import Path
from trajectory import jobs, workers
from trajectory.settings import preset

book = jobs.Jobs.start(workers=1)
job = book.submit(workers.preview, Path(sys.argv[1]).read_bytes(), "song.ogg", preset("pure"), key="preview", kind="quick")
job.wait(60)
end = time.monotonic() + 60
while not book.health()["warm"] and time.monotonic() < end:
    time.sleep(0.1)
print(job.state, job.result.points.shape, "torch" in sys.modules, flush=True)
sys.stdin.read()
"""


def test_an_app_that_is_killed_leaves_no_orphans_and_never_loaded_torch(tmp_path: Path) -> None:
    app = subprocess.Popen(
        [sys.executable, "-c", APP, str(ROOT / "assets/songs/03_rock_drums_sample.ogg")],
        env=os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with app:
        assert line_of(app) == "done (1270, 3) False\n"
        family = psutil.Process(app.pid).children(recursive=True)
        assert len(family) >= 2
        app.kill()
    assert gone(family)
    assert not list(tmp_path.iterdir())


@contextlib.contextmanager
def dask(*command: str, folder: Path) -> Iterator[None]:
    """Somebody else's part of a cluster."""
    with (folder / f"{command[0]}.log").open("a") as log:
        process = subprocess.Popen(
            [Path(sys.executable).with_name("dask"), *command],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(folder)},
            stdout=log,
            stderr=log,
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait(PATIENCE)


@pytest.mark.usefixtures("unpractised")
def test_somebody_elses_cluster_does_the_same_once_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trajectory.jobs.CONNECT_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    with cluster(address=address) as jobs, contextlib.ExitStack() as stack:
        early = jobs.submit(at_once, 1, key="early")
        assert early.wait(PATIENCE)
        assert early.error == f"the workers at {address} cannot be reached; start them there, or mend the address"
        assert jobs.health()["problem"] == early.error
        scheduler = ("scheduler", "--host", "127.0.0.1", "--port", str(port), "--dashboard-address", "127.0.0.1:0")
        stack.enter_context(dask(*scheduler, folder=tmp_path))
        offer = ("--nthreads", "2", "--resources", "training=1")  # as the README says: one training in each process
        worker = ("worker", address, *offer, "--host", "127.0.0.1", "--no-dashboard", "--local-directory", str(tmp_path))
        for _ in range(2):
            stack.enter_context(dask(*worker, folder=tmp_path))
        ready(jobs, 2)
        until(lambda: jobs.health()["problem"] is None)
        both = [jobs.submit(count, 20, 0.05, key=f"one {number}") for number in range(2)]
        third = jobs.submit(at_once, 3, key="three")
        assert third.place in (1, 2, 3)
        assert all(job.wait(PATIENCE) for job in (*both, third))
        assert both[0].result != both[1].result  # a process each
        assert (third.result, len(both[0].losses), both[1].snapshot is not None) == (3, 20, True)


@pytest.mark.usefixtures("unpractised")
def test_an_address_that_is_none_is_refused_in_words() -> None:
    with cluster(address="gpu-box") as jobs:
        job = jobs.submit(at_once, 1, key="job")
        assert job.wait(PATIENCE)
        assert job.error is not None
        assert "gpu-box cannot be reached" in job.error


class Unwatched:
    def check(self) -> None:
        """Nobody cancels."""


@pytest.mark.parametrize("settings", [QUICK, dataclasses.replace(QUICK, window=TWO_SECONDS)], ids=["half a second", "two seconds"])
def test_a_preview_has_the_times_of_a_run_and_the_songs_own_axes(settings: Any) -> None:
    from tests.songs import picture
    from trajectory.spectrogram import window_times

    settings = dataclasses.replace(settings, section=SectionSettings(stop=12))
    path = workers.preview(Unwatched(), SONG, "song.ogg", settings)  # type: ignore[arg-type]
    bins = 22 if settings.window.seconds == 0.5 else 88
    whole = picture("tests/truth/loop4bar_120bpm.ogg")
    np.testing.assert_allclose(path.times, window_times(whole, bins)[: len(path.times)])
    spreads = path.points.std(axis=0)
    assert (np.diff(spreads) < 0).all()
    np.testing.assert_allclose(np.corrcoef(path.points.T), np.eye(3), atol=0.15)


def test_the_previews_axes_are_the_principal_ones() -> None:
    values = np.random.default_rng(0).normal(size=(300, 5)).astype(np.float32)
    values[:, 0] += 5 * np.sin(np.arange(300) / 20)
    windows = np.lib.stride_tricks.sliding_window_view(values, 8, axis=0).swapaxes(1, 2).reshape(293, -1)
    left, singular, _ = np.linalg.svd(windows - windows.mean(axis=0), full_matrices=False)
    expected = left[:, :3] * singular[:3]
    found = workers.principal_places(values, 8)
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-3 * np.abs(expected).max())


def test_too_short_a_song_has_no_preview() -> None:
    settings = dataclasses.replace(QUICK, section=SectionSettings(stop=1), window=TWO_SECONDS)
    with pytest.raises(workers.WorkError, match=r"loop.ogg lasts 1 s; a preview needs 2.1 s"):
        workers.preview(Unwatched(), SONG, "loop.ogg", settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["../../etc/passwd", "a b.OGG", "x.o/g", "evil.ffconcat;rm", ".ogg", "Ünïcode.ogg"])
def test_a_song_lies_in_a_private_folder_under_a_name_of_ours(name: str) -> None:
    with workers._song_file(b"sound", name) as path:
        assert path.name in ("song", "song.ogg")
        assert path.read_bytes() == b"sound"
        assert path.parent.stat().st_mode & 0o077 == 0
    assert not path.parent.exists()


def test_each_gpu_gets_its_worker() -> None:
    assert launcher.visible_gpus({"CUDA_VISIBLE_DEVICES": "0, GPU-5"}) == ["0", "GPU-5"]
    assert launcher.visible_gpus({"CUDA_VISIBLE_DEVICES": ""}) == launcher.visible_gpus({"CUDA_VISIBLE_DEVICES": "-1"}) == []


@pytest.mark.usefixtures("unpractised")
def test_nobody_reaches_the_apps_own_workers_without_its_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    others = launchers()
    with cluster(workers=1) as jobs:
        until(lambda: jobs.health()["ready"])
        (launcher,) = set(launchers()) - set(others)
        family = [launcher, *launcher.children(recursive=True)]
        listening = [
            connection.laddr
            for process in family
            for connection in process.net_connections(kind="inet")
            if connection.status == psutil.CONN_LISTEN
        ]
        assert {address.ip for address in listening} == {"127.0.0.1"}
        stranger = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], "HOME": str(tmp_path)}
        for address in listening:
            told = subprocess.run(
                [sys.executable, "-c", STRANGER, str(address.port)], env=stranger, capture_output=True, text=True, timeout=60, check=True
            )
            assert told.stdout == "refused\n", (address, told.stdout, told.stderr)
        keys = list(tmp_path.rglob("*.pem"))
        assert len(keys) == 2
        for path in keys:
            assert path.stat().st_mode & 0o777 == 0o600
            assert path.parent.stat().st_mode & 0o777 == 0o700
    assert not list(tmp_path.iterdir())


STRANGER = """
import asyncio, http.client, sys
from distributed import Client
from distributed.security import Security

port = int(sys.argv[1])

async def reach(address, security):
    try:
        async with asyncio.timeout(5):
            client = await Client(address, asynchronous=True, timeout=2, security=security, set_as_default=False)
            await client.close()
            return [address]
    except (OSError, ValueError, TimeoutError):
        return []

async def main():
    reached = await reach(f"tcp://127.0.0.1:{port}", None)
    reached += await reach(f"tls://127.0.0.1:{port}", Security.temporary())  # keys of one's own
    try:
        pages = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        for path in ("/info/main/workers.html", "/json/counts.json", "/metrics", "/health"):
            pages.request("GET", path)
            answer = pages.getresponse()
            answer.read()
            reached += [path] if answer.status != 404 else []
    except (OSError, http.client.HTTPException):
        pass
    print(", ".join(reached) or "refused")

asyncio.run(main())
"""
