"""A run as a folder of five files that need nothing else to be read. Written whole or not at all; nothing pickled."""

import dataclasses
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from trajectory.errors import DAMAGE, TrajectoryError, reason
from trajectory.records import Floats, Forming, TrainingLog, Trajectory
from trajectory.rhythm import Beat
from trajectory.settings import Settings

FILES = ("settings.json", "model.safetensors", "trajectory.npz", "training.json", "forming.npz")
VERSION = 1  # of what the files hold; 1 where they do not say


class RunError(TrajectoryError):
    """A folder that is no run, or one that cannot be written."""


@dataclass(frozen=True, kw_only=True)
class Song:
    """What a run remembers of the song it was made from."""

    name: str  # the file's
    seconds: float  # of the section that was used
    title: str | None = None
    artist: str | None = None
    beat: Beat | None = None  # heard in its sound, which a run does not keep


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """How the song's spectrogram was scaled: what the decoder needs to be asked for sound again."""

    bin_seconds: float
    frequencies: tuple[float, ...]  # Hz
    low: float
    high: float

    def __post_init__(self) -> None:
        numbers = (self.bin_seconds, self.low, self.high, *self.frequencies)
        if not (all(isinstance(number, int | float) for number in numbers) and self.bin_seconds > 0 and self.frequencies):
            raise RunError("the scaling of a spectrogram needs a bin length and frequencies; train the run again")


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """A trained model and the trajectory it gives, with all that says how they came about."""

    settings: Settings
    song: Song
    scaling: Scaling
    weights: dict[str, NDArray[Any]]
    trajectory: Trajectory
    training: TrainingLog
    forming: Forming

    @property
    def window_bins(self) -> int:
        """How many bins of sound are in one point."""
        return round(2 * (self.trajectory.times[0] - self.settings.section.start) / self.scaling.bin_seconds)


def save(run: Run, folder: str | Path) -> Path:
    """Writes the whole run beside its place and moves it there; a run that stood there before is replaced only then."""
    folder = check_place(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".new", dir=folder.parent))
    except OSError as error:
        raise RunError(f"{folder} cannot be written: {error.strerror}") from error
    try:
        _write(run, fresh)
        _replace(folder, fresh)
    except OSError as error:
        raise RunError(f"{folder} cannot be written: {error.strerror}") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return folder


def check_place(folder: str | Path) -> Path:
    """The folder that a run may become: not there yet, empty, or a run and nothing else."""
    try:
        folder = Path(folder).resolve()
        names = {path.name for path in folder.iterdir()} if folder.is_dir() else {folder.name} if folder.exists() else set()
        above = next(parent for parent in folder.parents if parent.exists())
    except (OSError, ValueError) as error:
        raise RunError(f"{str(folder)[:80]!r} cannot be written: {getattr(error, 'strerror', None) or error}") from error
    if names and names != set(FILES):
        raise RunError(f"{folder} exists and is not a run; choose another folder")
    if not (above.is_dir() and os.access(above, os.W_OK)):
        raise RunError(f"{folder} cannot be written: {above} is no folder that takes it")
    return folder


def load(folder: str | Path) -> Run:
    """Reads a run back without retraining; a damaged one is refused."""
    folder = Path(folder)
    missing = [name for name in FILES if not os.path.isfile(folder / name)]  # noqa: PTH113 - unlike Path's, it never raises
    if len(missing) == len(FILES):
        raise RunError(f"there is no run at {folder}")
    if missing:
        raise RunError(f"{folder} is not a whole run: {', '.join(missing)} is missing; train it again")
    about = _json(folder / "settings.json")
    version = about.get("version", 1)
    if isinstance(version, int) and version > VERSION:
        raise RunError(f"{folder} was saved by a newer version of this program; update it, or train the song again")
    try:
        return Run(
            settings=Settings.from_dict(about["settings"]),
            song=_song(about["song"]),
            scaling=Scaling(**{**about["scaling"], "frequencies": tuple(about["scaling"]["frequencies"])}),
            weights=safetensors.numpy.load_file(folder / "model.safetensors"),
            trajectory=Trajectory(**_arrays(folder / "trajectory.npz", ("points", "times"))),
            training=_training_log(_json(folder / "training.json")),
            forming=Forming(**_arrays(folder / "forming.npz", ("steps", "points", "times"))),
        )
    except (*DAMAGE, SafetensorError) as error:
        raise RunError(f"{folder} is damaged ({reason(error)}); train it again") from error


def _write(run: Run, folder: Path) -> None:
    records = {"settings": run.settings.to_dict(), "song": dataclasses.asdict(run.song), "scaling": dataclasses.asdict(run.scaling)}
    about = {"version": VERSION} | records
    log = dataclasses.asdict(run.training) | {"losses": {name: values.tolist() for name, values in run.training.losses.items()}}
    (folder / "settings.json").write_text(json.dumps(about, indent=1), encoding="utf-8")
    (folder / "training.json").write_text(json.dumps(log, indent=1), encoding="utf-8")
    weights = {name: np.ascontiguousarray(values) for name, values in run.weights.items()}  # it writes memory as it lies
    (folder / "model.safetensors").write_bytes(safetensors.numpy.save(weights))
    np.savez(folder / "trajectory.npz", points=run.trajectory.points, times=run.trajectory.times)
    np.savez_compressed(folder / "forming.npz", steps=run.forming.steps, points=run.forming.points, times=run.forming.times)
    for name in FILES:
        with (folder / name).open("rb") as file:
            os.fsync(file.fileno())


def _replace(folder: Path, fresh: Path) -> None:
    fresh.chmod(0o755)
    if folder.exists():
        old = fresh.with_suffix(".old")
        folder.rename(old)
        try:
            fresh.rename(folder)
        except OSError:
            old.rename(folder)
            raise
        shutil.rmtree(old)
    else:
        fresh.rename(folder)


def _json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{path} cannot be read ({reason(error)})") from error
    if not isinstance(values, dict):
        raise RunError(f"{path} is not what a run keeps there")
    return values


def _arrays(path: Path, names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:  # np.load leaves a damaged file open
        return {name: archive[name] for name in names}


def _song(values: dict[str, Any]) -> Song:
    beat = values["beat"]
    return Song(**values | {"beat": None if beat is None else Beat(**beat)})


def _training_log(values: dict[str, Any]) -> TrainingLog:
    with np.errstate(over="raise"):  # a number that is larger than any loss
        losses: dict[str, Floats] = {name: np.asarray(column, dtype=np.float32) for name, column in values["losses"].items()}
    return TrainingLog(**values | {"losses": losses})
