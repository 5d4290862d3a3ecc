"""Encoders of sound behind one protocol: a recording becomes frames, frames become a vector, moments or a path.

Light to import: the encoders themselves, which bring torch along, are reached inside `load`.
"""

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

import numpy as np

from trajectory import geometry, resampling
from trajectory.errors import TrajectoryError
from trajectory.records import Floats, Recording, Trajectory
from trajectory.settings import ENCODERS, RHYTHMS, Pooling

SPEECH = ("wav2vec2", "hubert", "whisper")

Report = Callable[[float], None]  # gets the share that is done; may raise Cancelled


class EncoderError(TrajectoryError):
    """An encoder that is not there, or sound that it cannot take."""


class Encoder(Protocol):
    """Anything that turns sound into vectors over time."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str:
        """16 hex digits of the weights and of what is done with them: vectors of two versions are never compared."""

    @property
    def dims(self) -> int: ...

    def frames(self, recording: Recording, *, report: Report | None = None) -> Trajectory:
        """(n, dims), each at the centre of the sound it has heard, in seconds of the song."""


def load(name: str, *, folder: Path | None = None, hub: str | None = None) -> Encoder:
    """An encoder by its name; `folder` holds the weights of those that bring none, or `hub` names a model to fetch from the internet."""
    if name not in ENCODERS:
        raise EncoderError(f"there is no encoder '{name}'; choose from {', '.join(ENCODERS)}")
    if name in RHYTHMS:
        raise EncoderError("rhythm hears no sound: it is worked out from a run's trajectory; train the song first")
    if name == "musicnn":
        from trajectory.encoders import musicnn

        return musicnn.opened()
    if name == "logmel-cnn":
        if folder is None:
            raise EncoderError("logmel-cnn is trained on one's own songs; train it and give the folder it was saved in")
        from trajectory.encoders import logmel

        return logmel.opened(folder)
    from trajectory.encoders import speech

    return speech.opened(name, folder=folder, hub=hub)


def vector(encoder: Encoder, recording: Recording, pooling: Pooling) -> Floats:
    """What the encoder hears in a whole song: (dims,)."""
    return pooled(encoder.frames(recording), pooling)


def pooled(frames: Trajectory, pooling: Pooling) -> Floats:
    """The frames as one: (dims,)."""
    return _pooled(frames.points, pooling)


def _pooled(points: Floats, pooling: Pooling) -> Floats:
    if pooling == "max":
        return points.max(axis=0)
    if pooling == "mean":
        return points.mean(axis=0, dtype=np.float64).astype(np.float32)
    return (_attention(points) @ points).astype(np.float32)


def _attention(points: Floats) -> Floats:
    """Untrained: each frame counts by how much it is like the whole, exp(s) with s = frame . mean frame in standard deviations."""
    likeness = points @ points.mean(axis=0, dtype=np.float64)
    spread = likeness.std()
    weights = np.exp((likeness - likeness.max()) / spread) if spread > 0 else np.ones(len(points))
    return (weights / weights.sum()).astype(np.float32)


def segments(frames: Trajectory, pooling: Pooling, *, seconds: float = 4.0, step: float = 2.0) -> Trajectory:
    """The song's moments: so many seconds of frames as one each, at the middle; a song too short for two has its frames instead."""
    if not (seconds >= frames.step_seconds and step > 0):
        raise EncoderError(f"moments of {seconds:g} s every {step:g} s are too short; the frames are {frames.step_seconds:.2g} s apart")
    first, last = frames.times[0], frames.times[-1] + frames.step_seconds
    starts = first + step * np.arange(int((last - first - seconds) / step + 1 + 1e-6))
    if len(starts) < 2:
        return frames
    parts = [slice(*np.searchsorted(frames.times, (start - 1e-6, start + seconds - 1e-6))) for start in starts]
    return Trajectory(
        points=np.stack([_pooled(frames.points[part], pooling) for part in parts]),
        times=np.array([frames.times[part].mean() for part in parts]),
    )


def as_path(frames: Trajectory, dims: int = 3) -> Trajectory:
    """Frames of any encoder as a trajectory to look at: their widest two or three axes, never mirrored."""
    if dims not in (2, 3):
        raise EncoderError(f"a path of {dims} dimensions cannot be shown; choose 2 or 3")
    points = geometry.principal_coordinates(frames.points)[:, :dims]
    return Trajectory(points=points.astype(np.float32), times=frames.times)


def at_rate(recording: Recording, sample_rate: int) -> Floats:
    """The recording's samples at the rate that an encoder was trained on."""
    blocks = iter([recording.samples])
    for ratio in resampling.ratios(recording.sample_rate, sample_rate):
        blocks = resampling.resampled(blocks, ratio)
    return np.concatenate(list(blocks))


def stamp(files: Iterable[Path], code: int) -> str:
    """The version of an encoder: a hash of its files and of the number that its code counts its changes by."""
    digest = hashlib.sha256(str(code).encode())
    for path in sorted(files):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]
