"""Records -> the synced 3D player in the browser, and what its listener did -> Python. Nothing is trained or computed here."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
from numpy.typing import NDArray

from trajectory.errors import TrajectoryError
from trajectory.records import Floats, Forming
from trajectory.ui.components import ahead, code, mounted, static_address

Seconds = NDArray[np.floating[Any]]
Levels = NDArray[np.uint8]
Kind = Literal["path", "forecast", "truth", "member"]
Span = tuple[float, float]  # seconds of the song
Point = tuple[float, float, float]
Camera = Mapping[str, Mapping[str, float]]  # eye, center and up, each with x, y and z

PLOTLY = "vendor/plotly-gl3d-4.1.1.min.js"
WIDEST = 6000  # columns of a spectrogram that are sent: more than a screen shows


class PlayerError(TrajectoryError):
    """Numbers that the player cannot draw."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Line:
    """One line through a scene, with the moment that each of its points stands for."""

    points: Floats  # (n, 3) in shown coordinates
    times: Seconds  # (n,) seconds of the song, rising
    kind: Kind = "path"
    values: Floats | None = None  # (n,) what a path is coloured by; its times where there are none
    name: str = ""
    colour: str = "#e8e8f0"  # #rrggbb, for all kinds but the path

    def __post_init__(self) -> None:
        if self.points.ndim != 2 or self.points.shape[1] != 3 or len(self.points) < 2:
            raise PlayerError(f"points of shape {self.points.shape} are no line in space; (n, 3) with at least 2 are needed")
        if self.times.shape != self.points.shape[:1] or not (np.diff(self.times) > 0).all():
            raise PlayerError(f"{len(self.points)} points need as many rising times, not {self.times.shape}")
        if self.values is not None and self.values.shape != self.times.shape:
            raise PlayerError(f"{len(self.points)} points need as many values to be coloured by, not {self.values.shape}")
        if not (np.isfinite(self.points).all() and np.isfinite(self.times).all()):
            raise PlayerError("a line holds values that are not numbers")


@dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
    """One box with its lines, the first path being the one that the comet rides."""

    lines: tuple[Line, ...]
    label: str = ""
    note: str = ""  # what must be said of it, like "preview: nothing trained yet"

    def __post_init__(self) -> None:
        if not any(line.kind == "path" for line in self.lines):
            raise PlayerError(f"scene {self.label!r} has no path for the comet to ride")


@dataclass(frozen=True, kw_only=True)
class Colouring:
    """What colours mean: a scale, the values at its ends, and the words of its legend."""

    title: str
    stops: Sequence[tuple[float, str] | list[Any]]  # (place from 0 to 1, "#rrggbb"), rising
    low: float
    high: float
    ends: tuple[str, str] = ("", "")  # what low and high mean, in words


@dataclass(frozen=True, kw_only=True, eq=False)
class Panes:
    """The song seen flat, below the scenes."""

    window_seconds: float  # of the sound that one point stands for
    waveform: Floats | None = None  # (n, 2) lowest and highest sample, evenly over the span
    spectrogram: Levels | None = None  # (bins, frequencies), low frequencies first
    bin_seconds: float = 0.0
    start: float = 0.0  # seconds of the song at which bin 0 begins
    recurrence: Levels | None = None  # (m, m), bright where two moments are alike
    recurrence_span: Span = (0.0, 1.0)  # the moments of its first and last row

    def __post_init__(self) -> None:
        if self.waveform is not None and (self.waveform.ndim != 2 or self.waveform.shape[1] != 2):
            raise PlayerError(f"a waveform of shape {self.waveform.shape} is not (n, 2), lowest and highest")
        if self.spectrogram is not None and (self.spectrogram.ndim != 2 or self.bin_seconds <= 0):
            raise PlayerError(f"a spectrogram of shape {self.spectrogram.shape} needs two axes and bin_seconds above 0")
        if self.recurrence is not None and self.recurrence.shape != (len(self.recurrence),) * 2:
            raise PlayerError(f"a recurrence plot of shape {self.recurrence.shape} is not square")


@dataclass(frozen=True, kw_only=True)
class View:
    """Where the player stands at first; it goes there again when `serial` changes."""

    time: float = 0.0  # seconds of the song, brought inside the span
    camera: Camera | None = None
    loop: Span | None = None
    serial: int = 0


@dataclass(frozen=True, kw_only=True)
class Pick:
    """A point of space that was clicked; every pick has a serial of its own."""

    scene: int
    point: Point  # in the scene's own coordinates
    serial: int


@dataclass(frozen=True, kw_only=True)
class Events:
    """What the listener did last; told on pause, scrub, click, and when camera or loop have changed."""

    time: float
    camera: Camera | None
    loop: Span | None
    picked: Pick | None = None


_mount = mounted("player")
_fetch = ahead("player")


def prepare() -> None:
    """The first song finds its player ready."""
    _fetch(plotly=static_address(PLOTLY))


def player(
    scenes: tuple[Scene, ...],
    *,
    key: str,
    span: Span,
    colouring: Colouring,
    sound: str | None = None,
    sound_start: float = 0.0,
    panes: Panes | None = None,
    forming: Forming | None = None,
    view: View | None = None,
    height: int = 520,
    live: bool = False,
) -> Events:
    """One or two scenes in step with one sound: a URL, and the moment of the song that it begins with. Without one they move in silence."""
    view = view or View()
    data = payload(
        scenes,
        about={"key": key, "sound": sound, "sound_start": sound_start, "span": list(span), "height": height, "live": live},
        colouring=colouring,
        panes=panes,
        forming=forming,
        view=view,
    )
    state = _mount(key=key, data=data, on_seen_change=lambda: None)
    return events(state.get("seen"), view=view, span=span)


