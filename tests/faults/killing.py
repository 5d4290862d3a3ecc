"""Processes that are killed, with their families, and what is left of them."""

import multiprocessing
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil

from tests.faults import victims
from tests.faults.promises import Promises
from tests.songs import ROOT

PATIENCE = 120.0  # seconds, where a busy machine may take its time
END_SECONDS = 20.0  # after which nothing may be left of an app that was killed

FORKS = multiprocessing.get_context("forkserver")  # a process within milliseconds
FORKS.set_forkserver_preload(["tests.faults.victims"])


class Victim:
    """A process that keeps a library, and what it says of it."""

    def __init__(self, root: Path, promises: Promises) -> None:
        self.root, self.promises = root, promises
        self._said, self._read = root.with_name("said.txt"), 0
        self._said.unlink(missing_ok=True)
        self.process = psutil.Process()

    def start_a_house(self, seed: int) -> None:
        """One that has no workers."""
        started = FORKS.Process(target=victims.keep_house, args=(str(self.root), str(self._said), seed))
        started.start()
        self.process = psutil.Process(started.pid)

    def start_an_app(self, seed: int) -> None:
        command = [sys.executable, "-m", "tests.faults.victims", str(self.root), str(self._said), str(seed)]
        self.process = psutil.Popen(command, cwd=ROOT)

    def said(self) -> list[str]:
        """The lines since it was last asked."""
        if not self._said.exists():
            return []
        lines = self._said.read_text()[self._read :].splitlines(keepends=True)
        self._read += sum(map(len, lines))
        for line in lines:
            self.promises.hear(line)
        return lines

    def hear_until(self, *words: str) -> None:
        """Waits until it says one of these."""
        until(lambda: any(line.startswith(words) for line in self.said()) or not alive(self.process))
        assert alive(self.process), "it ended by itself"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(END_SECONDS)
        self.said()


def alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def until(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.02)


def gone(processes: list[psutil.Process], seconds: float = END_SECONDS) -> bool:
    """Whether all have ended; what waits for a slow parent to take note of its end has ended too."""
    end = time.monotonic() + seconds
    while any(alive(process) for process in processes):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def family(process: psutil.Process) -> list[psutil.Process]:
    return process.children(recursive=True) if alive(process) else []


def launchers(process: psutil.Process) -> list[psutil.Process]:
    """The scheduler of an app lives in a process of this kind."""
    return [child for child in family(process) if "trajectory.launcher" in _command(child)]


def workers_of(process: psutil.Process) -> list[psutil.Process]:
    return [child for launcher in launchers(process) for child in family(launcher) if "spawn_main" in " ".join(_command(child))]


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:  # it ended meanwhile
        return []


def shoot(app: psutil.Process, whom: str, choose: np.random.Generator) -> list[psutil.Process]:
    """Kills one kind of process of an app; gives those that must end because of it."""
    everyone = [app, *family(app)]
    if whom == "app":
        targets, doomed = [app], everyone
    elif whom == "all":
        targets, doomed = everyone, everyone
    elif whom == "scheduler":
        targets = launchers(app)
        doomed = [*targets, *(child for launcher in targets for child in family(launcher))]
    else:
        found = workers_of(app)
        targets = doomed = [found[int(choose.integers(len(found)))]] if found else []
    for target in targets:
        try:
            target.kill()
        except psutil.NoSuchProcess:
            continue
    return doomed
