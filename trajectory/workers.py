"""What runs inside a worker process.

A task takes `report` first, then what it was given. The app imports this module to name its tasks, so torch comes only inside them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import re
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from trajectory.errors import Cancelled, TrajectoryError
from trajectory.features import Features
from trajectory.records import Floats, Forecast, Recording, Trajectory
from trajectory.settings import RHYTHMS, SectionSettings, Settings, TrainingSettings, preset

if TYPE_CHECKING:
    from distributed import Worker

    from trajectory.collection import Ear, Heard
    from trajectory.divergence import Divergence, ProtocolName
    from trajectory.encoders import Encoder
    from trajectory.pipeline import FitProgress
    from trajectory.runs import Run
    from trajectory.settings import Hue, Likeness
    from trajectory.similarity import Clusters, Plane
    from trajectory.video import Camera

TRAINING = "training"  # the resource of which each worker has one: its second thread is left to quick work
WARM = "trajectory-warm"  # the name under which a worker tells that it has practised
TROUBLE = "trajectory-trouble"  # and under which it tells how its practice failed: the traceback, or nothing
PROGRESS_SECONDS = 0.1  # between two reports that are sent
SNAPSHOT_SECONDS = 0.25
Sound = Path | bytes  # a song's file: where it lies, for workers that share the app's disk, else what it holds
PREVIEW_WINDOWS = 400  # that the preview's axes are found from; all of them are placed


class WorkError(TrajectoryError):
    """Work that cannot be done with what it was given."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a task, said so that the app can read it without importing what raised it."""

    result: Any = None
    refusal: str | None = None  # a TrajectoryError's sentence
    traceback: str | None = None  # of what nobody expected


class Report:
    """What a task tells the app as it goes along; raises Cancelled once nobody waits for it any more."""

    def __init__(self, topic: str) -> None:
        from distributed import get_worker

        self._worker, self._topic = get_worker(), topic
        self._key = str(self._worker.get_current_task())
        self._losses: list[dict[str, float]] = []
        self._sent = self._shown = -float("inf")
        self._send({"began": True, "worker": self._worker.address})

    def __call__(self, progress: FitProgress) -> None:
        """Takes every step of a training; about ten a second are sent, with all the losses since, and four pictures."""
        self.check()
        self._losses.append({"step": progress.step, **progress.losses})
        now, last = time.monotonic(), progress.step == progress.steps
        if not last and now < self._sent + PROGRESS_SECONDS:
            return
        about = {"step": progress.step, "steps": progress.steps, "losses": progress.losses, "seconds_left": progress.seconds_left}
        message: dict[str, Any] = {"progress": about, "losses": self._losses}
        if last or now >= self._shown + SNAPSHOT_SECONDS:
            path = progress.embed()
            message |= {"points": path.points.astype(np.float32).tobytes(), "times": path.times.astype(np.float64).tobytes()}
            self._shown = now
        self._send(message)
        self._losses, self._sent = [], now

    def tell(self, about: dict[str, Any]) -> None:
        """How far anything else has come, at most ten times a second."""
        self.check()
        now = time.monotonic()
        if now >= self._sent + PROGRESS_SECONDS:
            self._send({"progress": about, "losses": []})
            self._sent = now

    def check(self) -> None:
        """Looks at the worker's own book, which costs nothing: a task whose future was given up does not stand there as executing."""
        task = self._worker.state.tasks.get(self._key)
        if task is None or task.state not in ("executing", "long-running"):
            raise Cancelled("cancelled")

    def _send(self, message: dict[str, Any]) -> None:
        self._worker.log_event(self._topic, {"key": self._key, **message})


def work(task: Callable[..., Any], arguments: tuple[Any, ...], topic: str) -> Outcome:
    """Runs a task in a worker; what it raises comes back as words, for some exceptions would bring torch into the app."""
    try:
        return Outcome(result=task(Report(topic), *arguments))
    except TrajectoryError as error:
        return Outcome(refusal=str(error))
    except MemoryError:
        return Outcome(refusal="the worker has too little memory for this; choose a shorter section of the song")
    except Exception:  # noqa: BLE001 - the app logs it
        return Outcome(traceback=traceback.format_exc())


