"""Folders for what is unfinished: one's own while one lives, and taken away by whoever comes next when one was killed.

A lock says whether a folder is held. It ends with the process that has it, whatever ended that.
"""

import math
import os
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LOCK = ".held"  # the ending of the file beside a folder that is locked for as long as the folder is held
OURS = "trajectory-"  # how a folder among everybody's temporary files begins
STALE_SECONDS = 3_600.0  # after which a folder without such a file has nobody who writes it


@contextmanager
def held(above: Path, *, prefix: str = "") -> Iterator[Path]:
    """A folder of one's own, gone afterwards."""
    folder, number = _locked_place(above, prefix)
    try:
        folder.mkdir(mode=0o700)
        yield folder
    finally:
        os.close(number)
        remove(folder)


@contextmanager
def apart() -> Iterator[Path]:
    """A folder of one's own among everybody's temporary files."""
    with held(Path(tempfile.gettempdir()), prefix=OURS) as folder:
        yield folder


def sweep_apart() -> None:
    """Removes those of `apart` whose holders were killed; what has no lock may be anybody's."""
    sweep(Path(tempfile.gettempdir()), prefix=OURS, stale_seconds=math.inf)


def remove(folder: Path) -> None:
    """Takes a folder away for one who was killed; what resists is left to `sweep`."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.with_name(folder.name + LOCK).unlink(missing_ok=True)


def sweep(above: Path, *, prefix: str = "", stale_seconds: float = STALE_SECONDS) -> None:
    """Removes the folders of those who were killed, and what is that old and was never locked."""
    for place in sorted(above.glob(f"{prefix}*")):
        with suppress(FileNotFoundError, PermissionError):
            about = place.lstat()
            if hasattr(os, "getuid") and about.st_uid != os.getuid():
                continue  # somebody else's, in a place for everyone's temporary files
            is_old = time.time() - about.st_mtime > stale_seconds
            if place.suffix == LOCK and stat.S_ISREG(about.st_mode):
                _sweep_one(place, is_old=is_old)
            elif is_old and not place.with_name(place.name + LOCK).exists():
                shutil.rmtree(place, ignore_errors=True)


def _locked_place(above: Path, prefix: str) -> tuple[Path, int]:
    while True:
        number, name = tempfile.mkstemp(prefix=prefix, suffix=LOCK, dir=above)
        if _locked(number) is not False and os.fstat(number).st_nlink:
            return Path(name).with_suffix(""), number
        os.close(number)  # somebody swept just then


def _sweep_one(lock: Path, *, is_old: bool) -> None:
    number = os.open(lock, os.O_RDWR)
    try:
        locked = _locked(number)
        if locked or (locked is None and is_old):
            remove(lock.with_suffix(""))
    finally:
        os.close(number)


if sys.platform == "win32":
    import msvcrt

    def _locked(lock: int) -> bool | None:
        try:
            msvcrt.locking(lock, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _locked(lock: int) -> bool | None:
        """Whether the lock is now had; None on a disk that knows no locks."""
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return None
        return True
