"""Two songs beside each other: how much they agree, and where."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trajectory.records import Floats, Trajectory

from .vectors import SimilarityError, unit

Reals = NDArray[np.float64]

MOST = 200  # pieces of a song that are compared
STRETCH_SECONDS = 4.0  # at least, where the songs are that long
STRETCHES = 5
ROUNDING = 1e-5  # of a cosine


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """Some seconds of one song that are like some seconds of the other."""

    a_start: float
    a_stop: float
    b_start: float
    b_stop: float
    likeness: float  # the mean cosine along it


@dataclass(frozen=True, kw_only=True, eq=False)
class Agreement:
    """Two songs piece by piece."""

    likeness: float  # the mean cosine of each piece with the most alike of the other song, both ways: 1 all of it is there
    matrix: Floats  # (a's pieces, b's pieces): their cosines
    a_times: Reals  # (a's pieces,) seconds of the song, the middle of each
    b_times: Reals
    stretches: tuple[
        Stretch, ...
    ]  # where they agree best; none shares sound with another, and each is as long as pieces stay above `likeness`


def agreement(a: Trajectory, b: Trajectory) -> Agreement:
    """Compares the frames of two songs that one encoder gave, in pieces of the same length in both."""
    if a.dims != b.dims:
        raise SimilarityError(f"frames of {a.dims} and of {b.dims} dimensions cannot be compared; use one encoder for both songs")
    longer = max(float(path.times[-1] - path.times[0]) for path in (a, b))
    step = max(a.step_seconds, b.step_seconds, longer / (MOST - 1))
    (a_points, a_times), (b_points, b_times) = _pieces(a, step), _pieces(b, step)
    matrix = np.clip(a_points @ b_points.T, -1, 1)
    likeness = float((matrix.max(axis=1).mean() + matrix.max(axis=0).mean()) / 2)
    return Agreement(
        likeness=likeness,
        matrix=matrix,
        a_times=a_times,
        b_times=b_times,
        stretches=tuple(_stretches(matrix, a_times, b_times, step, likeness - ROUNDING)),
    )


def _pieces(path: Trajectory, step: float) -> tuple[Floats, Reals]:
    """The mean frame about every so many seconds, at length 1; where no frame falls, the nearest."""
    times = path.times[0] + step * np.arange(int((path.times[-1] - path.times[0]) / step + ROUNDING) + 1)
    edges = np.searchsorted(path.times, np.append(times - step / 2, times[-1] + step / 2))
    sums = np.concatenate([np.zeros((1, path.dims)), np.cumsum(path.points, axis=0, dtype=np.float64)])
    sizes = np.diff(edges)[:, None]
    nearest = np.abs(path.times[:, None] - times).argmin(axis=0)
    means = np.where(sizes > 0, np.diff(sums[edges], axis=0) / np.maximum(sizes, 1), path.points[nearest])
    return unit(means.astype(np.float32)), times


def _stretches(matrix: Floats, a_times: Reals, b_times: Reals, step: float, level: float) -> list[Stretch]:
    """The best diagonals, at one speed in both songs, as far as they stay at the level; each leaves out what better ones hold."""
    least = min(*matrix.shape, max(1, round(STRETCH_SECONDS / step)))
    rows, columns = (size - least + 1 for size in matrix.shape)
    along: Reals = np.asarray(np.mean([matrix[k : k + rows, k : k + columns] for k in range(least)], axis=0, dtype=np.float64))
    free = matrix.copy()
    found: list[Stretch] = []
    while len(found) < STRETCHES and np.isfinite(along).any():
        i, j = (int(place) for place in np.unravel_index(int(along.argmax()), along.shape))
        before = _further(free, i - 1, j - 1, -1, level)
        length = before + least + _further(free, i + least, j + least, 1, level)
        i, j = i - before, j - before
        found.append(_stretch(matrix, i, j, length, a_times, b_times, step))
        free[i : i + length], free[:, j : j + length] = -np.inf, -np.inf
        along[max(0, i - least + 1) : i + length], along[:, max(0, j - least + 1) : j + length] = -np.inf, -np.inf
    return found


def _further(matrix: Floats, i: int, j: int, way: int, level: float) -> int:
    """How many pieces on along the diagonal stay at the level."""
    count = 0
    while 0 <= i < matrix.shape[0] and 0 <= j < matrix.shape[1] and matrix[i, j] >= level:
        i, j, count = i + way, j + way, count + 1
    return count


def _stretch(matrix: Floats, i: int, j: int, length: int, a_times: Reals, b_times: Reals, step: float) -> Stretch:
    a_start, b_start = (max(0.0, float(time) - step / 2) for time in (a_times[i], b_times[j]))
    likeness = float(np.diagonal(matrix[i : i + length, j : j + length]).mean())
    return Stretch(a_start=a_start, a_stop=a_start + length * step, b_start=b_start, b_stop=b_start + length * step, likeness=likeness)
