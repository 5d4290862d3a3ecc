"""Where does the path go next? Forecasters that know a library of the path and a history up to now, and nothing of what follows.

Histories come in as (starts, length, dims), the moment of the forecast last; futures go out as (starts, steps, dims). All numbers
are in the library's own scale.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree
from scipy.spatial.distance import cdist

from trajectory.errors import TrajectoryError
from trajectory.records import Trajectory

Reals = NDArray[np.float64]
Indices = NDArray[np.int64]

HORIZON = 30  # steps over which choices are made on the library
MOST_MOMENTS = 4_000  # that a local linear map is fitted to; of a long song every so many-th


class ForecastError(TrajectoryError):
    """A forecast that cannot be made from what is known."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Library:
    """What a forecaster may know: stretches of the path, each axis scaled to [0, 1] by what they span, once and for all."""

    points: Reals  # (points, dims) of the whole path, scaled; what lies outside the stretches is not read
    stretches: tuple[tuple[int, int], ...]  # half-open ranges of known points
    low: Reals  # (dims,)
    span: Reals  # (dims,)
    overlap: int  # steps over which two points share sound: nearer ones are no independent witnesses

    def scaled(self, points: NDArray[np.floating]) -> Reals:
        return (np.asarray(points, dtype=np.float64) - self.low) / self.span

    def unscaled(self, points: Reals) -> Reals:
        return points * self.span + self.low

    def moments(self, *, before: int, after: int) -> Indices:
        """The known points with so many known ones before and after them in the same stretch."""
        ranges = [np.arange(first + before, stop - after) for first, stop in self.stretches]
        return np.concatenate(ranges) if ranges else np.empty(0, np.int64)

    @property
    def known(self) -> Reals:
        return self.points[self.moments(before=0, after=0)]


def library(trajectory: Trajectory, stretches: tuple[tuple[int, int], ...], *, overlap: int) -> Library:
    """Those stretches of a path, as a library."""
    known = np.concatenate([trajectory.points[first:stop] for first, stop in stretches]).astype(np.float64)
    if len(known) < 2:
        raise ForecastError(f"a library of {len(known)} points holds no steps; leave more of the song to it")
    low, span = known.min(axis=0), np.ptp(known, axis=0)
    span = np.where(span > 0, span, 1.0)
    return Library(points=(trajectory.points - low) / span, stretches=stretches, low=low, span=span, overlap=overlap)


class Forecaster(Protocol):
    """A fitted forecaster."""

    @property
    def method(self) -> "Method":
        """How it was made, all choices settled: fits another like it."""

    @property
    def history(self) -> int:
        """Points that it needs to look back on, the present one included."""

    def rollout(self, histories: Reals, steps: int) -> Reals:
        """(starts, history or more, dims) -> (starts, steps, dims)."""


@runtime_checkable
class Fan(Forecaster, Protocol):
    """A forecaster that tells several paths."""

    def members(self, histories: Reals, steps: int) -> Reals:
        """(starts, history or more, dims) -> (members, starts, steps, dims)."""


class Method(Protocol):
    """A way to make a forecaster from a library."""

    def fit(self, library: Library) -> Forecaster: ...


# --- The two baselines


@dataclass(frozen=True)
class Persistence:
    """Everything stays where it is."""

    history: int = 1

    @property
    def method(self) -> "Persistence":
        return self

    def fit(self, library: Library) -> "Persistence":  # noqa: ARG002 - there is nothing to learn
        return self

    def rollout(self, histories: Reals, steps: int) -> Reals:
        return np.repeat(histories[:, -1:], steps, axis=1)


@dataclass(frozen=True)
class Mean:
    """Everything goes to the middle of the library at once."""

    def fit(self, library: Library) -> "_Mean":
        return _Mean(library.known.mean(axis=0))


