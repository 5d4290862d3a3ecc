"""Work handed to Dask workers: submit, follow, cancel. The app's side, which neither decodes nor trains nor imports torch.

A thread of its own keeps the workers and talks to them; what a Job says may be read from any other. Trainings wait here and not
with Dask, where only as many are as can run: so a place in the queue is exact, and owners take turns.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from trajectory import clocks, logs, workers
from trajectory.errors import TrajectoryError
from trajectory.launcher import launched
from trajectory.records import Floats
from trajectory.turns import Turns

if TYPE_CHECKING:
    from distributed import Client

State = Literal["waiting", "running", "done", "failed", "cancelled"]
Kind = Literal["training", "quick"]

LOG = logging.getLogger(__name__)
FINISHED_KEPT = 64  # jobs that can still be found after their end
LOOK_SECONDS = 0.1  # between two looks at whether the workers are still there
COUNT_SECONDS = 0.5  # between two counts of them
CONNECT_SECONDS = 5.0
CLOSE_SECONDS = 10.0
ANSWER_SECONDS = 60.0  # that a quick task is waited for
LONGEST: Mapping[Kind, float] = {"training": 4 * 3_600.0, "quick": 600.0}  # seconds that a job may run
STUCK_SECONDS = 60.0  # after which a worker that goes on with what nobody waits for is replaced
PAUSES = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0)  # seconds before the workers are tried again, by failures in a row

CLIENT = {  # a song travels inside its task, so that a worker that takes over has it too
    "distributed.admin.large-graph-warning-threshold": "1 TiB",
    "distributed.admin.low-level-log-length": 0,  # else the last thousand messages stay in memory, and the songs in them
    "distributed.diagnostics.computations.nframes": 0,
}

UNEXPECTED = "something went wrong in the worker; the log has it"
NOT_KEPT = "something went wrong in keeping the result; the log has it"
KILLED = "the worker was ended again and again in the middle of this, perhaps for want of memory; choose a shorter section of the song"
TOO_LONG = "this ran for {minutes:g} minutes, the longest that it may, and was ended; choose a shorter section of the song, or less at once"
LOST = "the workers stopped, and this work with them; start it again"
CLOSED = "the app was closed before this was done; start it again"
CERTIFICATE = "DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT"  # as Dask calls it in the environment
NO_WORKERS = "the workers cannot be had (the log has the reason); try again in a moment"


class JobError(TrajectoryError):
    """Workers that cannot be had, or work that was waited for and failed."""


class Job:
    """One piece of work, which any number of sessions may follow. `version` rises with every change."""

    def __init__(
        self,
        jobs: Jobs,
        *,
        key: str,
        kind: Kind,
        owner: str,
        call: tuple[Any, ...],
        done: Callable[[Any], object] | None,
        room: str = "",
    ) -> None:
        self.id = uuid.uuid4().hex[:12]  # by which the log knows it
        self.key, self.kind, self.owner, self.room = key, kind, owner, room
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
        self._jobs, self._call, self._done = jobs, call, done
        self._sent: str | None = None  # the name under which Dask has it
        self._began: float | None = None  # by the clock that never jumps
        self._worker = ""  # where it runs
        self._arrived = False  # the result is here and being kept: too late to cancel
        self._ending = threading.Event()

    @property
    def ended(self) -> bool:
        return self.state in ("done", "failed", "cancelled")

    @property
    def place(self) -> int | None:
        """1 for the training that begins next; None for a job that does not wait in the queue."""
        return self._jobs.place(self)

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
        self._jobs.cancel(self)

    def _follow(self, message: dict[str, Any]) -> None:
        """Takes what workers.Report sent. A job can begin twice: when its worker dies, another one starts over."""
        self.version += 1
        if "began" in message:
            self.state, self.progress, self.losses, self.snapshot = "running", None, [], None
            self._began, self._worker = time.monotonic(), message["worker"]
            return
        self.progress = message["progress"]
        self.losses.extend(message["losses"])
        if "points" in message:
            times = np.frombuffer(message["times"], np.float64)
            self.snapshot = np.frombuffer(message["points"], np.float32).reshape(len(times), -1), times

    def _end(self, state: State, *, error: str | None = None, result: Any = None) -> None:
        self.error, self.result, self.state = error, result, state
        self._call, self._done = (), None  # the song's bytes need not stay
        self.version += 1
        self._ending.set()


def fair_order(trainings: Iterable[Job]) -> list[Job]:
    """Those not with Dask yet, round by round."""
    return sorted((job for job in trainings if job._sent is None), key=lambda job: job.turn)


class Jobs:
    """The queue, and the workers behind it."""

    most = 1_000_000  # jobs at once; who shares the workers with strangers has fewer

    def __init__(self, *, address: str | None, workers: int | None, memory_bytes: int | None, longest: Mapping[Kind, float]) -> None:
        self._link = _Link(self, address=address, workers=workers, memory_bytes=memory_bytes)
        self.lock = threading.RLock()
        self.turns = Turns()
        self._jobs: dict[tuple[str, str], Job] = {}  # by room and key, in the order in which they came
        self._closed = False
        self._longest = longest
        self.problem: str | None = None  # a sentence, while the workers cannot be had

    @classmethod
    def start(
        cls,
        *,
        address: str | None = None,
        workers: int | None = None,
        memory_bytes: int | None = None,
        longest: Mapping[Kind, float] = LONGEST,
    ) -> Self:
        """Returns at once: workers come up in the background, or somebody else's are reached by their scheduler's address."""
        jobs = cls(address=address, workers=workers, memory_bytes=memory_bytes, longest=longest)
        jobs._link.thread.start()
        atexit.register(jobs.close)
        return jobs

    def submit(
        self,
        task: Callable[..., Any],
        *arguments: Any,
        key: str,
        kind: Kind = "training",
        owner: str = "",
        done: Callable[[Any], object] | None = None,
        room: str = "",
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
            job = Job(self, key=key, kind=kind, owner=owner, call=(task, arguments), done=done, room=room)
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
            self._queue_moved()
        return job

    def answer(self, task: Callable[..., Any], *arguments: Any, key: str, seconds: float = ANSWER_SECONDS) -> Any:
        """A quick task's result, waited for; its refusal is raised here."""
        result = self.submit(task, *arguments, key=key, kind="quick").outcome(seconds)
        self.forget(key)  # what is kept is kept by whoever asked
        return result

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
            begins_next = [other for other in trainings if other._sent is not None and other.state == "waiting"]
            return (begins_next + fair_order(trainings)).index(job) + 1

    def cancel(self, job: Job) -> None:
        with self.lock:
            if not (job.ended or job._arrived):
                self.end(job, "cancelled")

    def health(self) -> dict[str, Any]:
        """For the health page. A worker is warm once it has practised a training."""
        states = [job.state for job in self.active()]
        about = {"ready": self._link.workers > 0, "workers": self._link.workers, "warm": self._link.warm}
        return about | {"running": states.count("running"), "waiting": states.count("waiting"), "problem": self.problem}

    def close(self) -> None:
        """Ends all jobs, and the workers that were started for them."""
        self._closed = True
        self.fail_all(CLOSED)
        self._link.close()
        atexit.unregister(self.close)

    def active(self, *kinds: Kind) -> list[Job]:
        with self.lock:
            return [job for job in self._jobs.values() if not job.ended and job.kind in (kinds or ("training", "quick"))]

    def follow(self, job: Job, message: dict[str, Any]) -> None:
        with self.lock:
            if not job.ended:
                job._follow(message)
                if "began" in message:
                    LOG.info("a %s begins", job.kind, extra={"job": job.id, "task": job.task})
                    self._queue_moved()

    def end(self, job: Job, state: State, *, error: str | None = None, result: Any = None) -> None:
        with self.lock:
            if not job.ended:
                seconds = 0.0 if job._began is None else time.monotonic() - job._began
                about = {"job": job.id, "task": job.task, "outcome": state, "seconds": round(seconds, 3)}
                LOG.info("a %s ends: %s after %.1f s", job.kind, state, seconds, extra=about)
                self._link.let_go(job)
                job._end(state, error=error, result=result)
                if job.kind == "training" and job._sent is None:
                    self.turns.give_back(job.owner, [other.turn for other in self.active("training") if other.owner == job.owner])
                self._queue_moved()

    def end_overdue(self) -> None:
        """Nothing runs for ever."""
        for job in self.active():
            longest = self._longest[job.kind]
            if job._began is not None and not job._arrived and time.monotonic() > job._began + longest:
                self.end(job, "failed", error=TOO_LONG.format(minutes=round(longest / 60, 2)))

    def fail_all(self, sentence: str) -> None:
        for job in self.active():
            if not job._arrived:
                self.end(job, "failed", error=sentence)

    def _queue_moved(self) -> None:
        for job in self.active("training"):
            job.version += job.state == "waiting"  # its place may have changed
        self._link.look()


