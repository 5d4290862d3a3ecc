"""What is to be worked on, what is, and what came of it: jobs that sessions follow and cancel, and whose turn it is. Nothing of Dask.

Trainings wait here, not where they run: so a place in the queue is exact, and owners take turns.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trajectory.errors import TrajectoryError
from trajectory.records import Floats
from trajectory.turns import Turns

State = Literal["waiting", "running", "done", "failed", "cancelled"]
Kind = Literal["training", "quick"]

LOG = logging.getLogger(__name__)
FINISHED_KEPT = 64  # jobs that can still be found after their end
ANSWER_SECONDS = 60.0  # that a quick task is waited for
LONGEST: Mapping[Kind, float] = {"training": 4 * 3_600.0, "quick": 600.0}  # seconds that a job may run

TOO_LONG = "this ran for {minutes:g} minutes, the longest that it may, and was ended; choose a shorter section of the song, or less at once"
CLOSED = "the app was closed before this was done; start it again"


class JobError(TrajectoryError):
    """Workers that cannot be had, or work that was waited for and failed."""


class Job:
    """One piece of work, which any number of sessions may follow. `version` rises with every change."""

    def __init__(
        self,
        queue: Queue,
        *,
        key: str,
        kind: Kind,
        owner: str,
        call: tuple[Any, ...],
        done: Callable[[Any], object] | None,
        room: str = "",
        address: str = "",
    ) -> None:
        self.id = uuid.uuid4().hex[:12]  # by which the log knows it
        self.key, self.kind, self.owner, self.room, self.address = key, kind, owner, room, address
        self.task = call[0].__name__ if call else ""
        self.size = _size(call)  # bytes that it holds in memory until its end
        self.state: State = "waiting"
        self.version = 0
        self.progress: dict[str, Any] | None = None  # step, steps, losses, seconds_left
        self.losses: list[dict[str, float]] = []  # one for each step so far, with its `step`
        self.snapshot: tuple[Floats, NDArray[np.float64]] | None = None  # the path as it forms: points and their times
        self.error: str | None = None
        self.result: Any = None
        self.turn = 0  # the round in which a training begins
        self._queue, self.call, self.keep = queue, call, done
        self.sent: str | None = None  # the name under which Dask has it
        self.began: float | None = None  # by the clock that never jumps
        self.worker = ""  # where it runs
        self.arrived = False  # the result is here and being kept: too late to cancel
        self._ending = threading.Event()

    @property
    def ended(self) -> bool:
        return self.state in ("done", "failed", "cancelled")

    @property
    def place(self) -> int | None:
        """1 for the training that begins next; None for a job that does not wait in the queue."""
        return self._queue.place(self)

    def wait(self, timeout: float | None = None) -> bool:
        """Whether the job ended within so many seconds."""
        return self._ending.wait(timeout)

    def outcome(self, seconds: float) -> Any:
        """The result, waited for; what went wrong is raised here."""
        if not self.wait(seconds):
            self.cancel()
            raise JobError(f"the workers did not answer within {seconds:g} s; try again in a moment")
        if self.state != "done":
            raise JobError(self.error or "this was cancelled; start it again")
        return self.result

    def cancel(self) -> None:
        """Ends the job here at once, and in the worker at its next report."""
        self._queue.cancel(self)

    def _follow(self, message: dict[str, Any]) -> None:
        """Takes what workers.Report sent. A job can begin twice: when its worker dies, another one starts over."""
        self.version += 1
        if "began" in message:
            self.state, self.progress, self.losses, self.snapshot = "running", None, [], None
            self.began, self.worker = time.monotonic(), message["worker"]
            return
        self.progress = message["progress"]
        self.losses.extend(message["losses"])
        if "points" in message:
            times = np.frombuffer(message["times"], np.float64)
            self.snapshot = np.frombuffer(message["points"], np.float32).reshape(len(times), -1), times

    def _end(self, state: State, *, error: str | None = None, result: Any = None) -> None:
        self.error, self.result, self.state = error, result, state
        self.call, self.keep = (), None  # the song's bytes need not stay
        self.version += 1
        self._ending.set()


def fair_order(trainings: Iterable[Job]) -> list[Job]:
    """Those not with Dask yet, round by round."""
    return sorted((job for job in trainings if job.sent is None), key=lambda job: job.turn)


class Queue:
    """All jobs, in the order in which they came."""

    most = 1_000_000  # jobs at once; who shares the workers with strangers has fewer

    def __init__(self, *, longest: Mapping[Kind, float] = LONGEST) -> None:
        self.lock = threading.RLock()
        self.turns = Turns()
        self._jobs: dict[tuple[str, str], Job] = {}  # by room and key
        self._closed = False
        self._longest = longest
        self.problem: str | None = None  # a sentence, while nothing can be worked on

    def submit(
        self,
        task: Callable[..., Any],
        *arguments: Any,
        key: str,
        kind: Kind = "training",
        owner: str = "",
        done: Callable[[Any], object] | None = None,
        room: str = "",
        address: str = "",
        refused: Callable[[], str | None] = lambda: None,
    ) -> Job:
        """Asks for `task(report, *arguments)`, or joins the job that already has this key in this room.

        `done` takes the result here, in the app, before the job says that it is done; where it refuses, the job failed. `refused` says
        why there can be no new job now, if so.
        """
        with self.lock:
            job = self._jobs.get((room, key))
            if job is not None and job.state not in ("failed", "cancelled"):
                return job
            job = Job(self, key=key, kind=kind, owner=owner, call=(task, arguments), done=done, room=room, address=address)
            problem = CLOSED if self._closed else self.problem or refused()
            if problem is not None:
                job._end("failed", error=problem)
                return job
            self._jobs.pop((room, key), None)  # a new one stands last
            self._jobs[room, key] = job
            if kind == "training":
                job.turn = self.turns.take(owner)
            for old in [where for where, other in self._jobs.items() if other.ended][:-FINISHED_KEPT]:
                del self._jobs[old]
            self._moved()
        return job

    def answer(self, task: Callable[..., Any], *arguments: Any, key: str, seconds: float = ANSWER_SECONDS) -> Any:
        """A quick task's result, waited for; its refusal is raised here."""
        result = self.submit(task, *arguments, key=key, kind="quick").outcome(seconds)
        self.forget(key)  # what is kept is kept by whoever asked
        return result

    def carried(self, file: Path) -> Path | bytes:
        """A file as it travels to who works on it: what it holds, or where it lies if they share this disk."""
        return file.read_bytes()

    def find(self, key: str, *, room: str = "") -> Job | None:
        """The job of this key, under way or ended not long ago."""
        with self.lock:
            return self._jobs.get((room, key))

    def forget(self, key: str, *, room: str = "") -> None:
        """Lets what a job made be made anew, as after it was deleted."""
        with self.lock:
            job = self._jobs.get((room, key))
            if job is not None and job.ended:
                del self._jobs[room, key]

    def place(self, job: Job) -> int | None:
        with self.lock:
            if job.state != "waiting" or job.kind != "training":
                return None
            trainings = self.active("training")
            begins_next = [other for other in trainings if other.sent is not None and other.state == "waiting"]
            return (begins_next + fair_order(trainings)).index(job) + 1

    def cancel(self, job: Job) -> None:
        with self.lock:
            if not (job.ended or job.arrived):
                self.end(job, "cancelled")

    def active(self, *kinds: Kind) -> list[Job]:
        with self.lock:
            return [job for job in self._jobs.values() if not job.ended and job.kind in (kinds or ("training", "quick"))]

    def follow(self, job: Job, message: dict[str, Any]) -> None:
        with self.lock:
            if not job.ended:
                job._follow(message)
                if "began" in message:
                    LOG.info("a %s begins", job.kind, extra={"job": job.id, "task": job.task})
                    self._moved()

    def end(self, job: Job, state: State, *, error: str | None = None, result: Any = None) -> None:
        with self.lock:
            if not job.ended:
                seconds = 0.0 if job.began is None else time.monotonic() - job.began
                about = {"job": job.id, "task": job.task, "outcome": state, "seconds": round(seconds, 3)}
                LOG.info("a %s ends: %s after %.1f s", job.kind, state, seconds, extra=about)
                self.let_go(job)
                job._end(state, error=error, result=result)
                if job.kind == "training" and job.sent is None:
                    self.turns.give_back(job.owner, [other.turn for other in self.active("training") if other.owner == job.owner])
                self._moved()

    def end_overdue(self) -> None:
        """Nothing runs for ever."""
        for job in self.active():
            longest = self._longest[job.kind]
            if job.began is not None and not job.arrived and time.monotonic() > job.began + longest:
                self.end(job, "failed", error=TOO_LONG.format(minutes=round(longest / 60, 2)))

    def fail_all(self, sentence: str) -> None:
        for job in self.active():
            if not job.arrived:
                self.end(job, "failed", error=sentence)

    def _moved(self) -> None:
        for job in self.active("training"):
            job.version += job.state == "waiting"  # its place may have changed
        self.look()

    def look(self) -> None:
        """For who works on the jobs: something is to be begun, perhaps."""

    def let_go(self, job: Job) -> None:
        """For who works on the jobs: nobody waits for this one any longer."""


def _size(arguments: Any) -> int:
    """Of the sound among a task's arguments."""
    return len(arguments) if isinstance(arguments, bytes) else sum(map(_size, arguments)) if isinstance(arguments, tuple) else 0
