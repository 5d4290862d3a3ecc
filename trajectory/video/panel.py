"""One shot in its part of a picture: the box, the path at rest and played, what lies over it, the comet."""

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trajectory.records import Floats

from .camera import BOX_MARGIN, CORNERS, EDGES, NEAR, Camera, Reals, camera_matrix, mixed, on_picture
from .canvas import Canvas, Rgb, Theme, rgb_of
from .shots import Overlay, Shot

TAIL_SECONDS, TAIL_POINTS = 0.9, 44
REACH = 0.45  # of depth, before and behind the middle: from there on a line is as thick or as thin as it gets
WIDTHS = (1.1, 2.5)  # of a path far and near, in thousandths of a picture's shorter side
DIMMED = 0.55  # how much of the ground a far line takes on
MOST_POINTS = 4000  # that are drawn of a path, and
RECENT_POINTS = 600  # more before the comet, which rides them all
FAINT = {"forecast": 0.42, "truth": 0.34, "member": 0.26}  # of a line's colour before its time has come
THICK = {"forecast": 2.2, "truth": 2.6, "member": 1.0}  # all in thousandths of the shorter side
DASH, GAP = 7.0, 4.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Box:
    """The middle and the size of what a panel shows."""

    centre: Reals
    half: float
    corners: Reals  # (8, 3) as places

    @classmethod
    def of(cls, shot: Shot) -> "Box":
        every = np.concatenate([shot.points, *(one.points for one in shot.overlays if one.kind != "member")]).astype(np.float64)
        low, high = every.min(axis=0), every.max(axis=0)
        half = float((high - low).max()) / 2 or 1.0
        sides = np.maximum((high - low) / 2 / half * BOX_MARGIN, 0.02)
        return cls(centre=(low + high) / 2, half=half, corners=CORNERS * sides)

    def places(self, points: Floats) -> Reals:
        """As seen from the middle, the longest side from -1 to 1."""
        return (np.asarray(points, np.float64) - self.centre) / self.half


@dataclass(frozen=True, kw_only=True)
class Moment:
    """What of a panel is drawn."""

    time: float  # seconds of the song
    camera: Camera
    bright: bool = False  # all of the path, as if it were played, and no comet
    share: float | None = None  # of the way through the snapshots


