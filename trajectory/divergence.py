"""How fast forecasts part from the truth: protocols that say what a forecaster may know, and measures of the distance."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from trajectory.forecasting import HORIZON, Fan, ForecastError, Knn, Library, Method, Reals, library
from trajectory.records import Forecast, Trajectory

ProtocolName = Literal["published", "past-only", "leave-segment-out"]

PAST = 0.7  # share of the path that is the library of past-only
EVERY = 10  # points between starts
SEGMENTS = 40  # forecasts of leave-segment-out, each with a library of its own
MOST_STEPS = 10_000  # of one forecast
VALID = 0.4  # a forecast holds while its NRMSE is below


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """Forecasts to be made from one library."""

    library: Library
    starts: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Divergence:
    """One method's forecasts against what came, by start and step."""

    protocol: ProtocolName
    starts: NDArray[np.int64]
    step_seconds: float
    distances: Reals  # (starts, steps), in the library's scale
    errors: Reals  # (starts, steps): NRMSE of each forecast, 1 is the library's own spread
    persistence: Reals  # (starts, steps): distances of the forecast that nothing moves
    step_errors: tuple[float, float]  # mean squared error and mean cosine of the first displacement

    @property
    def missing(self) -> int:
        """Starts whose forecast came to no number, for want of neighbours or of a past; they are left out of every mean."""
        return int((~np.isfinite(self.distances).all(axis=1)).sum())

    @property
    def mean(self) -> Reals:
        return _mean(self.distances)

    @property
    def standard_error(self) -> Reals:
        counts = np.isfinite(self.distances).sum(axis=0)
        return np.sqrt(_mean((self.distances - self.mean) ** 2) / np.maximum(counts - 1, 1))

    @property
    def nrmse(self) -> Reals:
        """The root of the mean squared error over starts, by step: 1 is what the mean point would reach."""
        return np.sqrt(_mean(self.errors**2))

    @property
    def skill(self) -> Reals:
        """1 - d / d of persistence, by step: 1 is perfect, 0 no better than standing still."""
        return 1 - self.mean / _mean(np.where(np.isfinite(self.distances), self.persistence, np.nan))

    @property
    def valid_steps(self) -> NDArray[np.int64]:
        """For each start with a forecast: the steps before its NRMSE first passes the limit; all of them where it never does."""
        wrong = ~(self.errors[np.isfinite(self.errors[:, 0])] <= VALID)
        return np.where(wrong.any(axis=1), wrong.argmax(axis=1), self.errors.shape[1])


