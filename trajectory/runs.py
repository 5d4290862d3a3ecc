"""A run as a folder of five files that need nothing else to be read. Written whole or not at all; nothing pickled."""

import dataclasses
import json
import os
import shutil
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from trajectory.errors import TrajectoryError
from trajectory.records import Floats, Forming, TrainingLog, Trajectory
from trajectory.rhythm import Beat
from trajectory.settings import Settings

FILES = ("settings.json", "model.safetensors", "trajectory.npz", "training.json", "forming.npz")


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


def save(run: Run, folder: str | Path) -> Path:
    """Writes the whole run beside its place and moves it there; a run that stood there before is replaced only then."""
    folder = Path(folder).absolute()
    if folder.exists() and not _replaceable(folder):
        raise RunError(f"{folder} exists and is not a run; choose another folder")
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


def load(folder: str | Path) -> Run:
    """Reads a run back without retraining; a damaged one is refused."""
    folder = Path(folder)
    if not folder.exists():
        raise RunError(f"there is no run at {folder}")
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise RunError(f"{folder} is not a whole run: {', '.join(missing)} is missing; train it again")
    about = _json(folder / "settings.json")
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
    except (KeyError, TypeError, ValueError, OSError, EOFError, zipfile.BadZipFile, SafetensorError) as error:
        raise RunError(f"{folder} is damaged ({str(error)[:120]}); train it again") from error


def _write(run: Run, folder: Path) -> None:
    about = {"settings": run.settings.to_dict(), "song": dataclasses.asdict(run.song), "scaling": dataclasses.asdict(run.scaling)}
    log = dataclasses.asdict(run.training) | {"losses": {name: values.tolist() for name, values in run.training.losses.items()}}
    (folder / "settings.json").write_text(json.dumps(about, indent=1, ensure_ascii=False), encoding="utf-8")
    (folder / "training.json").write_text(json.dumps(log, indent=1), encoding="utf-8")
    (folder / "model.safetensors").write_bytes(safetensors.numpy.save(run.weights))
    np.savez(folder / "trajectory.npz", points=run.trajectory.points, times=run.trajectory.times)
    np.savez_compressed(folder / "forming.npz", steps=run.forming.steps, points=run.forming.points, times=run.forming.times)
    for name in FILES:
        with (folder / name).open("rb") as file:
            os.fsync(file.fileno())


def _replaceable(folder: Path) -> bool:
    return folder.is_dir() and (not any(folder.iterdir()) or all((folder / name).is_file() for name in FILES))


def _replace(folder: Path, fresh: Path) -> None:
    fresh.chmod(0o755)
    if folder.exists():
        old = fresh.with_suffix(".old")
        folder.rename(old)
        fresh.rename(folder)
        shutil.rmtree(old)
    else:
        fresh.rename(folder)


def _json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read ({str(error)[:120]})") from error
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
    losses: dict[str, Floats] = {name: np.asarray(column, dtype=np.float32) for name, column in values["losses"].items()}
    return TrainingLog(**values | {"losses": losses})
