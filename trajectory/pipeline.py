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

from trajectory import blending, forecasting, rhythm
from trajectory.records import Floats, Forecast, Forming, Recording, Spectrogram, TrainingLog, Trajectory
from trajectory.runs import Run, RunError, Scaling, Song
from trajectory.settings import (
    FORECASTERS,
    LEAST_WINDOW,
    MOST_WINDOW,
    RHYTHMS,
    WHOLE,
    SectionSettings,
    Settings,
    SettingsError,
    WindowSettings,
)

if TYPE_CHECKING:
    from trajectory.collection import Heard
    from trajectory.divergence import ProtocolName
    from trajectory.encoders import Encoder
    from trajectory.features import Features
    from trajectory.model import Autoencoder
    from trajectory.training import Fitted

SNAPSHOTS = 40
SNAPSHOT_POINTS = 1_500
RHYTHM_SECONDS, RHYTHM_STEP = 16.0, 4.0  # of the stretches whose rhythm is told, and from one to the next


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
    from trajectory import model  # after the song: a refusal need not wait for torch
    from trajectory.spectrogram import spectrogram

    picture = spectrogram(recording, settings.spectrogram, until=settings.training.until)
    forming = _Forming()
    fitted, seconds = _trained(picture, settings, forming, report)
    path = model.embed(fitted.network, picture)
    return _run(recording, settings, picture, fitted, path=path, seconds=seconds, forming=forming.record())


