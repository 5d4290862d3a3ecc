"""Places of songs -> the map of the library in the browser, and what was chosen there -> Python. Nothing is placed or coloured here."""

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]

from trajectory.errors import TrajectoryError
from trajectory.ui.components import code, mounted

COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


class SongmapError(TrajectoryError):
    """Places that the map cannot draw."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """One song, or a vector of the user's own, where it lies on the map."""

    id: str
    label: str
    note: str = ""  # the second line of what is said of it
    x: float
    y: float
    z: float | None = None  # None for all: a flat map
    colour: str  # #rrggbb
    sound: str | None = None  # a URL
    start: float = 0.0  # seconds of the song to hear from
    own: bool = False  # a vector of the user's: a diamond, without sound

    def __post_init__(self) -> None:
        if not self.id:
            raise SongmapError(f"the place {self.label!r} has no id; the map tells by it what was chosen")
        if not all(math.isfinite(value) for value in (self.x, self.y, self.z or 0.0)):
            raise SongmapError(f"{self.label!r} lies at ({self.x}, {self.y}, {self.z}), which is no place on a map")
        if not COLOUR.fullmatch(self.colour):
            raise SongmapError(f"{self.label!r} has the colour {self.colour!r}; one like '#e69f00' is needed")
        if not (math.isfinite(self.start) and self.start >= 0):
            raise SongmapError(f"{self.label!r} is to be heard from {self.start} s; 0 or more are needed")
        if self.own and self.sound is not None:
            raise SongmapError(f"{self.label!r} is a vector of the user's own, so it cannot have the sound {self.sound!r}")


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What was chosen last; `serial` rises each time, and `opened` is told only with the click that opened it."""

    lassoed: tuple[str, ...] = ()  # in the order of the map's places
    opened: str | None = None
    serial: int = 0


_mount = mounted("songmap")


def songmap(
    songs: Sequence[Place],
    *,
    key: str,
    height: int = 520,
    colour_title: str,
    legend: Sequence[tuple[str, str]],
) -> Selection:
    """The map, flat or in space as its places are; `legend` names colours, each a word and its "#rrggbb"."""
    data = payload(songs, key=key, height=height, colour_title=colour_title, legend=legend)
    state = _mount(key=key, data=data, on_seen_change=lambda: None)
    return selection(state.get("seen"), songs)


def payload(songs: Sequence[Place], *, key: str, height: int, colour_title: str, legend: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Songs as one Arrow table, the rest as JSON."""
    if len({song.id for song in songs}) < len(songs):
        twice = next(song.id for song in songs if sum(song.id == other.id for other in songs) > 1)
        raise SongmapError(f"two places on the map have the id {twice!r}; each needs one of its own")
    flat = [song.label for song in songs if song.z is None]
    if flat and len(flat) < len(songs):
        raise SongmapError(f"{flat[0]!r} has no z and others have one; a map is flat or in space")
    if wrong := [colour for _, colour in legend if not COLOUR.fullmatch(colour)]:
        raise SongmapError(f"the legend has the colour {wrong[0]!r}; one like '#e69f00' is needed")
    table = _table(songs)
    meta = {
        "key": key,
        "height": height,
        "flat": bool(flat),
        "colour_title": _text(colour_title),
        "legend": [[_text(name), colour] for name, colour in legend],
        "version": _digest(table),
        "code": code("songmap"),
    }
    return {"meta": meta, "songs": table}


def selection(seen: Any, songs: Sequence[Place]) -> Selection:
    """What the browser sent, less what is not on the map; nothing where it sent nothing of sense."""
    if not isinstance(seen, Mapping) or not isinstance(seen.get("lassoed"), Sequence):
        return Selection()
    serial, opened = seen.get("serial"), seen.get("opened")
    if isinstance(serial, bool) or not isinstance(serial, int | float) or not math.isfinite(serial) or serial < 0:
        return Selection()
    lassoed = {name for name in seen["lassoed"] if isinstance(name, str)}
    known = {_text(song.id): song.id for song in songs}
    return Selection(
        lassoed=tuple(own for sent, own in known.items() if sent in lassoed),
        opened=known.get(opened) if isinstance(opened, str) else None,
        serial=int(serial),
    )


def _table(songs: Sequence[Place]) -> pa.Table:
    numbers = {name: pa.array([getattr(song, name) or 0.0 for song in songs], pa.float32()) for name in ("x", "y", "z", "start")}
    texts = {name: pa.array([_text(getattr(song, name)) for song in songs], pa.string()) for name in ("id", "label", "note", "colour")}
    sounds = pa.array([song.sound and _text(song.sound) for song in songs], pa.string())
    return pa.table({**numbers, **texts, "sound": sounds, "own": pa.array([song.own for song in songs], pa.bool_())})


def _text(words: str) -> str:
    """What can travel as UTF-8; a file's name may hold bytes that are none."""
    return words.encode("utf-8", "replace").decode()


def _digest(table: pa.Table) -> str:
    """Names a content, so that the browser reads only what is new."""
    digest = hashlib.blake2b(digest_size=8)
    for column in table.columns:
        digest.update(repr(column.to_pylist()).encode())
    return digest.hexdigest()