class _Link:
    """What runs in the thread: reaches the workers, hands jobs over, hears of them, and begins again when the workers are lost."""

    def __init__(self, jobs: Jobs, *, address: str | None, workers: int | None, memory_bytes: int | None) -> None:
        self.jobs, self.address = jobs, address
        self.options = [*(["--workers", str(workers)] if workers else []), *(["--memory", str(memory_bytes)] if memory_bytes else [])]
        self.thread = threading.Thread(target=self._run, name="jobs", daemon=True)
        self.workers = self.warm = 0
        self._offered = 0  # workers' resources for trainings
        self._topic = f"trajectory-{uuid.uuid4().hex}"
        self._following: dict[str, tuple[Job, asyncio.Task[None]]] = {}  # by the name under which Dask has the job
        self._left: dict[str, tuple[str, float]] = {}  # by name: the worker that may go on with it, and since when nobody waits for it
        self._wake = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._serving: asyncio.Task[None] | None = None

    def look(self) -> None:
        self._soon(self._wake.set)

    def let_go(self, job: Job) -> None:
        """Ends the following, and so Dask's interest in the job: its worker notices at the next report."""
        following = self._following.get(job._sent or "")
        if following is not None and not job._arrived:
            if job._worker:
                self._left[str(job._sent)] = job._worker, time.monotonic()
            self._soon(following[1].cancel)

    def close(self) -> None:
        self._soon(lambda: self._serving and self._serving.cancel())
        if self.thread.is_alive() and self.thread is not threading.current_thread():
            self.thread.join(CLOSE_SECONDS)

    def _soon(self, function: Callable[[], object]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed, and nothing is left to be told
            self._loop.call_soon_threadsafe(function)

    def _run(self) -> None:
        self._serving = self._loop.create_task(self._serve())
        with contextlib.suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._serving)
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    async def _serve(self) -> None:
        failures = 0
        while True:
            try:
                async with self._connected() as client:
                    failures, self.jobs.problem = 0, None
                    await self._work(client)
            except TrajectoryError as error:
                failures += 1
                self._say(str(error))
            except Exception:
                LOG.exception("the jobs lost their workers")
                failures += 1
                self._say(NO_WORKERS)
            await asyncio.sleep(PAUSES[min(failures, len(PAUSES) - 1)])

    def _say(self, problem: str) -> None:
        if problem != self.jobs.problem:
            LOG.warning("%s", problem)
        self.jobs.problem = problem
        self.jobs.fail_all(problem)

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[Client]:
        import dask
        from distributed import Client

        clocks.make_dask_steady()
        logs.adopt_all()
        async with contextlib.AsyncExitStack() as stack:
            stack.enter_context(dask.config.set(CLIENT))
            address = self.address or await stack.enter_async_context(launched(self.options))
            if (address or "").startswith("tls:") and dask.config.get("distributed.comm.tls.client.cert", None) is None:
                raise JobError(f"the workers at {address} ask for a certificate; name one in {CERTIFICATE}")
            try:
                client = Client(address, asynchronous=True, timeout=CONNECT_SECONDS, set_as_default=False, name="trajectory")
                stack.push_async_callback(client.close, timeout=1)  # also where it is cancelled before it is connected
                await client
                client.subscribe_topic(self._topic, self._hear)
                await client.register_worker_callbacks(workers.warm)
            except ImportError as error:
                raise JobError(f"the workers at {address} cannot import this app; start them with its folder in PYTHONPATH") from error
            except (OSError, ValueError) as error:
                raise JobError(f"the workers at {address} cannot be reached; start them there, or mend the address") from error
            yield client

    async def _work(self, client: Client) -> None:
        counted = -COUNT_SECONDS
        try:
            while client.status == "running":
                if time.monotonic() >= counted + COUNT_SECONDS:
                    await self._count(client)
                    self.jobs.end_overdue()
                    await self._replace_the_stuck(client)
                    counted = time.monotonic()
                self._wake.clear()
                self._hand_over(client)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_SECONDS):  # wait_for of 3.11 can swallow the cancelling that ends the thread
                        await self._wake.wait()
        except OSError:
            LOG.info("the scheduler does not answer", exc_info=True)
        finally:
            self._left.clear()
            self.workers = self.warm = self._offered = 0
            self.jobs.fail_all(LOST)
            await asyncio.gather(*[task for _, task in self._following.values()], return_exceptions=True)

    async def _count(self, client: Client) -> None:
        if client.scheduler is None:
            raise OSError("the client is closed")
        found = (await client.scheduler.identity())["workers"].values()
        self.workers = len(found)
        self.warm = sum(worker["metrics"].get(workers.WARM, 0) for worker in found)
        self._offered = int(sum(worker["resources"].get(workers.TRAINING, 0) for worker in found))

    async def _replace_the_stuck(self, client: Client) -> None:
        """A decoder that hangs hears of no cancelling, but its process can be ended; what else ran in it begins again elsewhere."""
        for name, (worker, since) in list(self._left.items()):
            if time.monotonic() < since + STUCK_SECONDS:
                continue
            del self._left[name]
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    busy = (await client.run(workers.is_at, name, workers=[worker], on_error="ignore")).get(worker, False)
            except TimeoutError:  # not even its network is looked after
                busy = True
            if busy:
                LOG.warning("a worker went on for %g s with what nobody waits for, and is replaced", STUCK_SECONDS)
                self._replacing = asyncio.create_task(client.restart_workers([worker], timeout=CLOSE_SECONDS, raise_for_error=False))

    def _hand_over(self, client: Client) -> None:
        with self.jobs.lock:
            trainings = self.jobs.active("training")
            free = (self._offered or self.workers) - sum(job._sent is not None for job in trainings)
            quick = [job for job in self.jobs.active("quick") if job._sent is None]
            for job in [*quick, *fair_order(trainings)[: max(0, free)]]:
                self._send(client, job)

    def _send(self, client: Client, job: Job) -> None:
        name = job._sent = f"{job.kind}-{uuid.uuid4().hex}"
        self.jobs.turns.begin(job.turn)
        task = asyncio.create_task(self._follow(client, job, name))
        self._following[name] = job, task
        task.add_done_callback(lambda _: self._following.pop(name))

    async def _follow(self, client: Client, job: Job, name: str) -> None:
        from distributed import KilledWorker

        training = job.kind == "training"
        needs = {workers.TRAINING: 1} if training and self._offered else None  # other people's workers may not offer it
        future = None
        try:
            future = client.submit(
                *(workers.work, *job._call, self._topic), key=name, pure=False, resources=needs, priority=0 if training else 10
            )
            await self._keep(job, await future)
        except (CancelledError, OSError):  # Dask's own: the scheduler is gone, or forgot it
            self.jobs.end(job, "failed", error=LOST)
        except KilledWorker:
            self.jobs.end(job, "failed", error=KILLED)
        except Exception:
            LOG.exception("a job failed in Dask's hands", extra={"job": job.id})
            self.jobs.end(job, "failed", error=UNEXPECTED)
        finally:
            if future is not None:
                future.release()

    async def _keep(self, job: Job, outcome: workers.Outcome) -> None:
        with self.jobs.lock:
            if job.ended:
                return
            job._arrived = True
        error = outcome.refusal
        if outcome.traceback is not None:
            LOG.error("a job failed in its worker\n%s", _unnamed(outcome.traceback, job._call), extra={"job": job.id})
            error = UNEXPECTED
        elif error is None and job._done is not None:
            try:
                await asyncio.to_thread(job._done, outcome.result)
            except TrajectoryError as refusal:
                error = str(refusal)
            except Exception:
                LOG.exception("what a job made could not be kept", extra={"job": job.id})
                error = NOT_KEPT
        kept = error is not None or job._done is not None  # what was kept elsewhere need not stay in memory too
        self.jobs.end(job, "failed" if error else "done", error=error, result=None if kept else outcome.result)

    def _hear(self, event: tuple[float, dict[str, Any]]) -> None:
        message = event[1]
        if message["key"] in self._following:
            self.jobs.follow(self._following[message["key"]][0], message)


def _size(arguments: Any) -> int:
    """Of the sound among a task's arguments."""
    return len(arguments) if isinstance(arguments, bytes) else sum(map(_size, arguments)) if isinstance(arguments, tuple) else 0


def _unnamed(text: str, arguments: Any) -> str:
    """A traceback without what people call their songs."""
    if isinstance(arguments, str) and len(arguments) > 3:
        return text.replace(arguments, "…").replace(repr(arguments)[1:-1], "…")
    if isinstance(arguments, tuple):
        for each in arguments:
            text = _unnamed(text, each)
    return text