def fit_pair(
    songs: tuple[Recording, Recording], settings: tuple[Settings, Settings], *, report: Callable[[FitProgress], None] | None = None
) -> tuple[Run, Run]:
    """Trains one model on two songs, so that both paths lie in one space; the settings differ in nothing but the partner.

    The songs are heard one after the other: of their windows a few reach from the end of the first into the second.
    """
    from trajectory import model
    from trajectory.spectrogram import spectrogram

    first, second = songs
    if first.sample_rate != second.sample_rate:
        raise SettingsError(f"{first.name} has {first.sample_rate} Hz and {second.name} {second.sample_rate} Hz; they need the same")
    hop = settings[0].spectrogram.hop
    samples = first.samples[: len(first.samples) // hop * hop]  # so that the second begins with a bin of its own
    both = Recording(
        samples=np.concatenate([samples, second.samples]), sample_rate=first.sample_rate, name=f"{first.name} and {second.name}"
    )
    picture, forming = spectrogram(both, settings[0].spectrogram), _Forming()
    fitted, seconds = _trained(picture, settings[0], forming, report)
    cut = len(samples) // hop
    parts = (picture.values[:cut], first.start), (picture.values[cut:], second.start)
    runs = []
    for song, chosen, (values, start) in zip(songs, settings, parts, strict=True):
        own = dataclasses.replace(picture, values=values, start=start)
        path = model.embed(fitted.network, own)
        last = Forming(steps=np.array([len(fitted.losses["total"])]), points=path.points[None], times=path.times)
        runs.append(_run(song, chosen, own, fitted, path=path, seconds=seconds, forming=last))
    return runs[0], runs[1]


def _trained(
    picture: Spectrogram, settings: Settings, forming: _Forming, report: Callable[[FitProgress], None] | None
) -> tuple[Fitted, float]:
    """The model of a spectrogram, and the seconds that it took."""
    from trajectory import model, training

    def watch(progress: training.Progress, network: Autoencoder) -> None:
        def embed() -> Trajectory:
            return decimate(model.embed(network, picture))

        forming.keep(progress.step, progress.steps, embed)
        if report is not None:
            report(FitProgress(**vars(progress), embed=embed))

    began = time.perf_counter()
    fitted = training.train_autoencoder(picture, settings, report=watch)
    return fitted, time.perf_counter() - began


def _run(
    recording: Recording,
    settings: Settings,
    picture: Spectrogram,
    fitted: Fitted,
    *,
    path: Trajectory,
    seconds: float,
    forming: Forming,
) -> Run:
    return Run(
        settings=settings,
        song=_song(recording, rhythm.beat(picture)),
        scaling=Scaling(
            bin_seconds=picture.bin_seconds, frequencies=tuple(picture.frequencies.tolist()), low=picture.low, high=picture.high
        ),
        weights={name: tensor.cpu().numpy() for name, tensor in fitted.network.state_dict().items()},
        trajectory=path,
        training=TrainingLog(
            losses=fitted.losses,
            seconds=seconds,
            device=fitted.device,
            versions={"python": platform.python_version(), **{name: version(name) for name in ("torch", "torchaudio", "numpy", "scipy")}},
            reconstruction=fitted.reconstruction,
            mean_reconstruction=fitted.mean_reconstruction,
        ),
        forming=forming,
    )


def _song(recording: Recording, beat: rhythm.Beat | None) -> Song:
    return Song(name=recording.name, seconds=recording.seconds, title=recording.title, artist=recording.artist, beat=beat)


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


def heard_path(song: Recording, encoder: Encoder, *, report: Callable[[float], None] | None = None) -> Run:
    """A song's path as another encoder hears it, on the three axes along which its frames differ most: a run without a network."""
    from trajectory import encoders
    from trajectory.spectrogram import spectrogram

    began = time.perf_counter()
    finer = getattr(encoder, "finer", None)
    path = encoders.as_path((finer() if finer else encoder).frames(song, report=report))
    heard_seconds = min(max(2 * (path.times[0] - song.start), LEAST_WINDOW), MOST_WINDOW)
    blank = np.zeros(1, np.float32)
    return Run(
        settings=Settings(encoder=f"{encoder.name} {encoder.version}", section=song.section, window=WindowSettings(seconds=heard_seconds)),
        song=_song(song, rhythm.beat(spectrogram(song, Settings().spectrogram))),
        scaling=Scaling(bin_seconds=path.step_seconds, frequencies=(0.0,), low=0.0, high=1.0),
        weights={},
        trajectory=path,
        training=TrainingLog(
            losses={"total": blank},
            seconds=time.perf_counter() - began,
            device="cpu",
            versions={name: version(name) for name in ("torch", "numpy")},
            reconstruction=0.0,
            mean_reconstruction=0.0,
        ),
        forming=Forming(steps=np.array([0]), points=path.points[None], times=path.times),
    )


def network(run: Run) -> Autoencoder:
    """The trained model of a run, on the CPU."""
    if run.settings.encoder:
        raise RunError(f"{run.settings.preset} has no decoder and no branch; only a song's own network has")
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
    if name in blending.METHODS:
        return blending.METHODS[name]
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


def listened(song: Recording, encoder: Encoder, *, report: Callable[[float], None] | None = None) -> Heard:
    """A song as an encoder hears it, with its tempo, and its tags where the encoder knows any."""
    from trajectory.collection import Heard, thinned
    from trajectory.spectrogram import spectrogram

    frames = encoder.frames(song, report=report)
    tags_of = getattr(encoder, "tags_of", None)
    beat = rhythm.beat(spectrogram(song, Settings().spectrogram))
    return Heard(frames=thinned(frames), tags=tuple(tags_of(frames)) if tags_of else (), bpm=beat.bpm if beat else None)


def rhythm_heard(run: Run, name: str) -> Heard:
    """How a run's path returns to itself, stretch by stretch; a song too short for two stretches has overlapping ones."""
    from trajectory.collection import Heard
    from trajectory.encoders import rhythmic

    path = run.trajectory
    seconds = min(RHYTHM_SECONDS, 0.8 * float(path.times[-1] - path.times[0]))
    last = float(path.times[-1]) - seconds
    starts = np.arange(path.times[0], last + 1e-6, RHYTHM_STEP) if last > path.times[0] + RHYTHM_STEP else np.array([path.times[0], last])
    parts = [slice(*np.searchsorted(path.times, (start, start + seconds + 1e-6))) for start in starts]
    found = [
        rhythmic.profile(Trajectory(points=path.points[part], times=path.times[part]), tempo_free=name == RHYTHMS[1]) for part in parts
    ]
    frames = Trajectory(points=np.stack(found), times=np.array([path.times[part].mean() for part in parts]))
    return Heard(frames=frames, bpm=run.song.beat.bpm if run.song.beat else None)


def heard(song: Recording) -> Features:
    """What one hears in a song."""
    from trajectory import features
    from trajectory.spectrogram import spectrogram

    return features.features(song, spectrogram(song, Settings().spectrogram))
