"""What the stages hand to each other: plain records of numpy arrays, whole or not made at all."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trajectory.errors import TrajectoryError
from trajectory.settings import WHOLE, SectionSettings

Floats = NDArray[np.float32]


class RecordError(TrajectoryError):
    """Numbers that do not fit together."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Recording:
    """A song's sound: one channel, the mean of its own."""

    samples: Floats  # (samples,)
    sample_rate: int  # Hz
    name: str  # the file's
    section: SectionSettings = WHOLE  # the part of the song that `samples` are
    title: str | None = None
    artist: str | None = None
    cover: bytes | None = field(default=None, repr=False)  # a picture file's bytes

    @property
    def start(self) -> float:
        return self.section.start

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.sample_rate


@dataclass(frozen=True, kw_only=True, eq=False)
class Spectrogram:
    """Sound by frequency and time, scaled to [0, 1] by the `low` and `high` of the part it was fitted on."""

    values: Floats  # (bins, frequencies)
    frequencies: NDArray[np.float64]  # (frequencies,) Hz
    bin_seconds: float
    start: float  # seconds of the song at which bin 0 begins
    low: float
    high: float

    @property
    def bins(self) -> int:
        return len(self.values)


@dataclass(frozen=True, kw_only=True, eq=False)
class Trajectory:
    """A path through space: the model's own points, and the moment of the song that each stands for."""

    points: Floats  # (points, dims)
    times: NDArray[np.float64]  # (points,) seconds of the song, each at its window's centre

    def __post_init__(self) -> None:
        if self.points.ndim != 2 or self.times.shape != self.points.shape[:1]:
            raise RecordError(
                f"{self.points.shape} points and {self.times.shape} times do not make a trajectory; they need (n, dims) and (n,)"
            )
        if len(self.points) < 2:
            raise RecordError(f"{len(self.points)} points do not make a path; at least 2 are needed")
        if not (np.isfinite(self.points).all() and np.isfinite(self.times).all()):
            raise RecordError("the trajectory holds values that are not numbers; train it again")
        if not (np.diff(self.times) > 0).all():
            raise RecordError("the trajectory's times do not rise")

    @property
    def dims(self) -> int:
        return int(self.points.shape[1])

    @property
    def step_seconds(self) -> float:
        return float(self.times[-1] - self.times[0]) / (len(self.times) - 1)


@dataclass(frozen=True, kw_only=True, eq=False)
class Forecast:
    """Where a path was foretold to go from one moment on, in the trajectory's own coordinates."""

    method: str
    protocol: str
    start: float  # seconds of the song: the last point that was known
    path: Floats  # (steps, dims)
    times: NDArray[np.float64]  # (steps,) seconds of the song
    truth: Floats  # (up to steps, dims): what came, as far as the song goes
    members: Floats  # (members, steps, dims): each path of an ensemble; none for a method that tells one

    def fan(self, *shares: float) -> Floats:
        """The members' quantiles on each axis, (shares, steps, dims)."""
        return np.quantile(self.members, shares, axis=0).astype(np.float32)


@dataclass(frozen=True, kw_only=True, eq=False)
class Forming:
    """How a trajectory took shape while its model trained: snapshots of the same few points."""

    steps: NDArray[np.int64]  # (snapshots,)
    points: Floats  # (snapshots, points, dims)
    times: NDArray[np.float64]  # (points,) seconds of the song

    def __post_init__(self) -> None:
        if self.points.ndim != 3 or self.points.shape[:2] != (len(self.steps), len(self.times)):
            raise RecordError(f"{self.points.shape} points, {self.steps.shape} steps and {self.times.shape} times do not make a forming")


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingLog:
    """What happened while a model trained."""

    losses: dict[str, Floats]  # each named term by step, unweighted, and `total`
    seconds: float
    device: str
    versions: dict[str, str]
    reconstruction: float  # R of every window that training saw, at the end
    mean_reconstruction: float  # R of their mean spectrum alone

    def __post_init__(self) -> None:
        if "total" not in self.losses:
            raise RecordError("a training without its total loss is not whole")

    @property
    def gain(self) -> float:
        """How much better than the mean spectrum the model reconstructs."""
        return self.mean_reconstruction - self.reconstruction