def fit(report: Callable[[FitProgress], None], sound: Sound, name: str, settings: Settings) -> Run:
    """Trains a song's model; `name` is what the user calls the file that `sound` are the bytes of."""
    from trajectory import pipeline

    return pipeline.fit(_recording(sound, name, settings), settings, report=report)


def fit_pair(
    report: Callable[[FitProgress], None], sounds: tuple[tuple[str, Sound], tuple[str, Sound]], settings: tuple[Settings, Settings]
) -> tuple[Run, Run]:
    """Trains one model on two songs."""
    from trajectory import pipeline

    first, second = (_recording(sound, name, settings[0]) for name, sound in sounds)
    return pipeline.fit_pair((first, second), settings, report=report)


def preview(report: Report, sound: Sound, name: str, settings: Settings) -> Trajectory:
    """The song's windows on the three axes along which they differ most: a first look that needs no training."""
    from trajectory.spectrogram import spectrogram, window_bins, window_times

    recording = _recording(sound, name, settings)
    report.check()
    picture = spectrogram(recording, settings.spectrogram)
    bins = window_bins(settings.window, picture.bin_seconds)
    if picture.bins < bins + 2:
        raise WorkError(f"{name} lasts {recording.seconds:.2g} s; a preview needs {(bins + 2) * picture.bin_seconds:.2g} s")
    return Trajectory(points=principal_places(picture.values, bins), times=window_times(picture, bins))