@dataclass(frozen=True)
class _Mean:
    centre: Reals
    history: int = 1
    method: Mean = Mean()

    def rollout(self, histories: Reals, steps: int) -> Reals:
        return np.broadcast_to(self.centre, (len(histories), steps, len(self.centre))).copy()


# --- Published neighbours


@dataclass(frozen=True, kw_only=True)
class Knn:
    """The published rule: the mean step of 5 neighbours of the present point, weighted by inverse distance, again and again.

    In sample the nearest of one more is dropped at every step, as if it were the point itself, and an exact hit divides by zero.
    """

    neighbours: int = 5
    in_sample: bool = False

    def fit(self, library: Library) -> "_Knn":
        moments = library.moments(before=0, after=0 if self.in_sample else 1)
        if len(moments) < self.neighbours + self.in_sample:
            raise ForecastError(f"{len(moments)} library points are too few for {self.neighbours} neighbours; leave more of the song to it")
        velocities = np.diff(library.points, axis=0, append=library.points[-1:])
        return _Knn(KDTree(library.points[moments]), velocities[moments], self)


@dataclass(frozen=True)
class _Knn:
    tree: KDTree
    velocities: Reals
    method: Knn
    history: int = 1

    def rollout(self, histories: Reals, steps: int) -> Reals:
        here = histories[:, -1].copy()
        path = np.full((len(here), steps, here.shape[1]), np.nan)
        drop = int(self.method.in_sample)
        for step in range(steps):
            sound = np.isfinite(here).all(axis=1)  # after an exact hit the published rule has nowhere to go
            distances, found = self.tree.query(here[sound], range(1 + drop, self.method.neighbours + drop + 1))
            with np.errstate(divide="ignore", invalid="ignore"):
                weights = 1 / (distances if drop else np.maximum(distances, 1e-12))
                weights /= weights.sum(axis=1, keepdims=True)
                here[sound] += (weights[:, :, None] * self.velocities[found]).sum(axis=1)
            path[:, step] = here
        return path


# --- Neighbours with a memory


@dataclass(frozen=True, kw_only=True)
class Memory:
    """What a moment is compared by: `count` points, `lag` steps apart, the present one last."""

    count: int
    lag: int

    @property
    def reach(self) -> int:
        return (self.count - 1) * self.lag

    def of(self, points: Reals, moments: Indices) -> Reals:
        """(points, dims) -> (moments, count * dims)."""
        seen = moments[:, None] - self.lag * np.arange(self.count - 1, -1, -1)
        return points[seen].reshape(len(moments), -1)

    def now(self, paths: Reals) -> Reals:
        """The present of paths (starts, length, dims) -> (starts, count * dims)."""
        last = paths.shape[1] - 1
        return paths[:, last - self.lag * np.arange(self.count - 1, -1, -1)].reshape(len(paths), -1)


class _Chosen(Protocol):
    """A forecaster with a memory, which can be made blind to some of the library's moments: (starts, moments)."""

    @property
    def memory(self) -> Memory: ...

    @property
    def moments(self) -> Indices: ...

    def rollout(self, histories: Reals, steps: int, *, hidden: NDArray[np.bool_] | None = None) -> Reals: ...


C = TypeVar("C", bound=_Chosen)