class Panel:
    """One shot in its part of the picture."""

    def __init__(self, shot: Shot, rectangle: tuple[int, int, int, int], theme: Theme) -> None:
        self.shot, self.rectangle, self.theme = shot, rectangle, theme
        self.width, self.height = rectangle[2:]
        self.unit = min(self.width, self.height) / 1000
        self.box = Box.of(shot)
        self.path = self.box.places(shot.points)
        self.kept = simplify(self.path, MOST_POINTS)
        self.rgb = 255 * np.asarray(shot.rgb, np.float64) * theme.shade

    def seen(self, places: Reals) -> Reals:
        return on_picture(places, self.matrix, self.width, self.height)

    def draw(self, canvas: Canvas, moment: Moment) -> None:
        self.matrix = camera_matrix(moment.camera, self.width / self.height)
        self._draw_box(canvas)
        if moment.share is not None and self.shot.snapshots is not None:
            shape = self.box.places(shape_at(self.shot.snapshots, moment.share))
            return self._draw_path(canvas, self.seen(shape), self.kept)
        at = len(self.path) - 1.0 if moment.bright else float(np.interp(moment.time, self.shot.times, np.arange(len(self.path))))
        seen = self.seen(self.path)
        head = self.seen(_at(self.path, at)[None])
        recent = np.arange(max(0, math.floor(at) - RECENT_POINTS), math.floor(at) + 1)
        self._draw_rest(canvas, np.concatenate([head, seen[self.kept[self.kept > at]]]))
        self._draw_path(canvas, seen, np.concatenate([self.kept[self.kept < recent[0]], recent]), head)
        for overlay in self.shot.overlays:
            self._draw_overlay(canvas, overlay, moment)
        if not moment.bright:
            self._draw_comet(canvas, seen, at, head[0], moment.time)
        return None

    def _draw_box(self, canvas: Canvas) -> None:
        corners = self.seen(self.box.corners)
        for edge in EDGES:
            for part in _before_the_eye(corners[list(edge)]):
                canvas.line(part, self.theme.box, 1.1 * self.unit)

    def _draw_rest(self, canvas: Canvas, seen: Reals) -> None:
        for part in _before_the_eye(seen):
            canvas.line(part, self.theme.rest, 1.1 * self.unit)

    def _draw_path(self, canvas: Canvas, seen: Reals, order: NDArray[np.int64], head: Reals | None = None) -> None:
        """Bright lines, the far ones first, thin and dim."""
        places, rgb = seen[order], self.rgb[order]
        if head is not None:
            places, rgb = np.concatenate([places, head]), np.concatenate([rgb, rgb[-1:]])
        depth = (places[1:, 2] + places[:-1, 2]) / 2
        ends = np.stack([places[:-1, :2], places[1:, :2]], axis=1)
        near = self._nearness(depth)
        far_first = np.argsort(-depth, kind="stable")
        drawable = far_first[_drawable(places)[far_first]]
        colours = mixed(rgb[:-1], np.array(self.theme.ground), (DIMMED * (1 - near))[:, None])
        canvas.strokes(ends[drawable], colours[drawable], mixed(*WIDTHS, near[drawable]) * self.unit)

    def _draw_overlay(self, canvas: Canvas, overlay: Overlay, moment: Moment) -> None:
        places = self.box.places(overlay.points)
        colour = self.theme.ink if overlay.kind == "truth" else self._shaded(rgb_of(overlay.colour))
        red, green, blue = mixed(np.array(self.theme.ground), np.array(colour), FAINT[overlay.kind])
        width = THICK[overlay.kind] * self.unit
        for part in _before_the_eye(self.seen(places)):
            canvas.line(part, (red, green, blue), min(width, 1.6 * self.unit))
        if overlay.kind == "member" or moment.bright or moment.time < overlay.times[0]:
            return
        tip = float(np.interp(moment.time, overlay.times, np.arange(len(places))))
        come = self.seen(np.concatenate([places[: math.floor(tip) + 1], _at(places, tip)[None]]))
        for part in _before_the_eye(come):
            for dash in _dashes(part, DASH * self.unit, GAP * self.unit) if overlay.kind == "forecast" else [part]:
                canvas.line(dash, colour, width)
        canvas.disc(come[-1, :2], 4 * self.unit, colour)

    def _nearness(self, depth: Any) -> Any:
        """1 for what is near, 0 for what is far, around the middle of the box."""
        return np.clip((self.matrix[3, 3] + REACH - depth) / (2 * REACH), 0, 1)

    def _shaded(self, rgb: Rgb) -> Rgb:
        red, green, blue = (value * self.theme.shade for value in rgb)
        return red, green, blue

    def _draw_comet(self, canvas: Canvas, seen: Reals, at: float, head: Reals, time: float) -> None:
        times = self.shot.times
        first = math.ceil(float(np.interp(time - TAIL_SECONDS, times, np.arange(len(times)))))
        step = max(1, math.ceil((at - first) / TAIL_POINTS))
        order = np.arange(math.ceil(first / step) * step, math.floor(at) + 1, step)  # the same points in each frame, so that none jumps
        lives = np.append(np.clip(1 - (time - times[order]) / TAIL_SECONDS, 0, 1), 1.0)
        tail = np.concatenate([seen[order], head[None]])
        if not _drawable(tail).all() or tail[-1, 2] <= NEAR:
            return
        size = (0.8 + 0.4 * float(self._nearness(head[2]))) * self.unit
        canvas.glow(tail[:, :2], lives, self.theme, 40 * size)
        ends = np.stack([tail[:-1, :2], tail[1:, :2]], axis=1)
        colours = mixed(self.rgb[order], np.array(self.theme.tail), lives[1:, None])
        canvas.strokes(ends, colours, (1.4 + 3.2 * lives[1:] ** 1.5) * self.unit)
        canvas.disc(head[:2], 6.4 * size, self.theme.core)


