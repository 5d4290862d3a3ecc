"""Where a picture is drawn: pixels, or vectors for a poster. All lengths are in pixels from the upper left corner."""

import functools
import importlib.util
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol
from xml.sax.saxutils import escape

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from .camera import Reals

Pixels = NDArray[np.uint8]
Rgb = tuple[float, float, float]  # 0 to 255


@dataclass(frozen=True, kw_only=True)
class Theme:
    """The colours of everything but the path itself."""

    ground: Rgb
    edge: Rgb  # the ground in the corners of the picture
    shade: float  # of the path's own colours, so that they stand out from the ground
    box: Rgb
    rest: Rgb
    ink: Rgb
    quiet: Rgb
    glow: Rgb
    tail: Rgb
    core: Rgb
    shines: bool  # light adds up on a dark ground, and covers a light one
    heat: tuple[Rgb, ...]  # of the spectrogram, from the ground on


DARK = Theme(
    ground=(17, 16, 27),
    edge=(7, 7, 12),
    shade=1.0,
    box=(58, 60, 80),
    rest=(78, 80, 98),
    ink=(232, 232, 240),
    quiet=(150, 152, 168),
    glow=(255, 160, 66),
    tail=(255, 226, 186),
    core=(255, 252, 244),
    shines=True,
    heat=((43, 26, 79), (140, 45, 107), (238, 123, 75), (255, 243, 196)),
)
LIGHT = Theme(
    ground=(251, 251, 253),
    edge=(236, 236, 242),
    shade=0.74,
    box=(206, 207, 218),
    rest=(196, 197, 209),
    ink=(30, 30, 42),
    quiet=(112, 114, 130),
    glow=(255, 150, 50),
    tail=(232, 104, 24),
    core=(214, 78, 8),
    shines=False,
    heat=((247, 205, 170), (231, 120, 90), (140, 45, 107), (43, 26, 79)),
)
CLEAR = replace(DARK, ground=(70, 70, 84), box=(122, 124, 142), rest=(136, 138, 154), quiet=(205, 206, 216))


class Canvas(Protocol):
    """Where a panel is drawn."""

    def part(self, x: int, y: int, width: int, height: int) -> "Canvas": ...

    def strokes(self, ends: Reals, rgb: Reals, widths: Reals) -> None: ...

    def line(self, points: Reals, rgb: Rgb, width: float) -> None: ...

    def glow(self, tail: Reals, lives: Reals, theme: Theme, radius: float) -> None: ...

    def disc(self, centre: Reals, radius: float, rgb: Rgb) -> None: ...

    def text(self, text: str, x: float, y: float, size: float, rgb: Rgb, *, anchor: Literal["left", "middle"] = "left") -> None: ...


FINE = 4  # OpenCV counts in sixteenths of a pixel
GLOW_GRAIN = 4  # a glow is drawn so many times smaller


