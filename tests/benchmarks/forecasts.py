"""How well and how fast paths are foretold: every measurement of the forecasters."""

import itertools
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.neighbors import NearestNeighbors

from tests.benchmarks import music
from tests.benchmarks.music import CLIPS, ROOT, TRUTH
from tests.test_forecasting import published_walk
from trajectory import forecasting, pipeline
from trajectory.divergence import Divergence, better, diverge
from trajectory.records import Trajectory
from trajectory.runs import Run
from trajectory.settings import FORECASTERS, ModelSettings, Settings, WindowSettings, preset

Row = tuple[str, str, str, str]  # what, target, measured, verdict

STEPS = (1, 5, 10, 20, 29)
BASELINES = ("persistence", "mean", "knn")
LOOPS = [ROOT / "assets/songs/07_cc0_loop_120bpm.ogg", *sorted(TRUTH.glob("*.ogg"))]
TARGETS = {
    "loop": 0.55,
    "form": 0.55,
    "tiled": 0.55,
    "01": 0.7,
    "03": 0.7,
}  # of `default` over `knn` at step 29


@dataclass(frozen=True, kw_only=True)
class Told:
    """Every method's divergence on one clip."""

    clip: str
    settings: Settings
    by_method: dict[str, Divergence]

    def ratio(self, step: int = 29) -> float:
        return float(self.by_method["default"].mean[step - 1] / self.by_method["knn"].mean[step - 1])


def accuracy(pool: ProcessPoolExecutor) -> tuple[list[Row], Any]:
    """`default` against the published neighbours and the baselines, past-only; with both networks, windows and numbers of dimensions."""
    clips = [*CLIPS, *LOOPS]
    grid = list(itertools.product(("conditioned", "pure"), (0.5, 2.0), (3, 12)))
    jobs = [
        (clip, preset(name, window=WindowSettings(seconds=window), model=ModelSettings(dims=dims)), (*BASELINES, "default"))
        for name, window, dims in grid
        for clip in clips
    ]
    results = list(pool.map(tell, *zip(*jobs, strict=True)))
    rows: list[Row] = []
    for told in results[: len(clips)]:
        target = next((most for start, most in TARGETS.items() if told.clip.startswith(start)), None)
        met = "-" if target is None else verdict(told.ratio() <= target)
        rows.append((f"{told.clip}: default over knn at step 29", f"<= {target}" if target else "-", f"{told.ratio():.2f}", met))
        worst, words = max(_against_the_best(told, step) for step in STEPS)
        rows.append((f"{told.clip}: default over the best baseline, worst step", "<= 1.10", words, verdict(worst <= 1.1)))
    for i, (name, window, dims) in enumerate(grid):
        cell = results[i * len(clips) : (i + 1) * len(clips)]
        ends = ", ".join(
            f"{method} {statistics.median(one.by_method[method].mean[-1] for one in cell):.3f}" for method in cell[0].by_method
        )
        rows.append((f"{name} {window:g} s {dims} dims, at step 29", "-", ends, "median of clips"))
    for dims in (3, 12):
        pairs = zip(*(results[grid.index((name, 0.5, dims)) * len(clips) :][: len(clips)] for name in ("conditioned", "pure")), strict=True)
        lower = [one.by_method["knn"].nrmse < other.by_method["knn"].nrmse for one, other in pairs]
        share = ", ".join(f"step {step} on {sum(each[step - 1] for each in lower)} of {len(lower)}" for step in STEPS)
        rows.append((f"knn with {dims} dims errs less when conditioned (NRMSE)", "-", share, "-"))
    return rows, [
        {"clip": one.clip, "settings": one.settings.to_dict(), **{name: found.mean.tolist() for name, found in one.by_method.items()}}
        for one in results
    ]


def _against_the_best(told: Told, step: int) -> tuple[float, str]:
    """`default` over the best baseline at a step: 1 where it is not significantly worse."""
    best = min((told.by_method[name] for name in BASELINES), key=lambda found: float(found.mean[step - 1]))
    mine = told.by_method["default"]
    ratio = float(mine.mean[step - 1] / best.mean[step - 1])
    _, low, _ = better(mine, best, step=step)
    return (ratio if low > 0 else min(ratio, 1.0)), f"{ratio:.2f} at step {step}" + ("" if low > 0 else ", not significantly worse")


def tell(clip: Path, settings: Settings, methods: tuple[str, ...]) -> Told:
    run = pipeline.fit(clip, settings)
    return Told(clip=clip.stem, settings=settings, by_method={name: _diverged(run, name, "past-only") for name in methods})


