"""A film's whole picture of a moment: panels, titles, the time, and the song's sound along the bottom."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from trajectory.colouring import clock
from trajectory.features import Features

from .camera import Camera, Held, Reals, Turn, VideoError, between, home, mixed, turned
from .canvas import CLEAR, DARK, LIGHT, Canvas, Pixels, Raster, Rgb, Theme
from .panel import Moment, Panel
from .shots import FilmSettings, Shot, span

FORMED = 0.85  # of a forming's film, after which the finished path is looked at


class Picture:
    """Everything that stays the same from frame to frame, made once."""

    def __init__(self, shots: Sequence[Shot], settings: FilmSettings, features: Features | None) -> None:
        if len(shots) not in (1, 2):
            raise VideoError(f"{len(shots)} paths were given; a film shows 1 or 2")
        self.settings, self.shots = settings, tuple(shots)
        self.forming = any(shot.snapshots is not None for shot in shots)
        self.start, self.stop = span(shots, settings, features)
        self.theme = {"dark": DARK, "light": LIGHT, "transparent": CLEAR}[settings.background]
        self.unit = min(settings.width, settings.height) / 1000
        self.strip = self._strip(features) if settings.strip else None
        self.panels = [Panel(shot, place, self.theme) for shot, place in zip(shots, self._places(), strict=True)]
        self.turn_from = self._turn_from()
        self.ground = self._ground()
        self.write(Raster(self.ground))
        if self.strip is not None:
            self.strip.lay(self.ground)

    @property
    def header(self) -> int:
        return round(70 * self.unit) if self.settings.title or self.settings.artist else 0

    def _places(self) -> list[tuple[int, int, int, int]]:
        """Where the panels are: side by side, or one over the other where the picture is tall."""
        width, height = self.settings.width, self.settings.height - (0 if self.strip is None else self.strip.height)
        if len(self.shots) == 1:
            return [(0, 0, width, height)]
        if width >= height:
            return [(0, 0, width // 2, height), (width // 2, 0, width - width // 2, height)]
        top = self.header
        half = (height - top) // 2
        return [(0, top, width, half), (0, top + half, width, height - top - half)]

    def _turn_from(self) -> Camera | None:
        camera = self.settings.camera
        if not isinstance(camera, Turn):
            return None
        homes = [home(panel.box.corners, panel.width / panel.height, share=0.92, around=True) for panel in self.panels]
        return camera.start or max(homes, key=lambda one: one["eye"]["z"])

    def camera(self, time: float) -> Camera:
        """Where it is seen from at a moment."""
        chosen = self.settings.camera
        if isinstance(chosen, Held):
            return chosen.camera
        if isinstance(chosen, Turn):
            return turned(self.turn_from or {}, 2 * math.pi * (time - self.start) / chosen.seconds)
        keys = chosen.keys
        after = next((i for i, (at, _) in enumerate(keys) if at > time), len(keys))
        if after in (0, len(keys)):
            return keys[max(0, after - 1)][1]
        (since, one), (until, other) = keys[after - 1 : after + 1]
        return between(one, other, (time - since) / (until - since))

    def draw(self, time: float) -> Pixels:
        """The picture of a moment: (height, width, 3), or 4 with alpha where the ground is transparent."""
        canvas = Raster(self.ground.copy())
        share = (time - self.start) / (self.stop - self.start) / FORMED if self.forming else None
        self.paint(canvas, Moment(time=time, camera=self.camera(time), share=share))
        if self.strip is not None:
            self.strip.draw(canvas.pixels, (time - self.start) / (self.stop - self.start))
        return straight(canvas.pixels)

    def paint(self, canvas: Canvas, moment: Moment) -> None:
        """What moves."""
        for panel in self.panels:
            panel.draw(canvas.part(*panel.rectangle), moment)
        if self.settings.time_code and not self.forming and not moment.bright:
            bottom = self.settings.height - (0 if self.strip is None else self.strip.height)
            canvas.text(
                clock(math.floor(max(0.0, moment.time) * 100 + 1e-6) / 100),
                40 * self.unit,
                bottom - 66 * self.unit,
                28 * self.unit,
                self.theme.quiet,
            )

    def _ground(self) -> Pixels:
        """Lighter in the middle; a little noise, always the same, keeps it from showing bands."""
        width, height = self.settings.width, self.settings.height
        if self.settings.background == "transparent":
            return np.zeros((height, width, 4), np.uint8)
        x, y = np.linspace(-1, 1, width, dtype=np.float32), np.linspace(-1, 1, height, dtype=np.float32)[:, None]
        away = np.clip(np.hypot(x, y) / 1.3, 0, 1)
        noise = np.random.default_rng(0).random((height, width), dtype=np.float32) - 0.5
        channels = [mixed(np.float32(a), np.float32(b), away**1.5) + noise for a, b in zip(self.theme.ground, self.theme.edge, strict=True)]
        return np.stack([np.clip(np.rint(channel), 0, 255).astype(np.uint8) for channel in channels], axis=2)

    def write(self, canvas: Canvas) -> None:
        """Titles and labels."""
        unit, settings = self.unit, self.settings
        if settings.title:
            canvas.text(settings.title, 40 * unit, 30 * unit, 34 * unit, self.theme.ink)
        if settings.artist:
            canvas.text(settings.artist, 40 * unit, (76 if settings.title else 30) * unit, 24 * unit, self.theme.quiet)
        for panel in self.panels:
            if panel.shot.label:
                x, y, width, _ = panel.rectangle
                canvas.text(panel.shot.label, x + width / 2, max(y, self.header) + 40 * unit, 26 * unit, self.theme.quiet, anchor="middle")

    def _strip(self, features: Features | None) -> "_SoundStrip":
        """The sound along the bottom, bright as far as it was heard, in the colours of the path."""
        if features is None:
            raise VideoError(f"a {self.settings.strip} strip needs the song's sound; leave it out, or give the song")
        height, margin = round(104 * self.unit), round(40 * self.unit)
        width = self.settings.width - 2 * margin
        times = np.linspace(self.start, self.stop, width)
        shot = self.shots[0]
        along = np.stack([np.interp(times, shot.times, shot.rgb[:, axis]) for axis in range(3)], axis=1) * 255 * self.theme.shade
        tall = round(64 * self.unit)
        if self.settings.strip == "waveform":
            mask = _waveform(features, times, tall)
            looks = [_laid(mask, np.broadcast_to(np.array(colour), (tall, width, 3))) for colour in (self.theme.rest, along)]
        else:
            levels = _levels(features, times, tall)
            colours = _heat(self.theme, levels)
            looks = [_laid(levels**0.5 * strength, colours) for strength in (0.4, 1.0)]
        return _SoundStrip(left=margin, height=height, rest=looks[0], played=looks[1], ink=self.theme.ink, unit=self.unit)


@dataclass(frozen=True, kw_only=True, eq=False)
class _SoundStrip:
    """The song's sound as a band at the bottom of the picture."""

    left: int
    height: int
    rest: Pixels  # (tall, width, 4), colours multiplied by their alpha
    played: Pixels
    ink: Rgb
    unit: float

    def lay(self, ground: Pixels) -> None:
        """Puts both looks over the ground, so that a frame need only copy them."""
        tall, width = self.rest.shape[:2]
        top = len(ground) - self.height
        below = ground[top : top + tall, self.left : self.left + width].astype(np.uint16)
        for look in (self.rest, self.played):
            covered = below * (255 - look[..., 3:].astype(np.uint16)) // 255
            look[..., : ground.shape[2]] += covered.astype(np.uint8)

    def draw(self, pixels: Pixels, share: float) -> None:
        tall, width = self.rest.shape[:2]
        top = pixels.shape[0] - self.height
        where = pixels[top : top + tall, self.left : self.left + width]
        now = round(min(max(share, 0.0), 1.0) * width)
        for look, part in ((self.played, slice(0, now)), (self.rest, slice(now, width))):
            where[:, part] = look[:, part, : pixels.shape[2]]
        x, edge = self.left + share * width, 6 * self.unit
        Raster(pixels).line(np.array([[x, top - edge], [x, top + tall + edge]]), self.ink, 1.6 * self.unit)


