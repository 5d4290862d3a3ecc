"""A run -> files to take away: its numbers, a page that stands alone, a curve for 3D programs, and a bundle that comes back as it was.

Nothing is trained or drawn here.
"""

import base64
import csv
import functools
import html
import io
import json
import math
import os
import string
import struct
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from trajectory import audio, bundles, figures, geometry, structure
from trajectory.bundles import ExportError, line, read, stem, title
from trajectory.colouring import Colouring, colour, hues
from trajectory.features import Features
from trajectory.records import Floats, Trajectory
from trajectory.runs import Run
from trajectory.settings import Hue

KINDS = ("npz", "csv", "html", "gltf", "bundle")

ROOT = Path(__file__).parents[1]
ASSETS = ROOT / "assets" / "player"
MODULES = ROOT / "static" / "player"
PLOTLY = ROOT / "static" / "vendor" / "plotly-gl3d-4.1.1.min.js"

PLAYED = {".mp3": "audio/mpeg", ".ogg": "audio/ogg", ".opus": "audio/ogg", ".m4a": "audio/mp4", ".flac": "audio/flac", ".wav": "audio/wav"}
PAGE_SOUND_BYTES = 6_000_000
PAGE_HEIGHT = 600  # pixels of the scene
WIDEST = 6_000  # bins of the spectrogram in a page: more than a screen shows, and less than a canvas takes


@dataclass(frozen=True, kw_only=True, eq=False)
class _Taken:
    """All that an export may hold."""

    run: Run
    features: Features | None
    sound: Path | None
    hue: Hue
    camera: tuple[float, ...] | None = None

    def coloured(self) -> Colouring:
        return coloured(self.run, self.hue, self.features)


def coloured(run: Run, hue: Hue, heard: Features | None, *, path: Trajectory | None = None) -> Colouring:
    """The colours of a run's path, or of another path through its song, with what is known of its sound."""
    return colour(path or run.trajectory, hue, features=heard, beat=run.song.beat, window_seconds=run.settings.window.seconds)


def export(
    run: Run,
    kinds: Iterable[str],
    folder: str | Path,
    *,
    name: str,
    features: Features | None = None,
    sound: Path | None = None,
    hue: Hue = "time",
    camera: tuple[float, ...] | None = None,
) -> list[Path]:
    """Writes each kind into the folder, whole or not at all; a page and a bundle hold the song's sound where it is given."""
    kinds = list(dict.fromkeys(kinds))
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise ExportError(f"nothing can be exported as {unknown[0][:40]!r}; choose of {', '.join(KINDS)}")
    if hue not in hues(features, run.song.beat):
        raise ExportError(f"this path cannot be coloured by {hue}; choose one of {', '.join(hues(features, run.song.beat))}")
    taken = _Taken(run=run, features=features, sound=sound, hue=hue, camera=camera)
    chosen = [_WRITERS[kind] for kind in kinds]
    return [written(Path(folder) / f"{stem(name)}{ending}", functools.partial(write, taken)) for ending, write in chosen]


def columns(run: Run, features: Features | None = None) -> dict[str, NDArray[Any]]:
    """What is known of each point: times and speed in seconds, curvature in radians, loudness in dB, brightness in Hz, beats by share."""
    path, seconds = run.trajectory, run.settings.window.seconds
    found: dict[str, NDArray[Any]] = {"times": path.times, "speed": geometry.speed(path), "curvature": geometry.curvature(path)}
    if features is not None:
        found["loudness"] = features.at(features.loudness, path.times, seconds)
        found["brightness"] = features.at(features.brightness, path.times, seconds)
    sections = structure.sections(path)
    places = np.searchsorted([section.start for section in sections], path.times, side="right") - 1
    found["section"] = np.array([section.label for section in sections])[np.clip(places, 0, None)]
    if run.song.beat is not None:
        found["beat_phase"] = run.song.beat.phase(path.times)
    return found


