"""Python reads this at its start where this folder is in PYTHONPATH: its wall clock is then ahead by what a file says."""

import mmap
import os
import struct
import time

_now = time.time
with open(os.environ["CLOCK_AHEAD"], "rb") as _file:  # noqa: PTH123 - as little as possible is imported before everything else
    _ahead = mmap.mmap(_file.fileno(), 8, access=mmap.ACCESS_READ)


def _jumping() -> float:
    seconds: float = struct.unpack("<d", _ahead[:8])[0]
    return _now() + seconds


time.time = _jumping
