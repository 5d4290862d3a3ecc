"""`python -m trajectory.launcher` starts a scheduler and workers on this machine alone; `launched` is how the app does it."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import json
import logging
import multiprocessing
import os
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trajectory import clocks, holding, logs
from trajectory.errors import TrajectoryError
from trajectory.workers import TRAINING

if TYPE_CHECKING:
    from distributed import Nanny
    from distributed.security import Security

NICE = 5  # the pages come first
END_SECONDS = 4.0  # after which a launcher that should end is ended
START_SECONDS = 60.0
PAUSES = (0.0, 0.0, 1.0, 2.0, 5.0, 10.0)  # seconds before a worker is started again, by its starts within the last minute
LOG = logging.getLogger("trajectory.launcher")  # also where it runs as __main__
GIB = 1 << 30
ROOT = Path(__file__).parents[1]

LOCAL = {  # what Dask does for clusters of hundreds costs time and memory here
    "distributed.scheduler.allowed-failures": 1,  # workers that may die under a task before it counts as the culprit
    "distributed.worker.profile.enabled": False,
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.admin.system-monitor.gil.enabled": False,
    "distributed.scheduler.http.routes": [],  # pages that any account of this machine could read
    "distributed.worker.http.routes": [],
    "distributed.admin.low-level-log-length": 0,  # it would hold songs
    "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None,  # Dask's own makes a training take 1.8 times as long
}


class LaunchError(TrajectoryError):
    """Workers that did not start."""


@dataclass(frozen=True, kw_only=True)
class Launched:
    """Where a scheduler of the app's own is, and the files with which alone it is reached: made for this one run, for this user."""

    address: str
    certificate: str
    key: str

    def security(self) -> Security:
        """For whoever is to reach it, or to be reached by it."""
        return _security(self.certificate, self.key)