class Raster:
    """Pixels: (height, width, 3), or 4 with colours multiplied by their alpha."""

    def __init__(self, pixels: Pixels) -> None:
        self.pixels = pixels

    def part(self, x: int, y: int, width: int, height: int) -> "Raster":
        return Raster(self.pixels[y : y + height, x : x + width])

    def strokes(self, ends: Reals, rgb: Reals, widths: Reals) -> None:
        """Segments (n, 2, 2) in their order, each with its colour and width."""
        along = ends[:, 1] - ends[:, 0]
        along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-6)
        across = np.stack([-along[:, 1], along[:, 0]], axis=1) * (widths[:, None] / 2)
        over = along * (widths[:, None] * 0.3)  # so that no crack shows where two of them meet
        one, other = ends[:, 0] - over, ends[:, 1] + over
        corners = _sixteenths(np.stack([one + across, other + across, other - across, one - across], axis=1))
        for corner, colour in zip(corners, self._colours(rgb), strict=True):
            cv2.fillConvexPoly(self.pixels, corner, colour, cv2.LINE_AA, FINE)

    def line(self, points: Reals, rgb: Rgb, width: float) -> None:
        if len(points) > 1:
            cv2.polylines(self.pixels, [_sixteenths(points)], False, self._colour(rgb), max(1, round(width)), cv2.LINE_AA, FINE)

    def disc(self, centre: Reals, radius: float, rgb: Rgb) -> None:
        x, y = _sixteenths(centre).tolist()
        cv2.circle(self.pixels, (x, y), round(radius * 16), self._colour(rgb), -1, cv2.LINE_AA, FINE)

    def glow(self, tail: Reals, lives: Reals, theme: Theme, radius: float) -> None:
        """Light around the comet, which is the tail's last point, and along its tail, drawn small and only where it falls."""
        height, width = self.pixels.shape[:2]
        least, most = np.floor((tail.min(axis=0) - radius) / GLOW_GRAIN), np.ceil((tail.max(axis=0) + radius) / GLOW_GRAIN)
        left, top = np.clip(least, 0, [width // GLOW_GRAIN, height // GLOW_GRAIN]).astype(int)
        right, bottom = np.clip(most, 0, [-(-width // GLOW_GRAIN), -(-height // GLOW_GRAIN)]).astype(int)
        if right <= left or bottom <= top:
            return
        small = tail / GLOW_GRAIN - [left, top]
        mask = np.zeros((bottom - top, right - left), np.uint8)
        for k in range(1, len(tail)):
            cv2.polylines(mask, [_sixteenths(small[k - 1 : k + 1])], False, 200 * lives[k], max(1, round(radius / 14)), cv2.LINE_AA, FINE)
        mask = cv2.GaussianBlur(mask, (0, 0), radius / 20)
        away = np.hypot(*(np.ogrid[: mask.shape[0], : mask.shape[1]][axis] + 0.5 - small[-1, 1 - axis] for axis in (0, 1)))
        head = np.interp(away * GLOW_GRAIN / radius, (0, 0.2, 0.45, 1), (230, 150, 60, 0))
        light = np.maximum(mask * 0.8, head)[..., None] / 255  # (height, width, 1)
        where = self.pixels[GLOW_GRAIN * top : GLOW_GRAIN * bottom, GLOW_GRAIN * left : GLOW_GRAIN * right]
        self._shine(where, light, theme)

    def _shine(self, where: Pixels, light: Reals, theme: Theme) -> None:
        scaled = (GLOW_GRAIN * light.shape[1], GLOW_GRAIN * light.shape[0])
        if not theme.shines:
            share = cv2.resize(light, scaled)[: where.shape[0], : where.shape[1], None]
            where[:] = where + (np.array(theme.glow) - where) * share
            return
        colour = np.array([*theme.glow, 255.0][: where.shape[2]])
        small = np.clip(light * colour, 0, 255).astype(np.uint8)
        cv2.add(where, cv2.resize(small, scaled)[: where.shape[0], : where.shape[1]], dst=where)

    def text(self, text: str, x: float, y: float, size: float, rgb: Rgb, *, anchor: Literal["left", "middle"] = "left") -> None:
        mask = _written(text, round(size), self.pixels.shape[1])
        left, top = round(x - (mask.shape[1] / 2 if anchor == "middle" else 0)), round(y)
        where = self.pixels[max(0, top) : top + mask.shape[0], max(0, left) : left + mask.shape[1]]
        share = mask[: where.shape[0], : where.shape[1], None] / 255
        where[:] = np.rint(where + (np.array(self._colour(rgb)) - where) * share)

    def _colour(self, rgb: Rgb) -> tuple[float, ...]:
        return (*rgb, 255.0)[: self.pixels.shape[2]]

    def _colours(self, rgb: Reals) -> list[list[float]]:
        opaque = np.full((len(rgb), 1), 255.0)
        return np.concatenate([rgb, opaque], axis=1)[:, : self.pixels.shape[2]].tolist()


class Vector:
    """The same as SVG."""

    def __init__(self, width: int, height: int) -> None:
        self.size = (width, height)
        self.parts: list[str] = []
        self.offset: tuple[int, int] = (0, 0)

    def part(self, x: int, y: int, width: int, height: int) -> "Vector":  # noqa: ARG002 - nothing is cut off
        inner = Vector(*self.size)
        inner.parts, inner.offset = self.parts, (x, y)
        return inner

    def strokes(self, ends: Reals, rgb: Reals, widths: Reals) -> None:
        self.parts.append('<g stroke-linecap="round">')
        for (x1, y1, x2, y2), colour, width in zip((ends + self.offset).reshape(-1, 4), rgb, widths, strict=True):
            place = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
            self.parts.append(f'<line {place} stroke="{_hex(colour)}" stroke-width="{width:.2f}"/>')
        self.parts.append("</g>")

    def line(self, points: Reals, rgb: Rgb, width: float) -> None:
        places = " ".join(f"{x:.1f},{y:.1f}" for x, y in points + self.offset)
        style = f'fill="none" stroke="{_hex(rgb)}" stroke-width="{width:.2f}" stroke-linejoin="round"'
        self.parts.append(f'<polyline points="{places}" {style}/>')

    def disc(self, centre: Reals, radius: float, rgb: Rgb) -> None:
        x, y = centre + self.offset
        self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.2f}" fill="{_hex(rgb)}"/>')

    def glow(self, tail: Reals, lives: Reals, theme: Theme, radius: float) -> None:  # noqa: ARG002 - a tail's glow would need blurring
        x, y = tail[-1] + self.offset
        stops = ((0, 0.9), (0.2, 0.6), (0.45, 0.24), (1, 0))
        shown = "".join(f'<stop offset="{at}" stop-color="{_hex(theme.glow)}" stop-opacity="{share}"/>' for at, share in stops)
        name = f"glow{len(self.parts)}"
        self.parts.append(f'<radialGradient id="{name}">{shown}</radialGradient>')
        self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="url(#{name})"/>')

    def text(self, text: str, x: float, y: float, size: float, rgb: Rgb, *, anchor: Literal["left", "middle"] = "left") -> None:
        (x, y), said = (x + self.offset[0], y + self.offset[1]), "start" if anchor == "left" else "middle"
        style = f'font-family="DejaVu Sans, sans-serif" font-size="{size:.1f}" text-anchor="{said}" fill="{_hex(rgb)}"'
        self.parts.append(f'<text x="{x:.1f}" y="{y + 0.93 * size:.1f}" {style}>{escape(_clean(text))}</text>')

    def picture(self, ground: Rgb | None) -> str:
        width, height = self.size
        behind = "" if ground is None else f'<rect width="{width}" height="{height}" fill="{_hex(ground)}"/>'
        about = f'xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
        return f"<svg {about}>{behind}{chr(10).join(self.parts)}</svg>\n"


def _sixteenths(points: Reals) -> NDArray[np.int32]:
    """Places as OpenCV counts them, from the middle of the first pixel."""
    return np.rint((points - 0.5) * 16).astype(np.int32)


def _hex(rgb: Any) -> str:
    return "#" + "".join(f"{round(float(value)):02x}" for value in rgb)


def rgb_of(colour: str) -> Rgb:
    """`#rrggbb` in numbers."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return red, green, blue


LONGEST_TEXT = 200


def _clean(text: str) -> str:
    """One line that every font and file takes: no halves of characters, no control characters."""
    whole = text[:LONGEST_TEXT].encode("utf-8", "replace").decode()
    return "".join(letter if letter.isprintable() or letter == "\u200d" else " " for letter in whole).strip()


@functools.lru_cache(maxsize=64)
def _written(text: str, size: int, width: int) -> Pixels:
    """A line of text as light, (height, width); it is cut where the picture ends."""
    font, text = _font(size), _clean(text)
    length, room = font.getlength(text), width - 2 * size
    if length > room:
        while text and font.getlength(text + "…") > room:
            text = text[:-1]
        text += "…"
        length = font.getlength(text)
    picture = Image.new("L", (math.ceil(length) + 4, math.ceil(1.4 * size)))
    ImageDraw.Draw(picture).text((2, 0), text, font=font, fill=255)
    return np.asarray(picture)


@functools.lru_cache(maxsize=16)
def _font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib and has digits of one width."""
    found = importlib.util.find_spec("matplotlib")
    folder = Path((found and found.origin) or "").parent
    return ImageFont.truetype(str(folder / "mpl-data/fonts/ttf/DejaVuSans.ttf"), size)