def payload(
    scenes: tuple[Scene, ...],
    *,
    about: dict[str, Any],
    colouring: Colouring,
    panes: Panes | None,
    forming: Forming | None,
    view: View,
) -> dict[str, Any]:
    """Numbers as Arrow tables, the rest as JSON: numbers in JSON would be five times as large."""
    if len(scenes) not in (1, 2):
        raise PlayerError(f"{len(scenes)} scenes were given; the player shows 1 or 2")
    data: dict[str, Any] = {"lines": _lines_table(scenes), **_pane_tables(panes)}
    shapes = _forming_table(forming)
    if forming is not None and shapes is not None:
        data["forming"] = shapes
    meta = {
        **about,
        "scenes": _scenes_about(scenes),
        "colouring": asdict(colouring),
        "panes": _panes_about(panes),
        "forming": None if forming is None else {"steps": forming.steps.tolist(), "times": forming.times.tolist()},
        "view": asdict(view),
        "plotly": static_address(PLOTLY),
        "code": code("player"),
    }
    tables = {"panes": ("waveform", "spectrogram", "recurrence"), "forming": ("forming",)}
    versions = {part: _digest(meta[part], *(data.get(name) for name in names)) for part, names in tables.items()}
    meta["versions"] = versions | {"lines": _digest(meta["scenes"]), "colouring": _digest(meta["colouring"])}
    return {"meta": meta, **data}


def events(seen: Any, *, view: View, span: Span) -> Events:
    """What the browser sent, or the view where it has sent nothing yet or nothing of sense."""
    start = Events(time=min(max(view.time, span[0]), span[1]), camera=view.camera, loop=view.loop)
    try:
        camera, loop, picked = seen["camera"], seen["loop"], seen["picked"]
        if camera is not None:
            camera = {name: {axis: float(camera[name][axis]) for axis in "xyz"} for name in ("eye", "center", "up")}
        found = Events(time=float(seen["time"]), camera=camera, loop=None if loop is None else (float(loop[0]), float(loop[1])))
        if picked is None:
            return found
        x, y, z = map(float, picked["point"])
        return replace(found, picked=Pick(scene=int(picked["scene"]), point=(x, y, z), serial=int(picked["serial"])))
    except (KeyError, TypeError, ValueError):
        return start


def _lines_table(scenes: tuple[Scene, ...]) -> pa.Table:
    lines = [line for scene in scenes for line in scene.lines]
    x, y, z = np.concatenate([line.points for line in lines]).astype(np.float32).T
    time = np.concatenate([line.times for line in lines]).astype(np.float32)
    value = np.concatenate([line.times if line.values is None else line.values for line in lines]).astype(np.float32)
    return pa.table({"x": x.copy(), "y": y.copy(), "z": z.copy(), "time": time, "value": value})


def _scenes_about(scenes: tuple[Scene, ...]) -> list[dict[str, Any]]:
    first = 0
    found = []
    for scene in scenes:
        lines = []
        for line in scene.lines:
            lines.append({"kind": line.kind, "name": line.name, "colour": line.colour, "first": first, "count": len(line.times)})
            first += len(line.times)
        arrays = [array for line in scene.lines for array in (line.points, line.times, line.values)]
        found.append({"label": scene.label, "note": scene.note, "lines": lines, "geometry": _digest(lines, *arrays)})
    return found


def _pane_tables(panes: Panes | None) -> dict[str, pa.Table]:
    tables = {}
    if panes is not None and panes.waveform is not None:
        low, high = panes.waveform.astype(np.float32).T
        tables["waveform"] = pa.table({"low": low.copy(), "high": high.copy()})
    if panes is not None and panes.spectrogram is not None:
        tables["spectrogram"] = pa.table({"level": _narrowed(panes.spectrogram).ravel()})
    if panes is not None and panes.recurrence is not None:
        tables["recurrence"] = pa.table({"level": panes.recurrence.ravel()})
    return tables


def _panes_about(panes: Panes | None) -> dict[str, Any] | None:
    if panes is None:
        return None
    about: dict[str, Any] = {"window_seconds": panes.window_seconds, "waveform": panes.waveform is not None}
    if panes.spectrogram is not None:
        bins, frequencies = _narrowed(panes.spectrogram).shape
        seconds = panes.bin_seconds * _joined_bins(panes.spectrogram)
        about["spectrogram"] = {"bins": bins, "frequencies": frequencies, "bin_seconds": seconds, "start": panes.start}
    if panes.recurrence is not None:
        low, high = panes.recurrence_span
        about["recurrence"] = {"size": len(panes.recurrence), "low": low, "high": high}
    return about


def _joined_bins(spectrogram: Levels) -> int:
    return -(-len(spectrogram) // WIDEST)


def _narrowed(spectrogram: Levels) -> Levels:
    """A long song's bins joined to few enough for a picture, each as loud as the loudest in it."""
    starts = np.arange(0, len(spectrogram), _joined_bins(spectrogram))
    return np.maximum.reduceat(spectrogram, starts, axis=0)


def _forming_table(forming: Forming | None) -> pa.Table | None:
    if forming is None:
        return None
    if forming.points.shape[2] != 3:
        raise PlayerError(f"a forming of shape {forming.points.shape} cannot be shown; its points need 3 shown coordinates")
    return pa.table({"number": forming.points.astype(np.float32).ravel()})


def _digest(about: Any, *parts: NDArray[Any] | pa.Table | None) -> str:
    """Names a content, so that the browser reads only what is new."""
    digest = hashlib.blake2b(json.dumps(about).encode(), digest_size=8)
    for part in parts:
        columns = [] if part is None else [part] if isinstance(part, np.ndarray) else [column.to_numpy() for column in part.columns]
        for column in columns:
            digest.update(column.tobytes())
    return digest.hexdigest()