@contextlib.asynccontextmanager
async def launched(options: list[str]) -> AsyncIterator[Launched]:
    """Workers of the app's own, as processes that know nothing of its __main__; they end when this end of their pipe closes."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    holding.sweep_apart()  # what a power cut left
    with holding.apart() as folder:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "trajectory.launcher", "--folder", str(folder), *options),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
            start_new_session=True,  # Ctrl-C is the app's to answer
        )
        if process.stdin is None or process.stdout is None:
            raise AssertionError("both were asked for")
        try:
            async with asyncio.timeout(START_SECONDS):
                line = await process.stdout.readline()
            if not line:
                raise LaunchError("the workers could not be started (the log has the reason); try again in a moment")
            yield Launched(**json.loads(line))
        finally:
            process.stdin.close()
            try:
                async with asyncio.timeout(END_SECONDS + 1):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()


def main() -> None:
    """Starts a scheduler and workers on this machine, says where on one line, and ends with whoever holds the other end of its input."""
    parser = argparse.ArgumentParser(prog="python -m trajectory.launcher", description=main.__doc__)
    parser.add_argument("--workers", type=int, help="default: one a GPU, or else one a core")
    parser.add_argument("--memory", type=int, help="bytes that a worker may use before it is stopped")
    parser.add_argument("--folder", type=Path, help="a private folder for temporary files; removed at the end")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix=holding.OURS))
    logs.begin(os.environ)
    if hasattr(os, "nice"):
        os.nice(NICE)
    try:
        with contextlib.suppress(asyncio.CancelledError, KeyboardInterrupt):
            asyncio.run(_host(workers=options.workers, memory=options.memory, folder=folder))
    except Exception:
        LOG.exception("the workers ended by an error")
        sys.exit(1)
    finally:
        holding.remove(folder)


def _end_with_the_input(end: Callable[[], object], folder: Path) -> None:
    """An app that is killed cannot say goodbye, but its pipe closes."""
    while os.read(sys.stdin.fileno(), 1):  # sys.stdin itself would hold its lock at exit
        pass
    end()
    time.sleep(END_SECONDS)  # and if the end does not come by itself
    for child in multiprocessing.active_children():
        child.kill()
    holding.remove(folder)
    os._exit(1)


async def _host(*, workers: int | None, memory: int | None, folder: Path) -> None:
    import dask
    from dask.system import CPU_COUNT
    from distributed import Scheduler
    from distributed.system import MEMORY_LIMIT

    clocks.make_dask_steady()
    logging.getLogger("distributed").setLevel(logging.WARNING)
    logs.adopt_all()
    loop, host = asyncio.get_running_loop(), asyncio.current_task()
    if host is not None:
        end = functools.partial(loop.call_soon_threadsafe, host.cancel)
        threading.Thread(target=_end_with_the_input, args=(end, folder), daemon=True).start()
    gpus = visible_gpus(os.environ)
    count = workers or len(gpus) or CPU_COUNT
    limit = memory or int(min((16 if gpus else 4) * GIB, 0.7 * MEMORY_LIMIT / count))
    patient_nanny, (certificate, key) = _patient_nanny(), _keys(folder)
    security = _security(certificate, key)

    def nanny(number: int, address: str) -> Nanny:
        gpu = {"CUDA_VISIBLE_DEVICES": gpus[number % len(gpus)]} if gpus else {}
        return patient_nanny(
            address,
            name=number,
            nthreads=2,
            resources={TRAINING: 1},
            memory_limit=limit,
            host="127.0.0.1",
            protocol="tls",
            security=security,
            local_directory=str(folder),
            preload=[clocks.__name__],
            env={"TMPDIR": str(folder), **gpu},
            silence_logs=logging.CRITICAL,  # what a task raises is logged by the app
        )

    with dask.config.set(LOCAL | {"temporary-directory": str(folder)}):
        async with Scheduler(
            host="127.0.0.1", protocol="tls", security=security, dashboard=False, dashboard_address="127.0.0.1:0"
        ) as scheduler:
            line = {"address": scheduler.address, "certificate": certificate, "key": key}
            print(json.dumps(line), flush=True)  # noqa: T201 - what the app waits for
            nannies = [nanny(number, scheduler.address) for number in range(count)]
            try:
                await asyncio.gather(*nannies)
                await scheduler.finished()
            finally:  # workers hold nothing worth keeping: a training is not waited for
                await asyncio.gather(*(nanny.close(timeout=1) for nanny in nannies), return_exceptions=True)


def _keys(folder: Path) -> tuple[str, str]:
    """A certificate and its key for this one run: whoever has them can let the workers do anything."""
    from distributed.security import Security

    made, files = Security.temporary(), []
    for name, text in (("certificate.pem", made.tls_scheduler_cert), ("key.pem", made.tls_scheduler_key)):
        place = folder / name
        number = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(number, "w") as file:
            file.write(str(text))
        files.append(str(place))
    return files[0], files[1]


def _security(certificate: str, key: str) -> Security:
    from distributed.security import Security

    roles = {
        f"tls_{role}_{part}": place for role in ("client", "scheduler", "worker") for part, place in (("cert", certificate), ("key", key))
    }
    return Security(require_encryption=True, tls_ca_file=certificate, **roles)


def _patient_nanny() -> type[Nanny]:
    """Dask's keeper of a worker process; this one says how its process ended, and starts one that ends again and again ever later."""
    from distributed import Nanny, Status

    class PatientNanny(Nanny):
        def _on_worker_exit_sync(self, exitcode: int) -> None:
            if self.status not in (Status.closing, Status.closed, Status.closing_gracefully):
                how = f"was ended by signal {-exitcode}" if exitcode < 0 else f"ended with status {exitcode}"
                LOG.warning("worker %s %s", self.name, how)
            super()._on_worker_exit_sync(exitcode)

        async def instantiate(self) -> Status:
            now = time.monotonic()
            self.starts = [start for start in getattr(self, "starts", []) if start > now - 60.0] + [now]
            await asyncio.sleep(PAUSES[min(len(self.starts), len(PAUSES)) - 1])
            return await super().instantiate()

    return PatientNanny


def visible_gpus(environment: Mapping[str, str]) -> list[str]:
    """The names by which CUDA takes this machine's GPUs; found without torch, which would cost the launcher seconds."""
    chosen = environment.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [name.strip() for name in chosen.split(",") if name.strip() not in ("", "-1")]
    driver = Path("/proc/driver/nvidia/gpus")
    return [str(number) for number, _ in enumerate(driver.iterdir())] if driver.is_dir() else []


if __name__ == "__main__":
    main()
