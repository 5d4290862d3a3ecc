"""What is asked of a film: what it shows and how it looks. Times are seconds of the song."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from trajectory.features import Features
from trajectory.records import Floats

from .camera import Held, Keys, Reals, Turn, VideoError

Background = Literal["dark", "light", "transparent"]
Strip = Literal["waveform", "spectrogram"]
Quality = Literal["draft", "fine"]

LEAST_PIXELS, MOST_PIXELS = 64, 4096
MOST_FPS = 120
FORMING_SECONDS = 12.0
LONGEST_HALF_WINDOW = 2.0  # seconds by which a path may begin after its song, and end before it


@dataclass(frozen=True, kw_only=True)
class FilmSettings:
    """How a film looks."""

    width: int = 1920
    height: int = 1080
    fps: int = 30
    quality: Quality = "fine"
    camera: Turn | Held | Keys = field(default_factory=Turn)
    background: Background = "dark"
    title: str = ""
    artist: str = ""
    time_code: bool = True
    strip: Strip | None = None
    start: float | None = None  # seconds of the song; its beginning
    stop: float | None = None  # and its end

    def __post_init__(self) -> None:
        size = f"{self.width}x{self.height}"
        if not all(isinstance(side, int) and LEAST_PIXELS <= side <= MOST_PIXELS for side in (self.width, self.height)):
            raise VideoError(f"a picture of {size} cannot be made; each side takes {LEAST_PIXELS} to {MOST_PIXELS} pixels")
        if self.width % 2 or self.height % 2:
            raise VideoError(f"a picture of {size} has an odd side, which films do not take; use even numbers")
        if not (isinstance(self.fps, int) and 1 <= self.fps <= MOST_FPS):
            raise VideoError(f"{self.fps} frames a second cannot be made; give 1 to {MOST_FPS}, like 24, 30 or 60")
        for name, chosen, known in (
            ("quality", self.quality, ("draft", "fine")),
            ("background", self.background, ("dark", "light", "transparent")),
            ("strip", self.strip, (None, "waveform", "spectrogram")),
        ):
            if chosen not in known:
                raise VideoError(f"there is no {name} {chosen!r}; choose from {', '.join(str(one) for one in known)}")
        ends = [end for end in (self.start, self.stop) if end is not None]
        if not all(math.isfinite(end) and end >= 0 for end in ends) or (len(ends) == 2 and ends[0] >= ends[1]):
            raise VideoError(f"from {self.start} to {self.stop} s is no part of a song; the start comes before the stop")


@dataclass(frozen=True, kw_only=True, eq=False)
class Overlay:
    """A forecast, what came, or one member of an ensemble, drawn over a path."""

    points: Floats  # (n, 3) in shown coordinates
    times: Reals  # (n,)
    kind: Literal["forecast", "truth", "member"]
    colour: str  # "#rrggbb"

    def __post_init__(self) -> None:
        _check_line(self.points, self.times, f"a {self.kind}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Shot:
    """What one panel shows: a path, what lies over it, or how it took shape."""

    points: Floats  # (n, 3) in shown coordinates
    times: Reals  # (n,)
    rgb: Floats  # (n, 3) in [0, 1]
    label: str = ""
    overlays: tuple[Overlay, ...] = ()
    snapshots: Floats | None = None  # (k, n, 3): a film of the path forming, in the order of the training

    def __post_init__(self) -> None:
        _check_line(self.points, self.times, "a path")
        if self.rgb.shape != self.points.shape:
            raise VideoError(f"{len(self.points)} points need as many colours, not {self.rgb.shape}")
        if self.snapshots is not None and (self.snapshots.shape[1:] != self.points.shape or not len(self.snapshots)):
            raise VideoError(f"snapshots of shape {self.snapshots.shape} are not of the path's {len(self.points)} points")


def span(shots: Sequence[Shot], settings: FilmSettings, features: Features | None = None) -> tuple[float, float]:
    """The seconds of the song that a film is of; a forming lasts FORMING_SECONDS where no end is given."""
    first = min(float(shot.times[0]) for shot in shots) if features is None else features.start
    last = max(float(shot.times[-1]) for shot in shots) if features is None else features.stop
    start = first if settings.start is None else settings.start
    if any(shot.snapshots is not None for shot in shots):
        return start, start + FORMING_SECONDS if settings.stop is None else settings.stop
    stop = last if settings.stop is None else settings.stop
    margin = LONGEST_HALF_WINDOW if features is None else 0.05
    if not (first - margin <= start < stop <= last + margin):
        raise VideoError(f"{start:g} to {stop:g} s lies outside the song; choose a part between {first:.2f} and {last:.2f} s")
    return start, stop


def _check_line(points: Floats, times: Reals, name: str) -> None:
    if points.ndim != 2 or points.shape[1] != 3 or not len(points) or times.shape != points.shape[:1]:
        raise VideoError(f"{points.shape} points and {times.shape} times do not make {name}; (n, 3) and (n,) are needed")
    if not (np.isfinite(points).all() and np.isfinite(times).all() and (np.diff(times) > 0).all()):
        raise VideoError(f"{name} holds points that are not numbers, or times that do not rise")