def simplify(places: Reals, most: int) -> NDArray[np.int64]:
    """Which points keep a path's shape with at most so many: each time the one goes that lies nearest to the line without it."""
    rows = places.tolist()
    last = len(rows) - 1
    before, after = list(range(-1, last)), list(range(1, last + 2))
    off = [0.0, *(_off_line(rows[i], rows[i - 1], rows[i + 1]) for i in range(1, last)), 0.0]
    waiting = [(distance, i) for i, distance in enumerate(off) if 0 < i < last]
    heapq.heapify(waiting)
    kept = np.ones(len(rows), dtype=bool)
    for _ in range(len(rows) - max(most, 2)):
        distance, i = heapq.heappop(waiting)
        while not kept[i] or distance != off[i]:  # it was measured anew since
            distance, i = heapq.heappop(waiting)
        kept[i] = False
        one, other = before[i], after[i]
        after[one], before[other] = other, one
        for k in (one, other):
            if 0 < k < last:
                off[k] = max(distance, _off_line(rows[k], rows[before[k]], rows[after[k]]))
                heapq.heappush(waiting, (off[k], k))
    return np.flatnonzero(kept)


def _off_line(place: list[float], one: list[float], other: list[float]) -> float:
    """How far a place lies from the line between two others; from the nearer of them, where it is not between."""
    along = [b - a for a, b in zip(one, other, strict=True)]
    reach = [b - a for a, b in zip(one, place, strict=True)]
    length = sum(value * value for value in along)
    share = min(1.0, max(0.0, sum(a * b for a, b in zip(along, reach, strict=True)) / length)) if length else 0.0
    return math.dist(reach, [share * value for value in along])


def shape_at(snapshots: Floats, share: float) -> Floats:
    """The shape at a share of the way through snapshots that follow each other evenly."""
    return np.asarray(_at(snapshots, min(max(share, 0.0), 1.0) * (len(snapshots) - 1)), np.float32)


def _at(rows: Any, place: float) -> Any:
    """What lies between two rows."""
    low = math.floor(place)
    return mixed(rows[low], rows[min(low + 1, len(rows) - 1)], place - low)


BEYOND = 20_000.0  # pixels: from there on OpenCV's sixteenths may run over


def _drawable(seen: Reals) -> NDArray[np.bool_]:
    """Which of the segments between points on the picture lie before the eye."""
    good = (seen[:, 2] > NEAR) & (np.abs(seen[:, :2]) < BEYOND).all(axis=1)
    return good[1:] & good[:-1]


def _before_the_eye(seen: Reals) -> Iterator[Reals]:
    """The parts of a line that lie before the eye, each (n, 2)."""
    good = (seen[:, 2] > NEAR) & (np.abs(seen[:, :2]) < BEYOND).all(axis=1)
    if good.all():
        yield seen[:, :2]
        return
    for part in np.split(np.arange(len(seen)), np.flatnonzero(np.diff(good)) + 1):
        if good[part[0]] and len(part) > 1:
            yield seen[part, :2]


def _dashes(line: Reals, dash: float, gap: float) -> Iterator[Reals]:
    """A line's pieces along its own length."""
    reached = np.append(0.0, np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1)))
    for start in np.arange(0, reached[-1], dash + gap):
        stop = min(start + dash, reached[-1])
        inside = reached[(reached > start) & (reached < stop)]
        yield np.stack([np.interp([start, *inside, stop], reached, line[:, axis]) for axis in (0, 1)], axis=1)
