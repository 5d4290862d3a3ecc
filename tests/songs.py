"""The project's own music, and what is known of it."""

import functools
import json
from pathlib import Path
from typing import Any

import soundfile

from trajectory.records import Recording, Spectrogram
from trajectory.settings import Scale, SpectrogramSettings
from trajectory.spectrogram import spectrogram

ROOT = Path(__file__).parents[1]
TRUTH: dict[str, dict[str, Any]] = json.loads((ROOT / "tests/truth/truth.json").read_text())
LOOPS = [name for name, facts in TRUTH.items() if facts["repeats"]]


@functools.cache
def picture(path: str, scale: Scale = "linear") -> Spectrogram:
    samples, rate = soundfile.read(ROOT / path, dtype="float32", always_2d=True)
    return spectrogram(Recording(samples=samples.mean(axis=1), sample_rate=rate, name=path), SpectrogramSettings(scale=scale))