def learned(pool: ProcessPoolExecutor) -> tuple[list[Row], Any]:
    """Every forecaster on four clips: distances by step."""
    clips = [CLIPS[0], CLIPS[2], music.FORM, TRUTH / "loop4bar_120bpm.ogg"]
    results = list(pool.map(tell, clips, [preset("conditioned")] * 4, [FORECASTERS] * 4))
    rows: list[Row] = []
    for told in results:
        for name, found in told.by_method.items():
            valid = float(np.median(found.valid_steps)) * found.step_seconds
            ends = " ".join(f"{found.mean[step - 1]:.3f}" for step in STEPS)
            rows.append((f"{told.clip}: {name}", "-", f"{ends}, valid {valid:.2f} s", "at steps 1 5 10 20 29"))
    return rows, {told.clip: {name: found.mean.tolist() for name, found in told.by_method.items()} for told in results}


def published_claim(pool: ProcessPoolExecutor) -> tuple[list[Row], Any]:
    """The published protocol on pure and `published` runs: what was said of 2021's curves, clip by clip."""
    clips = [*CLIPS, *LOOPS]
    pure, published = (list(pool.map(in_sample, clips, [preset(name)] * len(clips))) for name in ("pure", "published"))
    rows: list[Row] = []
    for clip, one, other in zip(clips, published, pure, strict=True):
        words = f"step 1 {one[0]:.3f} against {other[0]:.3f}, step 29 {one[28]:.3f} against {other[28]:.3f}"
        rows.append((f"{clip.stem}: published against pure", "lower at step 1", words, verdict(one[0] < other[0])))
    return rows, {clip.stem: [one, other] for clip, one, other in zip(clips, published, pure, strict=True)}


def in_sample(clip: Path, settings: Settings) -> list[float]:
    return [float(value) for value in _diverged(pipeline.fit(clip, settings), "knn", "published").mean]


def _diverged(run: Run, name: str, protocol: Any) -> Divergence:
    return diverge(run.trajectory, pipeline.method(name, run), protocol, window=run.window_bins)


def speed(_pool: ProcessPoolExecutor) -> tuple[list[Row], Any]:
    """The published analysis as a plain loop against ours; every method's rollout of one start; the learned ones' fitting."""
    run = pipeline.fit(music.FORM, preset("conditioned", section=music.FORM_40_SECONDS))
    theirs = seconds_of(lambda: published_analysis(run.trajectory), times=3)
    ours = seconds_of(lambda: _diverged(run, "knn", "published"), times=20)
    rows = [("the published divergence analysis, against its loop", ">= 100x", f"{theirs / ours:.0f}x", verdict(theirs >= 100 * ours))]
    cut = len(run.trajectory.points) * 7 // 10
    known = forecasting.library(run.trajectory, ((0, cut),), overlap=run.window_bins)
    kept: dict[str, Any] = {"published_seconds": theirs, "our_seconds": ours}
    for name in FORECASTERS:
        method = pipeline.method(name, run)
        fitted: list[Any] = []
        fitting = seconds_of(lambda method=method, fitted=fitted: fitted.append(method.fit(known)), times=1)  # type: ignore[misc]
        history = known.points[None, cut - fitted[0].history : cut]
        rollout = seconds_of(lambda made=fitted[0], history=history: made.rollout(history, 200), times=9)  # type: ignore[misc]
        rows.append((f"{name}: 200 steps from one start", "< 50 ms", f"{1000 * rollout:.1f} ms", verdict(rollout < 0.05)))
        limit = name in ("mlp", "lstm", "causal")
        rows.append((f"{name}: fitting", "< 3 s" if limit else "-", f"{fitting:.2f} s", verdict(fitting < 3) if limit else "-"))
        kept[name] = {"fitting_seconds": fitting, "rollout_seconds": rollout}
    return rows, kept


def published_analysis(trajectory: Trajectory) -> np.ndarray:
    """The loop of 2021 over every tenth start."""
    z = (trajectory.points - trajectory.points.min(axis=0)) / np.ptp(trajectory.points, axis=0)
    tree = NearestNeighbors(n_neighbors=6, algorithm="ball_tree").fit(z)
    curves = [
        np.linalg.norm(published_walk(z, tree, start, 29) - z[start + 1 : start + 30], axis=1) for start in range(19, len(z) - 34, 10)
    ]
    return np.mean(curves, axis=0)


def seconds_of(call: Callable[[], object], *, times: int) -> float:
    walls = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        walls.append(time.perf_counter() - began)
    return statistics.median(walls)


def verdict(met: bool) -> str:
    return "met" if met else "NOT MET"