def written(path: Path, write: Callable[[BinaryIO], object]) -> Path:
    """The file, whole or not at all."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, fresh = tempfile.mkstemp(prefix=".", suffix=".new", dir=path.parent)
        try:
            with open(handle, "wb") as file:  # noqa: PTH123 - a handle, not a path
                write(file)
                file.flush()
                os.fsync(file.fileno())
            Path(fresh).chmod(0o644)
            Path(fresh).replace(path)
        finally:
            Path(fresh).unlink(missing_ok=True)
    except OSError as error:
        raise ExportError(f"{path} cannot be written: {error.strerror or error}") from error
    return path


# --- Numbers


def _write_npz(taken: _Taken, file: BinaryIO) -> None:
    arrays: dict[str, Any] = {"points": taken.run.trajectory.points, **columns(taken.run, taken.features)}
    np.savez_compressed(file, **arrays)


def _write_csv(taken: _Taken, file: BinaryIO) -> None:
    """Each number in as many digits as bring it back to the last bit."""
    rest = columns(taken.run, taken.features)
    coordinates = {f"x{axis + 1}": values for axis, values in enumerate(taken.run.trajectory.points.T)}
    table = {"times": rest.pop("times"), **coordinates, **rest}
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(table)
    writer.writerows(zip(*(map(str, values) for values in table.values()), strict=True))
    file.write(text.getvalue().encode())


# --- A page that stands alone


def _write_page(taken: _Taken, file: BinaryIO) -> None:
    """The player of the app, with all its parts inside: browsers load no modules from files, so they are data in an import map."""
    modules = {f"player/{path.name}": _address(_module(path), "text/javascript") for path in sorted(MODULES.glob("*.js"))}
    page = string.Template(_text(ASSETS / "standalone.html")).substitute(
        title=html.escape(title(taken.run)),
        about=html.escape(_about(taken.run)),
        style=_text(ASSETS / "player.css"),
        modules=json.dumps({"imports": modules}),
        player=_text(ASSETS / "player.html"),
        plotly=_text(PLOTLY),
        data=json.dumps(_page_data(taken)).replace("<", "\\u003c"),  # no text of a stranger's ends the script
    )
    file.write(page.encode())


def _text(path: Path) -> str:
    return read(path).decode()


def _module(path: Path) -> bytes:
    return _text(path).replace('from "./', 'from "player/').encode()


def _address(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _about(run: Run) -> str:
    facts = (run.song.artist, f"{run.song.seconds:.0f} s", f"window {run.settings.window.seconds:g} s", f"preset {run.settings.preset}")
    return line(" · ".join(fact for fact in facts if fact))


def _page_data(taken: _Taken) -> dict[str, Any]:
    """What Python sends to the player, as JSON: `meta`, and `tables` of columns that are (kind, base64)."""
    run, colouring = taken.run, taken.coloured()
    path, start = run.trajectory, run.settings.section.start
    x, y, z = figures.shown(path.points, path).T
    lines = {"x": x, "y": y, "z": z, "time": path.times, "value": colouring.values}
    panes, flat = _panes(run, taken.features)
    comets = {"kind": "path", "name": "", "colour": "", "first": 0, "count": len(path.times)}
    meta = {
        "key": "page",
        "sound": None if taken.sound is None else _sound_address(taken.sound),
        "sound_start": 0.0,
        "span": [start, start + run.song.seconds],
        "height": PAGE_HEIGHT,
        "live": False,
        "scenes": [{"label": "", "note": "", "lines": [comets], "geometry": "page"}],
        "colouring": {name: getattr(colouring, name) for name in ("title", "stops", "low", "high", "ends")},
        "panes": panes,
        "forming": {"steps": run.forming.steps.tolist(), "times": run.forming.times.tolist()},
        "view": {"time": start, "camera": None, "loop": None, "serial": 0},
        "plotly": "",  # it is there already
        "versions": dict.fromkeys(("lines", "colouring", "panes", "forming"), "page"),
    }
    tables = {"lines": lines, "forming": {"number": figures.formed(run.forming).ravel()}, **flat}
    return {"meta": meta, "tables": {name: {key: _column(values) for key, values in table.items()} for name, table in tables.items()}}


def _panes(run: Run, heard: Features | None) -> tuple[dict[str, Any] | None, dict[str, dict[str, NDArray[Any]]]]:
    """The song seen flat: what the player must know of it, and its tables."""
    if heard is None:
        return None, {}
    joined = -(-len(heard.picture) // WIDEST)
    picture = np.maximum.reduceat(heard.picture, np.arange(0, len(heard.picture), joined), axis=0)
    near = geometry.recurrence(run.trajectory, most=geometry.PLOTTED_MOMENTS)
    about = {
        "window_seconds": run.settings.window.seconds,
        "waveform": True,
        "spectrogram": {
            "bins": len(picture),
            "frequencies": picture.shape[1],
            "bin_seconds": heard.bin_seconds * joined,
            "start": heard.start,
        },
        "recurrence": {"size": len(near.times), "low": float(near.times[0]), "high": float(near.times[-1])},
    }
    low, high = heard.waveform.T
    return about, {
        "waveform": {"low": low, "high": high},
        "spectrogram": {"level": picture.ravel()},
        "recurrence": {"level": near.levels().ravel()},
    }


def _column(values: NDArray[Any]) -> tuple[str, str]:
    kind = "u1" if values.dtype == np.uint8 else "f4"
    return kind, base64.b64encode(values.astype(f"<{kind}").tobytes()).decode()


def _sound_address(sound: Path) -> str:
    kind = PLAYED.get(sound.suffix.lower())
    if kind is None:
        raise ExportError(f"browsers do not play {sound.name}; give the page one of {', '.join(PLAYED)}")
    data = read(sound)
    if kind in ("audio/wav", "audio/flac"):
        data, kind = audio.as_vorbis(sound), PLAYED[".ogg"]
    if len(data) > PAGE_SOUND_BYTES:
        most = f"{PAGE_SOUND_BYTES / 1e6:g}"
        raise ExportError(
            f"{sound.name} is {len(data) / 1e6:.1f} MB, a page holds up to {most} MB of sound; make it an mp3 or leave it out"
        )
    return _address(data, kind)


# --- A curve for 3D programs


def _write_glb(taken: _Taken, file: BinaryIO) -> None:
    """Binary glTF 2.0: one line strip with a colour and a moment (`_TIME`) at each point, its third axis upwards."""
    places = figures.shown(taken.run.trajectory.points, taken.run.trajectory)
    attributes: dict[str, NDArray[Any]] = {
        "POSITION": places,
        "COLOR_0": _linear(taken.coloured().rgb()),
        "_TIME": taken.run.trajectory.times,
    }
    data = [values.astype("<f4").tobytes() for values in attributes.values()]
    starts = np.cumsum([0, *map(len, data)]).tolist()
    accessors: list[dict[str, Any]] = [
        {"bufferView": i, "componentType": 5126, "count": len(values), "type": "VEC3" if values.ndim == 2 else "SCALAR"}
        for i, values in enumerate(attributes.values())
    ]
    accessors[0] |= {"min": places.min(axis=0).tolist(), "max": places.max(axis=0).tolist()}
    half = math.sqrt(0.5)
    about = {
        "asset": {"version": "2.0", "generator": "trajectory"},
        "extensionsUsed": ["KHR_materials_unlit"],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"name": title(taken.run), "mesh": 0, "rotation": [-half, 0, 0, half]}],  # glTF's up is the second axis
        "meshes": [{"primitives": [{"mode": 3, "attributes": {name: i for i, name in enumerate(attributes)}, "material": 0}]}],
        "materials": [{"extensions": {"KHR_materials_unlit": {}}}],
        "accessors": accessors,
        "bufferViews": [
            {"buffer": 0, "byteOffset": start, "byteLength": len(part), "target": 34962} for start, part in zip(starts, data, strict=False)
        ],
        "buffers": [{"byteLength": starts[-1]}],
    }
    text = json.dumps(about).encode()
    text += b" " * (-len(text) % 4)
    file.write(struct.pack("<4sII", b"glTF", 2, 12 + 8 + len(text) + 8 + starts[-1]))
    file.write(struct.pack("<I4s", len(text), b"JSON") + text)
    file.write(struct.pack("<I4s", starts[-1], b"BIN\0") + b"".join(data))


def _linear(rgb: Floats) -> Floats:
    """glTF's colours are light, the screen's are not."""
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4).astype(np.float32)


def _write_bundle(taken: _Taken, file: BinaryIO) -> None:
    bundles.write(file, taken.run, features=taken.features, sound=taken.sound, hue=taken.hue, camera=taken.camera)


_WRITERS: dict[str, tuple[str, Callable[[_Taken, BinaryIO], None]]] = {
    "npz": (".npz", _write_npz),
    "csv": (".csv", _write_csv),
    "html": (".html", _write_page),
    "gltf": (".glb", _write_glb),
    "bundle": (".zip", _write_bundle),
}