def principal_places(values: Floats, bins: int) -> Floats:
    """Where each window of so many bins lies on the three axes along which they vary most; they are never all laid out in memory."""
    every = np.lib.stride_tricks.sliding_window_view(values, bins, axis=0).swapaxes(1, 2)  # (windows, bins, frequencies)
    chosen = every[:: -(-len(every) // PREVIEW_WINDOWS)].reshape(-1, bins * values.shape[1])
    chosen = chosen - chosen.mean(axis=0)
    combinations = np.linalg.eigh(chosen @ chosen.T)[1][:, -3:].T[::-1]  # of windows: a small matrix has the same answer
    axes = combinations @ chosen
    lengths = np.linalg.norm(axes, axis=1, keepdims=True)
    axes = (axes / np.maximum(lengths, 1e-6 * lengths.max() + 1e-12)).reshape(3, bins, -1)
    places = sum(values[at : at + len(every)] @ axes[:, at].T for at in range(bins))
    return np.asarray(places - np.mean(places, axis=0), dtype=np.float32)


def decode(report: Report, run: Run, points: Floats) -> Floats:
    """The spectrogram window that each point of the run's space means."""
    from trajectory import pipeline

    report.check()
    return pipeline.decode(run, points)


def listen(report: Report, sound: Sound, name: str, section: SectionSettings) -> Features:
    """What one hears in a section of a song."""
    from trajectory import pipeline

    recording = _recording(sound, name, Settings(section=section))
    report.check()
    return pipeline.heard(recording)


@dataclass(frozen=True, kw_only=True)
class Weights:
    """An encoder, and where its weights come from, if it does not bring them."""

    encoder: str
    folder: str | None = None  # on the disk of the worker
    files: tuple[tuple[str, bytes], ...] = ()  # of one that was trained here


def ear(_report: Report, weights: Weights) -> Ear:
    """Which version of an encoder this is."""
    return version_of(weights)


def version_of(weights: Weights) -> Ear:
    """The encoder in the version that is here."""
    from trajectory.collection import Ear

    if weights.encoder in RHYTHMS:
        from trajectory.encoders import rhythmic

        return Ear(encoder=weights.encoder, version=str(rhythmic.CODE))
    return Ear(encoder=weights.encoder, version=encoder(weights).version)


def hear_rhythm(report: Report, sound: Sound, name: str, weights: Weights, run: Run | None) -> tuple[Ear, Heard, Run]:
    """A song's rhythm as its path tells it; a song without a path gets one."""
    from trajectory import pipeline

    path = run or fit(report, sound, name, preset("conditioned"))
    return version_of(weights), pipeline.rhythm_heard(path, weights.encoder), path


def hear(report: Report, sound: Sound, name: str, weights: Weights) -> tuple[Ear, Heard]:
    """A song as an encoder hears it."""
    from trajectory import pipeline

    recording = _recording(sound, name, Settings())
    found = pipeline.listened(recording, encoder(weights), report=lambda share: report.tell({"share": share}))
    return version_of(weights), found


def heard_path(report: Report, sound: Sound, name: str, weights: Weights) -> Run:
    """A song's path as an encoder hears it."""
    from trajectory import pipeline

    recording = _recording(sound, name, Settings())
    return pipeline.heard_path(recording, encoder(weights), report=lambda share: report.tell({"share": share}))


@functools.lru_cache(maxsize=1)
def encoder(weights: Weights) -> Encoder:
    """The encoder itself, held for the next song."""
    from trajectory import encoders

    if not weights.files:
        return encoders.load(weights.encoder, folder=Path(weights.folder) if weights.folder else None)
    with tempfile.TemporaryDirectory(prefix="encoder-") as folder:
        for name, data in weights.files:
            (Path(folder) / Path(name).name).write_bytes(data)
        return encoders.load(weights.encoder, folder=Path(folder))


def train_encoder(report: Report, sounds: tuple[tuple[str, Sound], ...], steps: int | None = None) -> tuple[tuple[str, bytes], ...]:
    """A Siamese network trained on songs, in so many steps or the usual ones: the files of its folder."""
    from trajectory.encoders import logmel

    settings, recordings = logmel.LogmelSettings() if steps is None else logmel.LogmelSettings(steps=steps), []
    for name, sound in sounds:
        report.check()
        recording = _recording(sound, name, Settings())
        if recording.seconds >= 2 * settings.seconds:  # two pieces of a shorter one would share their sound
            recordings.append(recording)
    trained = logmel.fit(
        recordings,
        settings,
        report=lambda progress: report.tell({"step": progress.step, "steps": progress.steps, "seconds_left": progress.seconds_left}),
    )
    with tempfile.TemporaryDirectory(prefix="encoder-") as folder:
        logmel.save(trained, Path(folder) / "encoder")
        return tuple((file.name, file.read_bytes()) for file in sorted((Path(folder) / "encoder").iterdir()))


def plane(_report: Report, vectors: Floats, how: Plane, dims: Literal[2, 3]) -> Floats:
    """Where each song lies on a map of all."""
    from trajectory import similarity

    return similarity.plane(vectors, how, dims)


def clusters(_report: Report, vectors: Floats, likeness: Likeness) -> Clusters:
    """Which songs belong together."""
    from trajectory import similarity

    return similarity.clusters(vectors, likeness=likeness)


def playable(report: Report, sound: Sound, name: str) -> bytes:
    """The sound as FLAC, for browsers that do not play the song's own format."""
    import soundfile

    recording = _recording(sound, name, Settings())
    report.check()
    kept = io.BytesIO()
    soundfile.write(kept, recording.samples, recording.sample_rate, format="FLAC")
    return kept.getvalue()


def forecast(
    report: Report, run: Run, methods: tuple[str, ...], protocol: ProtocolName, steps: int, starts: tuple[float, ...]
) -> tuple[list[Forecast], dict[str, str]]:
    """One forecast for each start and method, and the sentences of those that refuse."""
    from trajectory import pipeline

    found, refused = [], {}
    for start in starts:
        for name in methods:
            report.check()
            try:
                found.append(pipeline.foretell(run, name, start=start, steps=steps, protocol=protocol))
            except Cancelled:
                raise
            except TrajectoryError as error:
                refused[name] = str(error)
    return found, refused


def diverge(
    report: Report, run: Run, methods: tuple[str, ...], protocol: ProtocolName, steps: int, _starts: tuple[float, ...]
) -> tuple[dict[str, Divergence], dict[str, str]]:
    """Every method's divergence on one run, and the sentences of those that refuse."""
    from trajectory import divergence, pipeline

    found, refused = {}, {}
    for name in methods:
        report.check()
        try:
            found[name] = divergence.diverge(run.trajectory, pipeline.method(name, run), protocol, window=run.window_bins, steps=steps)
        except Cancelled:
            raise
        except TrajectoryError as error:
            refused[name] = str(error)
    return found, refused


@dataclass(frozen=True, kw_only=True)
class FilmOrder:
    """A film, loop or poster as a page asks for it."""

    ending: str
    settings: dict[str, Any]  # FilmSettings, the camera apart
    turn_seconds: float | None = None  # the camera turns, from `views` if there is one
    views: tuple[tuple[float, Camera], ...] = ()  # held where there is one, else eased between
    hue: Hue = "time"
    forming: bool = False
    forecasts: tuple[Forecast, ...] = ()
    time: float = 0.0  # of a poster


def film(
    report: Report, runs: tuple[Run, ...], labels: tuple[str, str], sound: Sound, name: str, heard: Features, order: FilmOrder
) -> bytes:
    """The file that was asked for."""
    from trajectory import filming, video

    camera: video.Turn | video.Held | video.Keys
    if order.turn_seconds is not None:
        camera = video.Turn(seconds=order.turn_seconds, start=order.views[0][1] if order.views else None)
    else:
        camera = video.Held(camera=order.views[0][1]) if len(order.views) == 1 else video.Keys(keys=order.views)
    settings = video.FilmSettings(**order.settings, camera=camera)
    scenery = filming.Scenery(hue=order.hue, forming=order.forming, forecasts=order.forecasts)
    shots = filming.shots(runs[0], scenery, against=runs[1] if len(runs) > 1 else None, features=heard, labels=labels)
    with _song_file(sound, name) as song:
        out = song.with_name(f"film{order.ending}")
        track = None if order.forming else song
        filming.film(
            shots, out, settings, sound=track, features=heard, time=order.time, report=lambda progress: report.tell(vars(progress))
        )
        return out.read_bytes()


def exported(
    report: Report,
    run: Run,
    kind: str,
    title: str,
    sound: tuple[str, Sound],
    heard: Features | None,
    hue: Hue,
    camera: tuple[float, ...] | None,
) -> tuple[str, bytes]:
    """A page or a bundle that holds the song's sound, and what its file is called."""
    from trajectory import export

    report.check()
    name, file = sound
    with _song_file(file, name) as song, tempfile.TemporaryDirectory(prefix="export-") as folder:
        (path,) = export.export(run, [kind], folder, name=title, features=heard, sound=song, hue=hue, camera=camera)
        return path.name, path.read_bytes()


def _recording(sound: Sound, name: str, settings: Settings) -> Recording:
    from trajectory import audio

    with _song_file(sound, name) as path:
        return dataclasses.replace(audio.load(path, section=settings.section), name=name)


@contextlib.contextmanager
def _song_file(sound: Sound, name: str) -> Iterator[Path]:
    """The song under a name that is not a stranger's, alone in a private folder; refusals call it by the name that the user knows."""
    ending = Path(name).suffix.lower()
    with tempfile.TemporaryDirectory(prefix="song-") as folder:
        path = Path(folder) / f"song{ending if re.fullmatch(r'[.][a-z0-9]{1,5}', ending) else ''}"
        if isinstance(sound, Path):
            path.symlink_to(sound)
        else:
            path.write_bytes(sound)
        try:
            yield path
        except TrajectoryError as error:
            raise WorkError(str(error).replace(str(path), name).replace(path.name, name)) from error


def is_at(key: str, dask_worker: Worker) -> bool:
    """Whether the worker still runs a task, also one that nobody waits for any more."""
    task = dask_worker.state.tasks.get(key)
    return task is not None and task.state in ("executing", "long-running", "cancelled", "resumed")


def warm(dask_worker: Worker) -> None:
    """Dask calls it in every worker that joins: practises in the background, so that the first song need not wait for torch."""
    failures: list[str] = []
    dask_worker.metrics[WARM] = lambda _: _practise.cache_info().currsize
    dask_worker.metrics[TROUBLE] = lambda _: failures[-1] if failures else ""
    threading.Thread(target=_try_to_practise, args=(failures,), name="practise", daemon=True).start()


def _try_to_practise(failures: list[str]) -> None:
    try:
        _practise()
    except BaseException:  # noqa: BLE001 - the app logs it: this process may be on another machine
        failures.append(traceback.format_exc())


@functools.cache
def _practise() -> None:
    import torch

    from trajectory import pipeline
    from trajectory.spectrogram import spectrogram

    torch.set_num_threads(1)
    noise = np.random.default_rng(0).normal(0, 0.1, 4 * 44_100).astype(np.float32)
    recording = Recording(samples=noise, sample_rate=44_100, name="noise")
    settings = preset("conditioned", training=TrainingSettings(steps=6))
    run = pipeline.fit(recording, settings)
    pipeline.decode(run, run.trajectory.points[:1])
    principal_places(spectrogram(recording, settings.spectrogram).values, run.window_bins)
