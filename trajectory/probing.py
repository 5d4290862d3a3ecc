"""Looks at strangers' files in processes of their own, which may die or hang of them: the app does not.

`python -m trajectory.probing` reads what to look at from its input, a line of JSON each, and says what it found in the same way.
"""

import contextlib
import dataclasses
import json
import logging
import os
import queue
import select
import subprocess
import sys
from pathlib import Path
from typing import Any

from trajectory import audio
from trajectory.audio import LIMITS, AudioError, Probe
from trajectory.errors import TrajectoryError
from trajectory.settings import AudioLimits

LOG = logging.getLogger(__name__)
ROOT = Path(__file__).parents[1]
PROCESSES = 2  # at once
ANSWER_SECONDS = 20.0  # of one file
START_SECONDS = 60.0  # of a process, where a busy machine may take its time
FILES = 200  # after which a process is replaced: what leaks goes with it
ADDRESS_BYTES = 2_000_000_000  # more than it has at its start
FATAL = "this file ended the program that was to read it, so it is not taken; convert it, or choose another"
ENDLESS = f"this file could not be read within {ANSWER_SECONDS:g} s, so it is not taken; convert it, or choose another"


class Prober:
    """What `audio.probe` does, done elsewhere."""

    def __init__(self) -> None:
        self._idle: queue.LifoQueue[_Process | None] = queue.LifoQueue()
        for _ in range(PROCESSES):
            self._idle.put(None)  # none begun yet

    def warm(self) -> None:
        """Begins one, so that the first file need not wait for it."""
        process = self._idle.get()
        self._idle.put(process or _Process())

    def probe(self, path: str | Path, limits: AudioLimits = LIMITS) -> Probe:
        """What the file says without being decoded; what it does to the process that reads it is a refusal like any other."""
        process = self._idle.get()
        try:
            process = process or _Process()
            answer = process.ask({"path": str(path), "limits": dataclasses.asdict(limits)})
        except TimeoutError:
            _end(process, "hung")
            process = None
            raise AudioError(f"{Path(path).name}: {ENDLESS}") from None
        except EOFError:
            _end(process, "ended")
            process = None
            raise AudioError(f"{Path(path).name}: {FATAL}") from None
        except OSError as error:
            _end(process, "could not be had")
            process = None
            raise AudioError(f"{Path(path).name} cannot be looked at now ({error.strerror}); try again in a while") from error
        finally:
            if process is not None and process.files >= FILES:
                process.close()
                process = None
            self._idle.put(process)
        if "refusal" in answer:
            raise AudioError(answer["refusal"])
        return Probe(**answer["probe"])

    def close(self) -> None:
        """Ends them all."""
        for _ in range(PROCESSES):
            with contextlib.suppress(queue.Empty):
                if (process := self._idle.get(timeout=ANSWER_SECONDS)) is not None:
                    process.close()
                self._idle.put(None)


class _Process:
    def __init__(self) -> None:
        self.files = 0
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "trajectory.probing"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
            start_new_session=True,  # Ctrl-C is the app's to answer
        )
        try:
            self._line(START_SECONDS)
        except (EOFError, TimeoutError) as error:
            self.close()
            raise OSError(None, "the program that looks at files does not start") from error

    def ask(self, asked: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None  # noqa: S101 - it was asked for
        self.files += 1
        try:
            self._process.stdin.write(json.dumps(asked).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise EOFError from error
        found: dict[str, Any] = json.loads(self._line(ANSWER_SECONDS))
        return found

    def _line(self, seconds: float) -> bytes:
        assert self._process.stdout is not None  # noqa: S101 - it was asked for
        if not select.select([self._process.stdout], [], [], seconds)[0]:
            raise TimeoutError
        line = self._process.stdout.readline()
        if not line.endswith(b"\n"):
            raise EOFError
        return line

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


def _end(process: _Process | None, how: str) -> None:
    LOG.warning("a process that looks at files %s", how)
    if process is not None:
        process.close()


def main() -> None:
    """Looks at one file after the other, and can neither write one nor take much memory."""
    import resource  # which Windows has not; there the app looks itself

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + ADDRESS_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    _say({"ready": True})
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            _say({"probe": dataclasses.asdict(audio.probe(asked["path"], AudioLimits(**asked["limits"])))})
        except TrajectoryError as error:
            _say({"refusal": str(error)})
        except MemoryError:
            _say({"refusal": f"{Path(asked['path']).name} asks for more memory than a song does; convert it, or choose another"})


def _say(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)  # noqa: T201 - to whoever asked


if __name__ == "__main__":
    main()
