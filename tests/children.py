"""Processes that a test starts and listens to."""

import subprocess
import threading

PATIENCE = 90.0  # seconds, where a busy machine may take its time


def line_of(process: "subprocess.Popen[str]", seconds: float = PATIENCE) -> str:
    """What the process says next; one that says nothing for so long is ended, and the line is empty."""
    assert process.stdout is not None
    killer = threading.Timer(seconds, process.kill)
    killer.start()
    try:
        return process.stdout.readline()
    finally:
        killer.cancel()
