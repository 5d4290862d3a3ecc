"""What is killed: processes that do what the app does, and say each thing once it is kept, or before it is given up."""

import dataclasses
import hashlib
import os
import sys
import time

import numpy as np

from tests import audio_files
from tests.test_jobs import no_practice
from tests.test_runs import make_run
from trajectory import workers
from trajectory.jobs import Jobs
from trajectory.library import Library, run_id
from trajectory.queueing import Job
from trajectory.runs import Run
from trajectory.settings import preset

PATIENCE = 120.0  # seconds
SAID: list[int] = []  # the file that hears it


def sound(seed: int, seconds: float = 2.5) -> bytes:
    return audio_files.tune(seed, seconds=seconds, rate=8_000)


def say(*words: str) -> None:
    """One line, whole or not at all, which is there whatever comes next."""
    os.write(SAID[0], f"{' '.join(words)}\n".encode())


def keep_house(root: str, said: str, seed: int) -> None:
    """A library's whole life, without workers."""
    SAID.append(os.open(said, os.O_WRONLY | os.O_APPEND | os.O_CREAT))
    choose, shelf = np.random.default_rng(seed), Library(root)
    shelf.purge(0)
    while True:
        song = _uploaded(shelf, choose)
        for name in ("conditioned", "pure")[: int(choose.integers(3))]:
            say("run", shelf.add_run(song, _made(int(choose.integers(1 << 30)), name)).id, song)
        _exported(shelf, song, choose.bytes(int(choose.integers(1, 200_000))))
        shelf.rename(song, f"Number {choose.integers(1 << 30)}")
        _tidied(shelf, song, choose)


def _made(seed: int, name: str) -> Run:
    return dataclasses.replace(make_run(seed), settings=preset(name))


def _uploaded(shelf: Library, choose: np.random.Generator) -> str:
    song = shelf.add_song(sound(int(choose.integers(1 << 30))), name="a.wav").id
    say("song", song)
    return song


def _exported(shelf: Library, song: str, data: bytes) -> None:
    name = f"film-{hashlib.sha256(data).hexdigest()[:12]}.bin"
    shelf.keep(song, name, data)
    say("file", name, song)


def _tidied(shelf: Library, song: str, choose: np.random.Generator) -> None:
    """Now and then something goes, for a while or for good."""
    act = choose.random()
    if act < 0.2:
        for name in [file.name for file in shelf.kept_files(song, "film-")]:
            say("gone", name)
            shelf.drop(song, name)
    elif act < 0.4:
        for run in shelf.runs_of(song):
            say("gone", run.id)
            shelf.delete_run(run.id)
    elif act < 0.9:
        say("gone", song)
        shelf.delete_song(song)
        if act < 0.5:
            shelf.restore_song(song)
            say("song", song)
    if choose.random() < 0.5:
        shelf.purge(0)


def pretend(report: workers.Report, seed: int, name: str) -> Run:
    """A training without a network, which half a minute of torch would go before."""
    for _ in range(10):
        time.sleep(0.03)
        report.check()
    return _made(seed, name)


def pretend_film(report: workers.Report, size: int) -> bytes:
    for _ in range(5):
        time.sleep(0.03)
        report.check()
    return os.urandom(size)


def keep_an_app(root: str, said: str, seed: int) -> None:
    """Songs that come in, are trained on, exported and deleted, by workers as the app has them."""
    SAID.append(os.open(said, os.O_WRONLY | os.O_APPEND | os.O_CREAT))
    choose, shelf = np.random.default_rng(seed), Library(root)
    shelf.purge()
    workers.warm = no_practice  # these workers live too short to profit from practice
    book = Jobs.start(workers=2)
    until = time.monotonic() + PATIENCE
    while not book.health()["ready"] and time.monotonic() < until:
        time.sleep(0.02)
    say("ready")
    while True:
        song = _uploaded(shelf, choose)
        _ended([_training(book, shelf, song, int(choose.integers(1 << 30)), name) for name in ("conditioned", "pure")])
        _ended([_film(book, shelf, song, int(choose.integers(1, 200_000)))])
        _tidied(shelf, song, choose)


def _training(book: Jobs, shelf: Library, song: str, seed: int, name: str) -> Job:
    def keep(run: Run) -> None:
        say("run", shelf.add_run(song, run).id, song)

    return book.submit(pretend, seed, name, key=run_id(song, preset(name)), owner=song, done=keep)


def _film(book: Jobs, shelf: Library, song: str, size: int) -> Job:
    return book.submit(pretend_film, size, key=f"film {song}", owner=song, done=lambda film: _exported(shelf, song, film))


def _ended(jobs: list[Job]) -> None:
    """Whatever comes of them: what failed says why in a sentence."""
    for job in jobs:
        if not job.wait(PATIENCE):
            say("stuck", job.key)
        elif job.state != "done":
            say("failed", job.error or "without a word")


if __name__ == "__main__":
    from tests.faults import victims  # under the name by which workers know it

    victims.keep_an_app(sys.argv[1], sys.argv[2], int(sys.argv[3]))
