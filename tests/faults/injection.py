"""Faults of a disk, let happen at any one step of what a program does: Python tells of each file that is opened, made, moved or removed."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

EVENTS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.chmod", "os.listdir", "os.scandir", "sqlite3.connect"}


class Fault:
    """One that comes at the step of this number, counted from the moment in which it is armed; None counts the steps alone."""

    def __init__(self) -> None:
        self.folder, self.step, self.code = "", None, 0
        self.count, self.armed = 0, False
        sys.addaudithook(self._hear)  # which stays for as long as this process

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.armed and event in EVENTS and isinstance(arguments[0], str | bytes | os.PathLike):
            self._pass(os.fsdecode(arguments[0]))

    def _pass(self, path: str) -> None:
        if not path.startswith(self.folder):
            return
        self.count += 1
        if self.count == self.step:
            raise OSError(self.code, os.strerror(self.code), path)

    @contextmanager
    def at(self, folder: Path, step: int | None, code: int) -> Iterator[None]:
        """Below this folder, at this step."""
        self.folder, self.step, self.code, self.count = str(folder), step, code, 0
        fsync = os.fsync

        def failing(number: int) -> None:
            if self.armed:
                self._pass(self.folder)
            fsync(number)

        os.fsync, self.armed = failing, True
        try:
            yield
        finally:
            self.armed, os.fsync = False, fsync


FAULT = Fault()
