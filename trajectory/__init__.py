"""The shape of music: a small network, trained on one song alone, turns it into a path through space."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from trajectory.errors import Cancelled, TrajectoryError
from trajectory.records import Floats, Recording, Trajectory
from trajectory.settings import PRESETS, AudioLimits, SectionSettings, Settings, preset

if TYPE_CHECKING:
    from trajectory.pipeline import FitProgress
    from trajectory.runs import Run

__version__ = "0.1.0"
__all__ = [
    "PRESETS",
    "AudioLimits",
    "Cancelled",
    "Recording",
    "Settings",
    "Trajectory",
    "TrajectoryError",
    "decode",
    "fit",
    "load",
    "open",
    "preset",
    "save",
]


def load(path: str | Path, *, start: float = 0.0, stop: float | None = None, limits: AudioLimits = AudioLimits()) -> Recording:  # noqa: B008 - frozen
    """Opens a song, or the section of it between two moments in seconds."""
    from trajectory import audio

    return audio.load(path, section=SectionSettings(start=start, stop=stop), limits=limits)


def fit(
    song: Recording | str | Path, settings: Settings | str = "conditioned", *, report: Callable[[FitProgress], None] | None = None
) -> Run:
    """Trains a song's own network, by settings or by a preset's name; `report` follows it and may raise Cancelled."""
    from trajectory import pipeline

    return pipeline.fit(song, preset(settings) if isinstance(settings, str) else settings, report=report)


def save(run: Run, folder: str | Path) -> Path:
    """Keeps a run as a folder."""
    from trajectory import runs

    return runs.save(run, folder)


def open(folder: str | Path) -> Run:  # noqa: A001 - trajectory.open(path) says what it does
    """Opens a run that was kept."""
    from trajectory import runs

    return runs.load(folder)


def decode(run: Run, points: Floats) -> Floats:
    """The spectrogram window (points, bins, frequencies) that each point of the run's space means, visited or not."""
    from trajectory import pipeline

    return pipeline.decode(run, points)
