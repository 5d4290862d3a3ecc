"""Doors with known faults, for the test of the hunt itself."""

import signal
import tempfile
from pathlib import Path

import numpy as np

from tests.fuzz.targets import Door, Target


def _hang(_: bytes, __: Path) -> None:
    while True:
        pass


def _grow(_: bytes, __: Path) -> None:
    np.ones(80_000_000)


def _escape(_: bytes, folder: Path) -> None:
    (folder.parents[1] / "escaped").touch()


def _litter(_: bytes, __: Path) -> None:
    tempfile.mkstemp()


def _faulty(name: str, door: Door) -> Target:
    return Target(
        name=name, seeds=lambda: [b"seed"], change=lambda data, *_: data, door=lambda data, folder: door(data, folder) if ARMED else None
    )


ARMED: list[bool] = []  # once the whole inputs were put through
FAULTY = {
    name: _faulty(name, door)
    for name, door in {
        "good": lambda *_: None,
        "hang": _hang,
        "crash": lambda *_: signal.raise_signal(signal.SIGSEGV),
        "grow": _grow,
        "escape": _escape,
        "litter": _litter,
        "bug": lambda *_: 1 // 0,
    }.items()
}
