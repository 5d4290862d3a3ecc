"""Joins the stages: a file becomes a run, a run answers what is asked of it. What the command line and the jobs call."""

from __future__ import annotations

import dataclasses
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trajectory import forecasting, rhythm
from trajectory.records import Floats, Forecast, Forming, Recording, TrainingLog, Trajectory
from trajectory.runs import Run, RunError, Scaling, Song
from trajectory.settings import FORECASTERS, WHOLE, SectionSettings, Settings, SettingsError

if TYPE_CHECKING:
    from trajectory.divergence import ProtocolName
    from trajectory.features import Features
    from trajectory.model import Autoencoder

SNAPSHOTS = 40
SNAPSHOT_POINTS = 1_500


@dataclasses.dataclass(frozen=True, kw_only=True)
class FitProgress:
    """Where the training of a song stands; the callback that gets it may raise Cancelled."""

    step: int
    steps: int
    losses: dict[str, float]
    seconds_left: float
    embed: Callable[[], Trajectory]  # the path as it is now, at most 1500 points of it


def fit(song: Recording | str | Path, settings: Settings, *, report: Callable[[FitProgress], None] | None = None) -> Run:
    """Trains one song's model and embeds the song with it."""
    recording = song if isinstance(song, Recording) else _load(song, settings.section)
    if settings.section not in (WHOLE, recording.section):
        raise SettingsError(f"the settings ask for {settings.section}, the recording holds {recording.section}; choose one of them")
    settings = dataclasses.replace(settings, section=recording.section)
    from trajectory import model, training  # after the song: a refusal need not wait for torch
    from trajectory.spectrogram import spectrogram

    picture = spectrogram(recording, settings.spectrogram, until=settings.training.until)
    forming = _Forming()

    def watch(progress: training.Progress, network: Autoencoder) -> None:
        def embed() -> Trajectory:
            return decimate(model.embed(network, picture))

        forming.keep(progress.step, progress.steps, embed)
        if report is not None:
            report(FitProgress(**vars(progress), embed=embed))

    began = time.perf_counter()
    fitted = training.train_autoencoder(picture, settings, report=watch)
    seconds = time.perf_counter() - began
    return Run(
        settings=settings,
        song=Song(
            name=recording.name, seconds=recording.seconds, title=recording.title, artist=recording.artist, beat=rhythm.beat(picture)
        ),
        scaling=Scaling(
            bin_seconds=picture.bin_seconds, frequencies=tuple(picture.frequencies.tolist()), low=picture.low, high=picture.high
        ),
        weights={name: tensor.cpu().numpy() for name, tensor in fitted.network.state_dict().items()},
        trajectory=model.embed(fitted.network, picture),
        training=TrainingLog(
            losses=fitted.losses,
            seconds=seconds,
            device=fitted.device,
            versions={"python": platform.python_version(), **{name: version(name) for name in ("torch", "torchaudio", "numpy", "scipy")}},
            reconstruction=fitted.reconstruction,
            mean_reconstruction=fitted.mean_reconstruction,
        ),
        forming=forming.record(),
    )


def _load(path: str | Path, section: SectionSettings) -> Recording:
    from trajectory import audio

    return audio.load(path, section=section)


class _Forming:
    """Keeps some 40 snapshots, close together while the path still changes fast."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.paths: list[Trajectory] = []

    def keep(self, step: int, steps: int, embed: Callable[[], Trajectory]) -> None:
        due = steps * (len(self.steps) / (SNAPSHOTS - 1)) ** 1.5
        if step >= due or step == steps:
            self.steps.append(step)
            self.paths.append(embed())

    def record(self) -> Forming:
        return Forming(
            steps=np.array(self.steps),
            points=np.stack([path.points for path in self.paths]),
            times=self.paths[0].times,
        )


def decimate(trajectory: Trajectory, most: int = SNAPSHOT_POINTS) -> Trajectory:
    """Every n-th point, so that at most so many remain."""
    every = -(-len(trajectory.points) // most)
    return Trajectory(points=trajectory.points[::every], times=trajectory.times[::every])


def network(run: Run) -> Autoencoder:
    """The trained model of a run, on the CPU."""
    import torch

    from trajectory.model import Autoencoder

    with torch.random.fork_rng(devices=[]):  # the weights are drawn before they are replaced
        made = Autoencoder(run.settings, frequencies=len(run.scaling.frequencies), bin_seconds=run.scaling.bin_seconds)
    try:
        made.load_state_dict({name: torch.from_numpy(values) for name, values in run.weights.items()})
    except RuntimeError as error:
        raise RunError(f"the weights of {run.song.name} do not fit its settings; train it again") from error
    return made.eval()


def decode(run: Run, points: Floats) -> Floats:
    """The spectrogram window (points, bins, frequencies) that each point of the run's space means, visited or not."""
    from trajectory import model

    points = np.atleast_2d(np.asarray(points, dtype=np.float32))
    dims = run.settings.model.dims
    if points.ndim != 2 or points.shape[1] != dims or not points.size or not np.isfinite(points).all():
        raise RunError(f"points of this space are (n, {dims}) finite numbers, not {points.shape}")
    return model.decode(network(run), points)


def method(name: str, run: Run) -> forecasting.Method:
    """A forecaster by its name; `branch` is the run's own."""
    if name in forecasting.METHODS:
        return forecasting.METHODS[name]
    from trajectory import networks

    if name == "branch":
        return networks.branch_of(network(run))
    if name not in networks.METHODS:
        raise forecasting.ForecastError(f"there is no forecaster '{name}'; choose from {', '.join(FORECASTERS)}")
    return networks.METHODS[name]


def foretell(run: Run, name: str, *, start: float, steps: int, protocol: ProtocolName = "past-only") -> Forecast:
    """Where the run's path goes from a moment on, as a forecaster says that knows no more than the protocol allows."""
    from trajectory import divergence

    return divergence.forecast(run.trajectory, method(name, run), protocol, name=name, start=start, steps=steps, window=run.window_bins)


def heard(song: Recording) -> Features:
    """What one hears in a song."""
    from trajectory import features
    from trajectory.spectrogram import spectrogram

    return features.features(song, spectrogram(song, Settings().spectrogram))
