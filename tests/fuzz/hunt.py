"""Sends cases to processes that may die of them, and gathers what went wrong."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
BATCH = 2_000  # cases of one process
QUIET = {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONWARNINGS": "ignore", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A case that did not end in sound or a sentence."""

    target: str
    case: str  # its number, or its file
    wrong: str


def hunt(cases: Iterable[tuple[str, object]]) -> Iterator[Fault]:
    """Tries (target, number or file); a case that ends its process is a fault, and the next has a process of its own."""
    waiting = [(target, str(case)) for target, case in cases]
    while waiting:
        batch = waiting[:BATCH]
        done, end = _tried(batch)
        yield from (Fault(**line) for line in done if line["wrong"])
        if len(done) < len(batch):
            target, case = batch[len(done)]
            yield Fault(target=target, case=case, wrong=end)
        waiting = waiting[min(len(done) + 1, len(batch)) :]


def _tried(batch: list[tuple[str, str]]) -> tuple[list[dict[str, Any]], str]:
    """What one process said of each case, and how it ended."""
    with tempfile.TemporaryDirectory(prefix="trajectory-fuzz-") as folder:
        ended = subprocess.run(
            [sys.executable, "-m", "tests.fuzz.cases", folder, *sorted({target for target, _ in batch})],
            cwd=ROOT,
            env=os.environ | QUIET | {"TORCHINDUCTOR_CACHE_DIR": folder},
            input="".join(f"{target} {case}\n" for target, case in batch),
            capture_output=True,
            text=True,
            check=False,
        )
    lines = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith('{"')]
    if not lines:
        raise RuntimeError(f"the cases did not begin:\n{ended.stderr[-3_000:]}")
    return lines[1:], _end(ended.returncode, ended.stderr)


def _end(code: int, complaints: str) -> str:
    name = signal.Signals(-code).name if code < 0 else f"exit {code}"
    return f"the process ended with {name}{' (it hung)' if name in ('SIGPROF', 'SIGALRM') else ''}: {complaints[-1_500:]}"