def tasks(trajectory: Trajectory, protocol: ProtocolName, *, window: int, steps: int, history: int = 100) -> list[Task]:
    """What is forecast from which library; `window` bins of sound are in one point, so that near points share it."""
    count = len(trajectory.points)
    _check_steps(steps)
    if protocol == "published":
        whole = library(trajectory, ((0, count),), overlap=window)
        return [Task(library=whole, starts=_some(np.arange(19, count - steps - 5, EVERY), trajectory, protocol))]
    if protocol == "past-only":
        cut = round(PAST * count)
        past = library(trajectory, ((0, cut),), overlap=window)
        return [Task(library=past, starts=_some(np.arange(cut + window, count - steps, EVERY), trajectory, protocol))]
    if protocol == "leave-segment-out":
        every = max(EVERY, (count - history - steps) // SEGMENTS)
        starts = _some(np.arange(history, count - steps, every), trajectory, protocol)
        return [Task(library=_around(trajectory, int(start), window, steps), starts=np.array([start])) for start in starts]
    raise ForecastError(f"there is no protocol '{protocol}'; choose one of {', '.join(get_args(ProtocolName))}")


def diverge(
    trajectory: Trajectory, method: Method, protocol: ProtocolName, *, window: int, steps: int = HORIZON - 1, history: int = 100
) -> Divergence:
    """Every forecast of a protocol by one method, laid beside the truth."""
    if protocol == "published" and isinstance(method, Knn):
        method = dataclasses.replace(method, in_sample=True)
    parts = list(_parts(trajectory, method, protocol, window=window, steps=steps, history=history))
    starts, guess, truth, here, spread = (np.concatenate(column) for column in zip(*parts, strict=True))
    first, came = guess[:, 0] - here, truth[:, 0] - here
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(came, axis=1)
    cosines = np.divide((first * came).sum(axis=1), lengths, out=np.zeros(len(lengths)), where=lengths != 0)
    return Divergence(
        protocol=protocol,
        starts=starts,
        step_seconds=trajectory.step_seconds,
        distances=np.linalg.norm(guess - truth, axis=2),
        errors=np.sqrt((((guess - truth) / spread[:, None]) ** 2).mean(axis=2)),
        persistence=np.linalg.norm(here[:, None] - truth, axis=2),
        step_errors=(float(_mean(((first - came) ** 2).sum(axis=1))), float(_mean(cosines))),
    )


def forecast(
    trajectory: Trajectory, method: Method, protocol: ProtocolName, *, name: str, start: float, steps: int, window: int
) -> Forecast:
    """One forecast from a moment of the song; past-only knows what was heard before it, leave-segment-out all but what it foretells."""
    if not trajectory.times[0] <= start <= trajectory.times[-1]:
        first, last = trajectory.times[[0, -1]]
        raise ForecastError(f"{start:g} s is outside the path, which runs from {first:.1f} s to {last:.1f} s; start within it")
    _check_steps(steps)
    now = int(np.searchsorted(trajectory.times, start, side="right")) - 1
    if protocol == "leave-segment-out":
        known = _around(trajectory, now, window, steps)
    elif protocol == "past-only":
        known = library(trajectory, ((0, now + 1),), overlap=window)
    else:
        raise ForecastError(f"a single forecast is made past-only or by leave-segment-out, not by the protocol {protocol}")
    forecaster = method.fit(known)
    if forecaster.history > now + 1:
        raise ForecastError(f"{name} looks back on {forecaster.history} points, {start:g} s has {now + 1} before it; start later")
    history = known.points[None, now + 1 - forecaster.history : now + 1]
    members = forecaster.members(history, steps)[:, 0] if isinstance(forecaster, Fan) else np.empty((0, steps, trajectory.dims))
    return Forecast(
        method=name,
        protocol=protocol,
        start=float(trajectory.times[now]),
        path=known.unscaled(forecaster.rollout(history, steps)[0]).astype(np.float32),
        times=trajectory.times[now] + np.arange(1, steps + 1) * trajectory.step_seconds,
        truth=trajectory.points[now + 1 : now + 1 + steps],
        members=known.unscaled(members).astype(np.float32),
    )


def better(one: Divergence, other: Divergence, *, step: int, draws: int = 2_000, seed: int = 0) -> tuple[float, float, float]:
    """Paired bootstrap over starts, in blocks that hold neighbours together: (difference of means, low, high) of `one` - `other`."""
    if not np.array_equal(one.starts, other.starts):
        raise ForecastError("two divergences with different starts cannot be paired; use one run and one protocol")
    differences = one.distances[:, step - 1] - other.distances[:, step - 1]
    differences = differences[np.isfinite(differences)]
    random, count = np.random.default_rng(seed), len(differences)
    block = max(1, round(one.distances.shape[1] / max(1, int(np.diff(one.starts).min(initial=EVERY)))))
    firsts = random.integers(0, count, (draws, -(-count // block)))
    drawn = (firsts[:, :, None] + np.arange(block)).reshape(draws, -1)[:, :count] % count
    low, high = np.quantile(differences[drawn].mean(axis=1), (0.025, 0.975))
    return float(differences.mean()), float(low), float(high)


def _check_steps(steps: int) -> None:
    if not 1 <= steps <= MOST_STEPS:
        raise ForecastError(f"{steps} steps are out of range; choose 1 to {MOST_STEPS}")


def _parts(
    trajectory: Trajectory, method: Method, protocol: ProtocolName, *, window: int, steps: int, history: int
) -> Iterator[tuple[NDArray[np.int64], Reals, Reals, Reals, Reals]]:
    found, silent = tasks(trajectory, protocol, window=window, steps=steps, history=history), 0
    for task in found:
        points = task.library.points
        truth = points[task.starts[:, None] + np.arange(1, steps + 1)]
        try:
            guess = _told(method, task, steps)
        except ForecastError:
            silent += 1
            if silent == len(found):
                raise
            guess = np.full_like(truth, np.nan)
        spread = np.maximum(task.library.known.std(axis=0), 1e-12)
        yield task.starts, guess, truth, points[task.starts], np.broadcast_to(spread, (len(task.starts), len(spread)))


def _told(method: Method, task: Task, steps: int) -> Reals:
    """A start with too little behind it for this forecaster has no number."""
    forecaster = method.fit(task.library)
    ready = task.starts >= forecaster.history - 1
    if not ready.any():
        raise ForecastError(f"the forecaster looks back on {forecaster.history} points; start at point {forecaster.history} or later")
    paths = task.library.points[task.starts[ready, None] + np.arange(1 - forecaster.history, 1)]
    told = np.full((len(ready), steps, paths.shape[2]), np.nan)
    told[ready] = forecaster.rollout(paths, steps)
    return told


def _mean(values: Reals) -> Reals:
    """Over starts, of what is a number."""
    sound = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(sound, values, 0).sum(axis=0) / sound.sum(axis=0))


def _around(trajectory: Trajectory, start: int, window: int, steps: int) -> Library:
    """All but [t - w, t + H + w]; a memory never reaches back across the gap, so (E - 1) tau points more after it stay unused."""
    first, stop = max(0, start - window), min(len(trajectory.points), start + steps + window + 1)
    stretches = tuple((a, b) for a, b in ((0, first), (stop, len(trajectory.points))) if a < b)
    return library(trajectory, stretches, overlap=window)


def _some(starts: NDArray[np.int64], trajectory: Trajectory, protocol: str) -> NDArray[np.int64]:
    if not len(starts):
        raise ForecastError(f"a path of {len(trajectory.points)} points is too short for the protocol {protocol}; use a longer song")
    return starts
