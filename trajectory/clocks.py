"""Time that goes on evenly while somebody sets the clock of the machine."""

import os
import sys
import time
from typing import Any

from trajectory import logs

_BEGAN = time.time() - time.monotonic()


def steady() -> float:
    """Seconds since 1970 as the clock had them when this process began, counted on from there."""
    return _BEGAN + time.monotonic()


def make_dask_steady() -> None:
    """Dask and its event loop wait by the clock: where that is set back by an hour, so long no message would be sent."""
    from tornado.ioloop import IOLoop

    def time_of_loop(_: IOLoop) -> float:
        return steady()

    setattr(IOLoop, "time", time_of_loop)  # noqa: B010 - a method that is replaced
    for name, module in list(sys.modules.items()):
        if name.startswith("distributed.") and getattr(module, "time", None) is time.time:
            module.time = steady  # type: ignore[attr-defined]


def dask_setup(_worker: Any) -> None:
    """Dask calls it in a worker that loads this module before its work."""
    make_dask_steady()
    logs.begin(os.environ)
