"""The music that is measured, and one measured training: what the benchmarks' worker processes run."""

import dataclasses
import resource
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from trajectory import audio, geometry, model, structure, training
from trajectory.records import Recording, Spectrogram
from trajectory.settings import SectionSettings, Settings
from trajectory.spectrogram import spectrogram

ROOT = Path(__file__).parents[2]
CLIPS = sorted((ROOT / "assets/songs").glob("0[1-6]*.ogg"))
TRUTH = ROOT / "tests/truth"
FORM = TRUTH / "form_aba_100bpm.ogg"
FORM_40_SECONDS = SectionSettings(start=0, stop=40)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What one training gave."""

    song: str
    seconds: float  # training, its R and the embedding
    steps: int
    reconstruction: float
    gain: float
    turn_cosine: float
    separation: float
    lobes: int
    period_seconds: float | None


def warm() -> None:
    """Makes a worker process ready: imports, one thread, the first small training."""
    torch.set_num_threads(1)
    noise = np.random.default_rng(0).normal(0, 0.1, 4 * audio.SAMPLE_RATE).astype(np.float32)
    settings = Settings()
    measure(
        Recording(samples=noise, sample_rate=audio.SAMPLE_RATE, name="warm"),
        dataclasses.replace(settings, training=dataclasses.replace(settings.training, steps=3)),
    )


def picture_of(path: Path, settings: Settings) -> Spectrogram:
    return spectrogram(audio.load(path, section=settings.section), settings.spectrogram)


def strung(paths: list[Path], seconds: float) -> Recording:
    """One long song out of several."""
    samples = np.concatenate([audio.load(path).samples for path in paths])[: round(seconds * audio.SAMPLE_RATE)]
    return Recording(samples=samples, sample_rate=audio.SAMPLE_RATE, name=f"{seconds:.0f} s strung together")


def five_minutes() -> Recording:
    """All the clips there are, one after the other."""
    return strung([*CLIPS, *sorted(TRUTH.glob("*.ogg"))], 300)


def measure(song: Path | Recording, settings: Settings) -> Measured:
    """Trains, embeds and looks at the path."""
    recording = song if isinstance(song, Recording) else audio.load(song, section=settings.section)
    picture = spectrogram(recording, settings.spectrogram)
    began = time.perf_counter()
    fitted = training.train_autoencoder(picture, settings)
    path = model.embed(fitted.network, picture)
    seconds = time.perf_counter() - began
    regions, repeat = structure.lobes(path), structure.period(path)
    return Measured(
        song=recording.name,
        seconds=seconds,
        steps=len(fitted.losses["total"]),
        reconstruction=fitted.reconstruction,
        gain=fitted.mean_reconstruction - fitted.reconstruction,
        turn_cosine=geometry.mean_turn_cosine(path.points) or 0.0,
        separation=regions.separation,
        lobes=regions.count,
        period_seconds=repeat.seconds if repeat else None,
    )


def train_only(picture: Spectrogram, settings: Settings) -> float:
    """Trains and embeds, nothing else; returns R."""
    fitted = training.train_autoencoder(picture, settings)
    model.embed(fitted.network, picture)
    return fitted.reconstruction


def measure_with_memory(song: Recording, settings: Settings) -> tuple[Measured, float]:
    """For a process of its own: also its peak memory in GB, everything loaded counted in."""
    torch.set_num_threads(1)
    measured = measure(song, settings)
    return measured, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
