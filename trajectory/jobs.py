"""Work handed to Dask workers: the queue's other end. The app's side, which neither decodes nor trains nor imports torch.

A thread of its own keeps the workers and talks to them; what a Job says may be read from any other. Dask has only as many trainings
as can run: the others wait in the queue.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import CancelledError
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from trajectory import clocks, logs, workers
from trajectory.errors import TrajectoryError
from trajectory.launcher import launched
from trajectory.queueing import CLOSED, LONGEST, Job, JobError, Kind, Queue, fair_order

if TYPE_CHECKING:
    from distributed import Client

LOG = logging.getLogger(__name__)
LOOK_SECONDS = 0.1  # between two looks at whether the workers are still there
COUNT_SECONDS = 0.5  # between two counts of them
CONNECT_SECONDS = 5.0
CLOSE_SECONDS = 10.0
STUCK_SECONDS = 60.0  # after which a worker that goes on with what nobody waits for is replaced
EMPTY_SECONDS = 60.0  # after which the app's own workers, none of which is there, are started anew
STILLBORN = 3  # own workers that may end, one after the other, before any was ready for a song
VERDICT_SECONDS = 3.0  # that the end of a job waits for the word whether its worker can work at all
PAUSES = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)  # seconds before the workers are tried again, by failures in a row

CLIENT = {  # a song travels inside its task, so that a worker that takes over has it too
    "distributed.admin.large-graph-warning-threshold": "1 TiB",
    "distributed.admin.low-level-log-length": 0,  # else the last thousand messages stay in memory, and the songs in them
    "distributed.diagnostics.computations.nframes": 0,
}

UNEXPECTED = "something went wrong in the worker; the log has it"
NOT_KEPT = "something went wrong in keeping the result; the log has it"
KILLED = "the worker was ended again and again in the middle of this, perhaps for want of memory; choose a shorter section of the song"
LOST = "the workers stopped, and this work with them; start it again"
CERTIFICATE = "DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT"  # as Dask calls it in the environment
NO_WORKERS = "the workers cannot be had (the log has the reason); try again in a moment"
BROKEN = (
    "no song can be turned into a path at the moment: the workers fail in a trial run; what is kept can be looked at, "
    "and whoever runs this app finds the reason in its log"
)
DYING = (
    "no song can be turned into a path at the moment: the workers end as they start; what is kept can be looked at, "
    "and whoever runs this app finds the reason in its log"
)
DEAD = "the app has lost its way to the workers (the log has the reason); whoever runs it must start it again"
MEND = "Packages that fit together are those of requirements.lock: end the app and start it with `make app`, which installs them."


class Jobs(Queue):
    """The queue, and the workers behind it."""

    def __init__(self, *, address: str | None, workers: int | None, memory_bytes: int | None, longest: Mapping[Kind, float]) -> None:
        super().__init__(longest=longest)
        self._link = _Link(self, address=address, workers=workers, memory_bytes=memory_bytes)

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

    def health(self) -> dict[str, Any]:
        """For the health page. A worker is warm once it has practised a training; one is enough to take a song."""
        states = [job.state for job in self.active()]
        ready = self._link.warm > 0 and self.problem is None
        about = {"ready": ready, "workers": self._link.workers, "warm": self._link.warm}
        problem = self.problem or (None if ready else f"the workers are starting, for {self._link.waited_seconds():.0f} s so far")
        return about | {"running": states.count("running"), "waiting": states.count("waiting"), "problem": problem}

    def carried(self, file: Path) -> Path | bytes:
        return super().carried(file) if self._link.address else file

    def close(self) -> None:
        """Ends all jobs, and the workers that were started for them."""
        self._closed = True
        self.fail_all(CLOSED)
        self._link.close()
        atexit.unregister(self.close)

    def look(self) -> None:
        self._link.look()

    def let_go(self, job: Job) -> None:
        self._link.let_go(job)


class _Link:
    """What runs in the thread: reaches the workers, hands jobs over, hears of them, and begins again when the workers are lost."""

    def __init__(self, queue: Queue, *, address: str | None, workers: int | None, memory_bytes: int | None) -> None:
        self.queue, self.address = queue, address
        self.options = [*(["--workers", str(workers)] if workers else []), *(["--memory", str(memory_bytes)] if memory_bytes else [])]
        self.thread = threading.Thread(target=self._run, name="jobs", daemon=True)
        self.workers = self.warm = 0
        self._failures = 0  # in a row, since a worker was last warm
        self._since = time.monotonic()  # when the workers that are waited for were asked for
        self._met = self._since  # when any of them was last there
        self._proved = False  # whether one was warm since they were reached
        self._unfit = False  # whether they were given up since one was last warm
        self._there: set[str] = set()  # the addresses of all workers
        self._cold: set[str] = set()  # of those that have not been warm yet
        self._stillborn = 0  # of those, how many ended since a worker was last warm
        self._broken: dict[str, str] = {}  # by address: how a worker's practice failed, as it says itself
        self._said: set[str] = set()  # what of that is in the log
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
        following = self._following.get(job.sent or "")
        if following is not None and not job.arrived:
            if job.worker:
                self._left[str(job.sent)] = job.worker, time.monotonic()
            self._soon(following[1].cancel)

    def close(self) -> None:
        self._soon(lambda: self._serving and self._serving.cancel())
        if self.thread.is_alive() and self.thread is not threading.current_thread():
            self.thread.join(CLOSE_SECONDS)

    def _soon(self, function: Callable[[], object]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed, and nothing is left to be told
            self._loop.call_soon_threadsafe(function)

    def waited_seconds(self) -> float:
        """How long the workers have been waited for."""
        return time.monotonic() - self._since

    def _run(self) -> None:
        self._serving = self._loop.create_task(self._serve())
        try:
            with contextlib.suppress(asyncio.CancelledError):
                self._loop.run_until_complete(self._serving)
        except BaseException:
            self._say(DEAD)
            raise
        finally:
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
            self._loop.close()

    async def _serve(self) -> None:
        while True:
            self._since = time.monotonic()
            try:
                async with self._connected() as client:
                    if not self._unfit:
                        self.queue.problem = None  # they were reached
                    await self._work(client)
                if not self._proved:
                    self._failures += 1
                    if self._failures > 1 and self.address is None:
                        self._unfit = True
                        self._say(DYING)
            except TrajectoryError as error:
                self._failures += 1
                self._say(str(error))
            except Exception:
                LOG.exception("the jobs lost their workers")
                self._failures += 1
                self._say(NO_WORKERS)
            await asyncio.sleep(PAUSES[min(self._failures, len(PAUSES) - 1)])

    def _say(self, problem: str) -> None:
        if problem != self.queue.problem:
            LOG.warning("%s", problem)
        self.queue.problem = problem
        self.queue.fail_all(problem)

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[Client]:
        import dask
        from distributed import Client

        clocks.make_dask_steady()
        logs.adopt_all()
        async with contextlib.AsyncExitStack() as stack:
            stack.enter_context(dask.config.set(CLIENT))
            own = None if self.address else await stack.enter_async_context(launched(self.options))
            address, security = (own.address, own.security()) if own else (str(self.address), None)
            if own is None and address.startswith("tls:") and dask.config.get("distributed.comm.tls.client.cert", None) is None:
                raise JobError(f"the workers at {address} ask for a certificate; name one in {CERTIFICATE}")
            try:
                client = Client(
                    address, security=security, asynchronous=True, timeout=CONNECT_SECONDS, set_as_default=False, name="trajectory"
                )
                stack.push_async_callback(client.close, timeout=1)  # also where it is cancelled before it is connected
                await client
                client.subscribe_topic(self._topic, self._hear)
                await client.register_worker_callbacks(workers.warm)
            except ImportError as error:
                raise JobError(f"the workers at {address} cannot import this app; start them with its folder in PYTHONPATH") from error
            except (OSError, ValueError) as error:
                if own is not None:  # they ended before they were reached
                    raise JobError(DYING if self._unfit else NO_WORKERS) from error
                raise JobError(f"the workers at {address} cannot be reached; start them there, or mend the address") from error
            yield client

    async def _work(self, client: Client) -> None:
        counted, sentence = -COUNT_SECONDS, LOST
        self._met, self._proved, self._cold, self._stillborn = time.monotonic(), False, set(), 0
        try:
            while client.status == "running":
                if time.monotonic() >= counted + COUNT_SECONDS:
                    await self._count(client)
                    self.queue.end_overdue()
                    await self._replace_the_stuck(client)
                    counted = time.monotonic()
                self._wake.clear()
                self._hand_over(client)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_SECONDS):  # wait_for of 3.11 can swallow the cancelling that ends the thread
                        await self._wake.wait()
        except OSError:
            LOG.info("the scheduler does not answer", exc_info=True)
        except JobError as error:
            self._unfit, sentence = True, str(error)
            raise
        finally:
            self._left.clear()
            self._broken.clear()
            self.workers = self.warm = self._offered = 0
            self.queue.fail_all(sentence)
            await asyncio.gather(*[task for _, task in self._following.values()], return_exceptions=True)

    async def _count(self, client: Client) -> None:
        if client.scheduler is None:
            raise OSError("the client is closed")
        found: dict[str, Any] = (await client.scheduler.identity())["workers"]
        failures = {address: str(worker["metrics"].get(workers.TROUBLE) or "") for address, worker in found.items()}
        self._broken = {address: failure for address, failure in failures.items() if failure}
        self.workers = len(found)
        self.warm = sum(worker["metrics"].get(workers.WARM, 0) for worker in found.values())
        self._offered = int(sum(found[address]["resources"].get(workers.TRAINING, 0) for address in found.keys() - self._broken.keys()))
        self._judge({address for address, worker in found.items() if worker["metrics"].get(workers.WARM)}, set(found))

    def _judge(self, warm: set[str], found: set[str]) -> None:
        """Raises where none of these workers can do its work, which another try may mend, later."""
        for failure in set(self._broken.values()) - self._said:
            LOG.error("a worker cannot work: its trial run failed. %s\n%s", MEND, failure)
            self._said.add(failure)
        self._stillborn += len(self._cold - found)
        self._there, self._cold = found, found - warm
        if found:
            self._met = time.monotonic()
        if warm:
            self._since, self._proved, self._failures, self._stillborn = time.monotonic(), True, 0, 0
            if self._unfit:
                self._unfit, self.queue.problem = False, None
                LOG.info("the workers can work again")
        elif found and found == self._broken.keys():
            raise JobError(BROKEN)
        elif self.address is None and (self._stillborn >= STILLBORN or time.monotonic() > self._met + EMPTY_SECONDS):
            raise JobError(DYING)

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
                self._replacing = logs.watch(
                    asyncio.create_task(client.restart_workers([worker], timeout=CLOSE_SECONDS, raise_for_error=False))
                )

    def _hand_over(self, client: Client) -> None:
        with self.queue.lock:
            trainings = self.queue.active("training")
            free = (self._offered or self.workers) - sum(job.sent is not None for job in trainings)
            quick = [job for job in self.queue.active("quick") if job.sent is None]
            for job in [*quick, *fair_order(trainings)[: max(0, free)]]:
                self._send(client, job)

    def _send(self, client: Client, job: Job) -> None:
        name = job.sent = f"{job.kind}-{uuid.uuid4().hex}"
        self.queue.turns.begin(job.turn)
        task = asyncio.create_task(self._follow(client, job, name))
        self._following[name] = job, task
        task.add_done_callback(lambda _: self._following.pop(name))

    async def _follow(self, client: Client, job: Job, name: str) -> None:
        from distributed import KilledWorker

        training = job.kind == "training"
        needs = {workers.TRAINING: 1} if training and self._offered else None  # other people's workers may not offer it
        able = sorted(self._there - self._broken.keys()) if self._broken else None
        future = None
        try:
            future = client.submit(
                *(workers.work, *job.call, self._topic),
                key=name,
                pure=False,
                workers=able,
                resources=needs,
                priority=0 if training else 10,
            )
            await self._keep(job, await future)
        except (CancelledError, OSError):  # Dask's own: the scheduler is gone, or forgot it
            self.queue.end(job, "failed", error=LOST)
        except KilledWorker:
            self.queue.end(job, "failed", error=KILLED)
        except Exception:
            LOG.exception("a job failed in Dask's hands", extra={"job": job.id})
            self.queue.end(job, "failed", error=UNEXPECTED)
        finally:
            if future is not None:
                future.release()

    async def _keep(self, job: Job, outcome: workers.Outcome) -> None:
        error = outcome.refusal
        if outcome.traceback is not None:
            LOG.error("a job failed in its worker\n%s", _unnamed(outcome.traceback, job.call), extra={"job": job.id})
            error = UNEXPECTED
            await self._await_verdict(job)
        with self.queue.lock:
            if job.ended:
                return
            job.arrived = True
        if error is None and job.keep is not None:
            try:
                await asyncio.to_thread(job.keep, outcome.result)
            except TrajectoryError as refusal:
                error = str(refusal)
            except Exception:
                LOG.exception("what a job made could not be kept", extra={"job": job.id})
                error = NOT_KEPT
        kept = error is not None or job.keep is not None  # what was kept elsewhere need not stay in memory too
        self.queue.end(job, "failed" if error else "done", error=error, result=None if kept else outcome.result)

    async def _await_verdict(self, job: Job) -> None:
        """Where no worker has been warm yet, a failure may be theirs and not the song's: then `_judge` ends the job, and says so."""
        until = time.monotonic() + VERDICT_SECONDS
        while not (self._proved or job.ended) and time.monotonic() < until:
            await asyncio.sleep(LOOK_SECONDS)

    def _hear(self, event: tuple[float, dict[str, Any]]) -> None:
        message = event[1]
        if message["key"] in self._following:
            self.queue.follow(self._following[message["key"]][0], message)


def _unnamed(text: str, arguments: Any) -> str:
    """A traceback without what people call their songs."""
    if isinstance(arguments, str) and len(arguments) > 3:
        return text.replace(arguments, "…").replace(repr(arguments)[1:-1], "…")
    if isinstance(arguments, tuple):
        for each in arguments:
            text = _unnamed(text, each)
    return text