def _best(library: Library, candidates: Iterable[C], *, trials: int) -> C:
    """The candidate with the least mean distance over forecasts from within the library, blind to all that shares sound with them."""
    several = list(candidates)
    best, least = several[0] if len(several) == 1 else None, np.inf
    for made in several if best is None else []:
        starts = library.moments(before=made.memory.reach, after=HORIZON)
        starts = starts[:: max(1, len(starts) // trials)]
        if not len(starts):
            continue
        hidden = np.abs(starts[:, None] - made.moments) <= library.overlap + HORIZON
        paths = library.points[starts[:, None] + np.arange(-made.memory.reach, 1)]
        truth = library.points[starts[:, None] + np.arange(1, HORIZON + 1)]
        error = float(np.linalg.norm(made.rollout(paths, HORIZON, hidden=hidden) - truth, axis=2).mean())
        if error < least:
            best, least = made, error
    if best is None:
        raise ForecastError(f"{len(library.known)} library points are too few to look back and {HORIZON} steps ahead; leave it more")
    return best


def _enough(library: Library, moments: Indices, *, choices: int) -> bool:
    """Whether what is hidden around a trial leaves most of the library; where nothing is to be chosen, no trial is made."""
    return len(moments) > (4 * (library.overlap + HORIZON) if choices > 1 else HORIZON)


@dataclass(frozen=True, kw_only=True)
class DelayKnn:
    """What followed the moments whose past was most like ours; memory, neighbours and the rest are chosen on the library.

    A neighbour n tells the future z_n+h + kept^h (z_t - z_n): our distance from it fades. After `chunk` steps the forecast asks anew.
    """

    memories: tuple[Memory, ...] = tuple(Memory(count=count, lag=lag) for count, lag in ((1, 1), (4, 2), (6, 4), (10, 5), (15, 3)))
    neighbours: tuple[int, ...] = (3, 6)
    kept: tuple[float, ...] = (0.0, 0.9, 1.0)
    chunks: tuple[int, ...] = (5, HORIZON)

    def fit(self, library: Library) -> "FittedDelayKnn":
        return _best(library, self._candidates(library), trials=100)

    def _candidates(self, library: Library) -> Iterator["FittedDelayKnn"]:
        for memory, chunk in itertools.product(self.memories, self.chunks):
            moments = library.moments(before=memory.reach, after=chunk)
            if _enough(library, moments, choices=len(self.memories)):
                seen = memory.of(library.points, moments)
                for neighbours, kept in itertools.product(self.neighbours, self.kept):
                    settled = DelayKnn(memories=(memory,), neighbours=(neighbours,), kept=(kept,), chunks=(chunk,))
                    yield FittedDelayKnn(settled, library.points, moments, seen, memory, neighbours, kept, chunk)


@dataclass(frozen=True)
class FittedDelayKnn:
    """Neighbours with a memory, all choices settled."""

    method: DelayKnn
    points: Reals
    moments: Indices
    seen: Reals
    memory: Memory
    neighbours: int
    kept: float
    chunk: int

    @property
    def history(self) -> int:
        return self.memory.reach + 1

    def rollout(self, histories: Reals, steps: int, *, hidden: NDArray[np.bool_] | None = None) -> Reals:
        paths = histories[:, -self.history :]
        while paths.shape[1] < self.history + steps:
            distances = cdist(self.memory.now(paths), self.seen)
            if hidden is not None:
                distances[hidden] = np.inf
            paths = np.concatenate([paths, self._futures(distances, paths[:, -1])], axis=1)
        return paths[:, self.history : self.history + steps]

    def _futures(self, distances: Reals, here: Reals) -> Reals:
        """The weighted futures of the nearest moments, (starts, chunk, dims); weights exp(-d / d_min)."""
        nearest = np.argpartition(distances, self.neighbours, axis=1)[:, : self.neighbours]
        near = np.take_along_axis(distances, nearest, axis=1)
        weights = np.exp(-near / np.maximum(near.min(axis=1, keepdims=True), 1e-12))
        weights /= weights.sum(axis=1, keepdims=True)
        ahead = np.arange(self.chunk + 1)
        told = (weights[:, :, None, None] * self.points[self.moments[nearest][:, :, None] + ahead]).sum(axis=1)
        offset = here - told[:, 0]
        return told[:, 1:] + offset[:, None] * (self.kept ** ahead[1:])[:, None]


# --- Local linear


@dataclass(frozen=True, kw_only=True)
class Smap:
    """A linear map to the next step, fitted anew at every step to the library points nearest: weights exp(-theta d / mean d)."""

    memories: tuple[Memory, ...] = (Memory(count=1, lag=1), Memory(count=2, lag=2), Memory(count=4, lag=4))
    thetas: tuple[float, ...] = (3.0, 10.0, 30.0, 100.0, 300.0)

    def fit(self, library: Library) -> "_Smap":
        return _best(library, self._candidates(library), trials=50)

    def _candidates(self, library: Library) -> Iterator["_Smap"]:
        for memory in self.memories:
            moments = library.moments(before=memory.reach, after=1)
            moments = moments[:: -(-len(moments) // MOST_MOMENTS) or 1]
            if _enough(library, moments, choices=len(self.memories)):
                seen = memory.of(library.points, moments)
                both = np.concatenate([seen, library.points[moments + 1] - library.points[moments]], axis=1)
                first, second = np.triu_indices(seen.shape[1], m=both.shape[1])
                sums = np.concatenate([both, both[:, first] * both[:, second]], axis=1)
                for theta in self.thetas:
                    yield _Smap(Smap(memories=(memory,), thetas=(theta,)), moments, seen, sums, memory, theta)


@dataclass(frozen=True)
class _Smap:
    method: Smap
    moments: Indices
    seen: Reals  # (moments, width)
    sums: Reals  # (moments, ...): what was seen and the step that followed, width + dims, and their products, each pair of seen ones once
    memory: Memory
    theta: float

    @property
    def history(self) -> int:
        return self.memory.reach + 1

    def rollout(self, histories: Reals, steps: int, *, hidden: NDArray[np.bool_] | None = None) -> Reals:
        starts, _, dims = histories.shape
        paths = np.empty((starts, self.history + steps, dims))
        paths[:, : self.history] = histories[:, -self.history :]
        for step in range(steps):
            at = self.history + step
            now = paths[:, step : at : self.memory.lag].reshape(starts, -1)
            here = paths[:, at - 1] + self._step(now, hidden)
            paths[:, at] = np.minimum(np.maximum(here, -1), 2)  # a linear map knows no bounds
        return paths[:, self.history :]

    @cached_property
    def _pairs(self) -> Indices:
        """(width, width + dims): where in `sums` the product of each two stands."""
        width, both = self.seen.shape[1], self.seen.shape[1] + self.seen.shape[1] // self.memory.count
        first, second = np.triu_indices(width, m=both)
        pairs = np.empty((both, both), np.int64)
        pairs[first, second] = pairs[second, first] = both + np.arange(len(first))
        return pairs[:width]

    def _step(self, now: Reals, hidden: NDArray[np.bool_] | None) -> Reals:
        width, dims = self.seen.shape[1], now.shape[1] // self.memory.count
        distances = cdist(now, self.seen)
        nearest = distances.min(axis=1, keepdims=True)
        weights = np.exp((nearest - distances) * (self.theta * len(self.seen) / distances.sum(axis=1, keepdims=True)))
        if hidden is not None:
            weights[hidden] = 0
        sums = weights @ self.sums
        sums /= np.maximum(weights.sum(axis=1, keepdims=True), 1e-300)
        mean = sums[:, : width + dims]
        spread = sums[:, self._pairs] - mean[:, :width, None] * mean[:, None]
        square = spread[:, :, :width]
        np.einsum("nii->ni", square)[:] += 1e-7 * np.einsum("nii->n", square)[:, None] + 1e-14  # a view of the diagonals
        slopes = np.linalg.solve(square, spread[:, :, width:])
        return mean[:, width:] + ((now - mean[:, :width])[:, None] @ slopes)[:, 0]


def without(stretches: tuple[tuple[int, int], ...], first: int, stop: int) -> tuple[tuple[int, int], ...]:
    """The stretches less the points from `first` up to `stop`."""
    pieces = [piece for start, end in stretches for piece in ((start, min(end, first)), (max(start, stop), end))]
    return tuple((start, end) for start, end in pieces if start < end)
