"""`python -m tests.fuzz.cases FOLDER TARGET ...` puts cases through the targets' doors, in a process that may die of them.

It reads what to try from its input, a line each: a target, and a case's number or the path of a file; and says of each what became of it.
"""

import contextlib
import json
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

from tests.fuzz.faulty import ARMED, FAULTY
from tests.fuzz.targets import TARGETS
from trajectory.errors import TrajectoryError

CPU_SECONDS, WALL_SECONDS = float(os.environ.get("FUZZ_CPU_SECONDS", "5")), 60.0  # of one case; the second is for a busy machine
GROWTH_BYTES = 400_000_000  # of what the process held at most so far
ADDRESS_BYTES = 4_000_000_000  # more than it had at its start
LONGEST_SENTENCE = 2_000  # letters
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = {"os.mkdir", "os.remove", "os.rmdir", "os.rename", "os.symlink", "os.link", "os.chmod", "os.truncate", "sqlite3.connect"}
DOORS_OUT = (
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "socket.connect",
    "socket.bind",
    "ctypes.dlopen",
    "pickle.find_class",
)


class Guard:
    """Notes what Python is asked to write outside a folder, to run, or to reach over a network."""

    def __init__(self, folder: Path) -> None:
        self.inside = (str(folder), os.devnull)
        self.seen: list[str] = []
        self.armed = False
        sys.addaudithook(self.hear)

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.armed:
            return
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, str | bytes) and isinstance(flags, int) and flags & WRITES and not self._is_inside(path):
                self.seen.append(f"{event} {path!r:.200}")
        elif event in CHANGES:
            at = arguments[-1] if len(arguments) > 1 and isinstance(arguments[-1], int) else -1
            if isinstance(arguments[0], str | bytes) and not self._is_inside(arguments[0], at):
                self.seen.append(f"{event} {arguments[0]!r:.200}")
        elif event.startswith(DOORS_OUT):
            self.seen.append(f"{event} {arguments!r:.200}")

    def _is_inside(self, path: str | bytes, folder: int = -1) -> bool:
        text = os.fsdecode(path).removeprefix("file:")
        if folder >= 0 and not text.startswith("/"):
            text = f"{Path(f'/proc/self/fd/{folder}').readlink()}/{text}"
        return "\0" in text or os.path.abspath(text).startswith(self.inside)  # noqa: PTH100 - nothing is followed


def attempt(door: Any, data: bytes, place: Path, guard: Guard) -> str | None:
    """What is wrong with how a case ended; None where all is well."""
    wrong = None
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)  # the signals end the process, even in the middle of a C library
    signal.setitimer(signal.ITIMER_REAL, WALL_SECONDS)
    guard.seen, guard.armed = [], True
    try:
        door(data, place)
    except TrajectoryError as error:
        sentence = str(error)
        if not sentence or "\n" in sentence or len(sentence) > LONGEST_SENTENCE:
            wrong = f"no sentence: {sentence[:300]!r}"
    except BaseException:  # noqa: BLE001 - whatever it is, it is reported
        wrong = traceback.format_exc(limit=-6)[-3_000:]
    finally:
        guard.armed = False
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
    return f"outside: {guard.seen[:3]}" if guard.seen else wrong


def main() -> None:
    folder, targets = Path(sys.argv[1]).resolve(), {name: (TARGETS | FAULTY)[name] for name in sys.argv[2:]}
    inside = folder / "inside"
    case, temporary = inside / "case", inside / "temporary"
    for place in (case, temporary):
        place.mkdir(parents=True)
    tempfile.tempdir = str(temporary)
    os.environ["TRAJECTORY_HOME"] = str(inside / "home")
    os.chdir(case)
    for target in targets.values():
        for seed in target.kept_seeds:  # imports and caches, before anything is measured
            with contextlib.suppress(TrajectoryError):
                target.door(seed, case)
            empty(case)
    resource.setrlimit(resource.RLIMIT_AS, (_bytes("VmSize") + ADDRESS_BYTES,) * 2)
    guard, peak = Guard(inside), _bytes("VmHWM")
    ARMED.append(True)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        name, which = line.split()
        data = targets[name].case(int(which)) if which.isdigit() else Path(which).read_bytes()
        wrong = attempt(targets[name].door, data, case, guard)
        now = _bytes("VmHWM")
        left = [path.name for path in temporary.iterdir()]
        if wrong is None and now - peak > GROWTH_BYTES:
            wrong = f"memory grew by {(now - peak) / 1e6:.0f} MB"
        if wrong is None and left:
            wrong = f"left behind: {left[:3]}"
        peak = max(peak, now)
        empty(case)
        empty(temporary)
        print(json.dumps({"target": name, "case": which, "wrong": wrong}), flush=True)


def _bytes(name: str) -> int:
    """What Linux knows of this process; getrusage would tell of the parent's memory too."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def empty(folder: Path) -> None:
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


if __name__ == "__main__":
    main()
