"""What a speech encoder of the usual size takes of memory on a long song: `python -m tests.benchmarks.speech` is the process measured.

The project does not bring such weights, so they are drawn at random: as many, in the same layers, at the same cost.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.benchmarks.forecasts import Row, verdict
from tests.benchmarks.music import ROOT
from trajectory import encoders
from trajectory.records import Recording

MINUTES = 10
SAMPLE_RATE = 44_100
MOST_GIGABYTES = 3.0


def memory(_pool: ProcessPoolExecutor) -> tuple[list[Row], Any]:
    """A wav2vec2-base on a recording of ten minutes, in a process of its own."""
    told = subprocess.run([sys.executable, "-m", "tests.benchmarks.speech"], cwd=ROOT, check=True, capture_output=True, text=True)
    found = json.loads(told.stdout.splitlines()[-1])
    gigabytes = found["peak_bytes"] / 1e9
    words = f"wav2vec2-base ({found['weights'] / 1e6:.0f} M weights) hears {MINUTES} min: peak memory of its process"
    measured = f"{gigabytes:.2f} GB; {found['frames']} frames in {found['seconds']:.0f} s"
    return [(words, f"< {MOST_GIGABYTES:g} GB", measured, verdict(gigabytes < MOST_GIGABYTES))], found


def _hear() -> None:
    import transformers

    torch.set_num_threads(1)
    noise = np.random.default_rng(0).normal(0, 0.1, MINUTES * 60 * SAMPLE_RATE).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        model = transformers.Wav2Vec2Model(transformers.Wav2Vec2Config())
        weights = model.num_parameters()
        model.save_pretrained(folder)
        del model
        encoder = encoders.load("wav2vec2", folder=Path(folder))
    began = time.perf_counter()
    frames = encoder.frames(Recording(samples=noise, sample_rate=SAMPLE_RATE, name="noise"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    print(json.dumps({"weights": weights, "frames": len(frames.points), "seconds": time.perf_counter() - began, "peak_bytes": peak}))


if __name__ == "__main__":
    _hear()
