"""What hangs when a test has no end: the stacks of all threads of its process and of all processes below it, in the test's own report."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

import psutil
import pytest

DUMP_SECONDS = 20.0  # that the stacks of one process may take


def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> bool | None:
    """In the place of what pytest-timeout does by itself, which knows no children and whose words are lost where tests run side by side."""
    if not hasattr(signal, "SIGALRM") or threading.current_thread() is not threading.main_thread():
        return None

    def give_up(_signal: int, _frame: object) -> None:
        pytest.fail(f"no end after {settings.timeout:g} s\n{stacks()}", pytrace=False)

    def cancel() -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)

    item.cancel_timeout = cancel  # type: ignore[attr-defined] # which pytest-timeout calls
    signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, settings.timeout)
    return True


def stacks() -> str:
    """Of every thread here and of every process below this one."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    own = [f"--- thread {names.get(number)}\n{''.join(traceback.format_stack(frame))}" for number, frame in sys._current_frames().items()]
    below = [f"--- process {child.pid}: {_command(child)}\n{_stacks_of(child)}" for child in psutil.Process().children(recursive=True)]
    return "\n".join([*own, *below])


def _command(child: psutil.Process) -> str:
    try:
        return " ".join(child.cmdline())[:300]
    except psutil.Error as error:
        return str(error)


def _stacks_of(child: psutil.Process) -> str:
    spy = shutil.which("py-spy", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if spy is None:
        return "py-spy is not installed"
    try:
        said = subprocess.run([spy, "dump", "--pid", str(child.pid)], capture_output=True, text=True, timeout=DUMP_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"no stacks within {DUMP_SECONDS:g} s"
    return said.stdout or said.stderr
