"""Several forecasters as one: the mixture that proves best at each step, and a fan of many."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, optimize

from trajectory.forecasting import (
    HORIZON,
    DelayKnn,
    FittedDelayKnn,
    Forecaster,
    ForecastError,
    Knn,
    Library,
    Mean,
    Method,
    Persistence,
    Reals,
    Smap,
    without,
)

MOST_TRIALS = 400  # forecasts of one part of the library
LEAST_WEIGHT = 0.05  # in a blend; less is not worth the rollout


@dataclass(frozen=True, kw_only=True)
class Blend:
    """Several forecasts in one: at each step the mixture that was best on parts of the library, told from its other parts."""

    methods: tuple[Method, ...] = (Persistence(), Mean(), Knn(), DelayKnn(), Smap())
    parts: int = 5

    def fit(self, library: Library) -> "_Blend":
        made = tuple(method.fit(library) for method in self.methods)
        found = [self._trial(library, made, part) for part in range(self.parts)]
        guess = np.concatenate([guess for guess, _ in found], axis=1)  # (methods, starts, steps, dims)
        truth = np.concatenate([truth for _, truth in found])
        if not len(truth):
            raise ForecastError(f"{len(library.known)} library points are too few to weigh forecasts on; leave more of the song to it")
        weights = np.stack([_mixture(guess[:, :, step], truth[:, step]) for step in range(HORIZON)])
        weights = ndimage.gaussian_filter1d(weights, 1.5, axis=0, mode="nearest")
        weights[weights < LEAST_WEIGHT] = 0
        settled = replace(self, methods=tuple(forecaster.method for forecaster in made))
        return _Blend(settled, made, weights / weights.sum(axis=1, keepdims=True))

    def _trial(self, library: Library, made: tuple[Forecaster, ...], part: int) -> tuple[Reals, Reals]:
        """Forecasts of one part of the library from the others, and what came."""
        known = library.moments(before=0, after=0)
        first, stop = (int(known[round(share * (len(known) - 1))]) for share in (part / self.parts, (part + 1) / self.parts))
        others = replace(library, stretches=without(library.stretches, first - library.overlap, stop + library.overlap))
        longest = max(forecaster.history for forecaster in made)
        starts = library.moments(before=longest - 1, after=HORIZON)
        starts = starts[(starts >= first) & (starts + HORIZON < stop)]
        starts = starts[:: max(3, len(starts) // MOST_TRIALS)]
        paths = library.points[starts[:, None] + np.arange(1 - longest, 1)]
        truth = library.points[starts[:, None] + np.arange(1, HORIZON + 1)]
        if not len(starts):  # of a song of a few seconds: other parts decide
            return np.zeros((len(made), *truth.shape)), truth
        return np.stack([forecaster.method.fit(others).rollout(paths, HORIZON) for forecaster in made]), truth


@dataclass(frozen=True)
class _Blend:
    method: Blend
    forecasters: tuple[Forecaster, ...]
    weights: Reals  # (steps, forecasters); later steps are mixed like the last

    @property
    def history(self) -> int:
        return max(forecaster.history for forecaster in self.forecasters)

    def rollout(self, histories: Reals, steps: int) -> Reals:
        weights = self.weights[np.minimum(np.arange(steps), len(self.weights) - 1)]
        path = np.zeros((len(histories), steps, histories.shape[2]))
        for weight, forecaster in zip(weights.T, self.forecasters, strict=True):
            reach = int(np.flatnonzero(weight).max(initial=-1)) + 1  # beyond it nothing is asked of this one
            if reach:
                path[:, :reach] += weight[:reach, None] * forecaster.rollout(histories, reach)
        return path


def _mixture(guesses: Reals, truth: Reals, *, rounds: int = 6) -> Reals:
    """Weights >= 0 that sum to 1, with the least mean distance: guesses (methods, starts, dims), truth (starts, dims).

    Least squares, each start weighed by 1 / its distance so far: what nobody could foresee does not decide.
    """
    count = len(guesses)
    weights = np.full(count, 1 / count)
    for _ in range(rounds):
        missed = np.linalg.norm(np.tensordot(weights, guesses, 1) - truth, axis=1)
        ease = 1 / np.sqrt(np.maximum(missed, 0.01))[:, None]
        columns, wanted = (guesses * ease).reshape(count, -1).T, (truth * ease).ravel()
        firm = 1e3 * np.sqrt(np.square(columns).sum())  # holds the sum at 1
        weights, _ = optimize.nnls(np.vstack([columns, np.full(count, firm)]), np.append(wanted, firm))
        weights = weights / weights.sum()
    return weights


# --- A fan of several


@dataclass(frozen=True, kw_only=True)
class Ensemble:
    """Many forecasts by neighbours with a memory, each of which knows only a random half of the library: a fan, and its middle."""

    base: DelayKnn = field(default_factory=DelayKnn)
    count: int = 24
    seed: int = 0

    def fit(self, library: Library) -> "_Ensemble":
        made = self.base.fit(library)
        block = library.overlap + HORIZON  # what shares sound is known or unknown together
        blocks = made.moments // block
        coins = np.random.default_rng(self.seed).random((self.count, blocks.max() + 1))
        hidden = (coins < 0.5)[:, blocks]
        if (~hidden).sum(axis=1).min() <= made.neighbours:
            raise ForecastError(f"{len(made.moments)} library points are too few to draw members from; leave more of the song to it")
        return _Ensemble(replace(self, base=made.method), made, hidden)


@dataclass(frozen=True)
class _Ensemble:
    method: Ensemble
    forecaster: FittedDelayKnn
    hidden: NDArray[np.bool_]  # (members, moments)

    @property
    def history(self) -> int:
        return self.forecaster.history

    def members(self, histories: Reals, steps: int) -> Reals:
        """(starts, history or more, dims) -> (members, starts, steps, dims)."""
        several = np.repeat(histories, len(self.hidden), axis=0)
        paths = self.forecaster.rollout(several, steps, hidden=np.tile(self.hidden, (len(histories), 1)))
        return paths.reshape(len(histories), len(self.hidden), steps, -1).swapaxes(0, 1)

    def rollout(self, histories: Reals, steps: int) -> Reals:
        middle: Reals = np.median(self.members(histories, steps), axis=0)
        return middle


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "persistence": Persistence(),
        "mean": Mean(),
        "knn": Knn(),
        "delay-knn": DelayKnn(),
        "smap": Smap(),
        "default": Blend(),
        "ensemble": Ensemble(),
    }
)