def _laid(alpha: Reals, colours: Reals) -> Pixels:
    opaque = np.concatenate([colours, np.full((*colours.shape[:2], 1), 255.0)], axis=2)
    return np.rint(opaque * alpha[..., None]).astype(np.uint8)


def _columns(features: Features, times: Reals, count: int) -> NDArray[np.int64]:
    """Which of so many columns, evenly over the song, stand for these moments."""
    share = (times - features.start) / (features.stop - features.start)
    return np.clip((share * count).astype(np.int64), 0, count - 1)


def _waveform(features: Features, times: Reals, tall: int) -> Reals:
    """How much of each pixel the wave covers, (tall, times)."""
    columns = _columns(features, times, len(features.waveform))
    low = np.minimum.reduceat(features.waveform[:, 0], columns)
    high = np.maximum.reduceat(features.waveform[:, 1], columns)
    peak = max(float(np.abs(features.waveform).max()), 1e-6)
    top, bottom = ((0.5 - 0.48 * side / peak) * tall for side in (high, low))
    rows = np.arange(tall)[:, None]
    return np.clip(np.minimum(rows + 1, np.maximum(bottom, top + 1)) - np.maximum(rows, top), 0, 1)


def _levels(features: Features, times: Reals, tall: int) -> Reals:
    """The spectrogram's levels, 0 to 1, low frequencies at the bottom, (tall, times)."""
    picture = features.picture[_columns(features, times, len(features.picture))].T[::-1]
    return cv2.resize(picture, (len(times), tall), interpolation=cv2.INTER_AREA).astype(np.float64) / 255


def _heat(theme: Theme, levels: Reals) -> Reals:
    stops = np.array([theme.ground, *theme.heat])
    channels = [np.interp(levels, np.linspace(0, 1, len(stops)), stops[:, axis]) for axis in range(3)]
    return np.asarray(np.stack(channels, axis=-1), np.float64)


def straight(pixels: Pixels) -> Pixels:
    """Colours as files with alpha keep them, not multiplied by it."""
    if pixels.shape[2] == 3:
        return pixels
    alpha = pixels[..., 3:]
    some = (alpha > 0) & (alpha < 255)
    rows = np.flatnonzero(some.any(axis=(1, 2)))
    if len(rows):
        part = slice(rows[0], rows[-1] + 1)
        over = np.maximum(alpha[part], 1).astype(np.uint16)
        pixels[part, :, :3] = np.minimum(pixels[part, :, :3].astype(np.uint16) * 255 // over, 255)
    return pixels
