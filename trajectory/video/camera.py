"""Plotly's perspective, its box and its camera: where a place of a scene is on a picture, and where the camera goes in a film.

Places are a scene's points seen from the middle of its box, the longest side from -1 to 1.
"""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trajectory.errors import TrajectoryError
from trajectory.records import Floats

Reals = NDArray[np.floating[Any]]
Camera = Mapping[str, Mapping[str, float]]  # eye, center and up, each with x, y and z, as Plotly has it


class VideoError(TrajectoryError):
    """A film that cannot be made as asked."""


FIELD_OF_VIEW = math.pi / 4
NEAR, FAR = 0.01, 1000.0
SCALE = 0.4  # from a scene's places to Plotly's cube with sides of 1, whose axes reach to 1.25
HOME = (0.95, -1.25, 0.85)  # from where a scene is seen at first
BOX_MARGIN = 1.05
CORNERS = np.array([[i & 1, i >> 1 & 1, i >> 2 & 1] for i in range(8)]) * 2.0 - 1
EDGES = [(i, i | bit) for i in range(8) for bit in (1, 2, 4) if not i & bit]


def project(places: Floats | Reals, camera: Camera, width: float, height: float) -> Reals:
    """Places of a scene on a picture: (n, 3) -> (n, 3) as x and y in pixels from the upper left corner, and depth away from the eye."""
    return on_picture(places, camera_matrix(camera, width / height), width, height)


def on_picture(places: Floats | Reals, matrix: Reals, width: float, height: float) -> Reals:
    """The same for a camera that was worked out before."""
    x, y, _, w = matrix[:, :3] @ (np.asarray(places, np.float64).T * SCALE) + matrix[:, 3:]
    w = np.where(np.abs(w) < 1e-9, 1e-9, w)
    return np.stack([(0.5 + 0.5 * x / w) * width, (0.5 - 0.5 * y / w) * height, w], axis=1)


def camera_matrix(camera: Camera, aspect: float) -> Reals:
    """What the camera sees of a cube with sides of 1, (4, 4)."""
    eye, centre, up = (_vector(camera[name]) for name in ("eye", "center", "up"))
    back = _unit(eye - centre)
    right = _unit(np.cross(up, back))
    axes = np.stack([right, np.cross(back, right), back])
    view = np.vstack([np.column_stack([axes, -axes @ eye]), [0, 0, 0, 1]])
    f, depth = 1 / math.tan(FIELD_OF_VIEW / 2), 1 / (NEAR - FAR)
    lens = np.array([[f / aspect, 0, 0, 0], [0, f, 0, 0], [0, 0, (FAR + NEAR) * depth, 2 * FAR * NEAR * depth], [0, 0, -1, 0]])
    return np.asarray(lens @ view)


def home(corners: Reals, aspect: float, *, share: float = 0.97, around: bool = False) -> Camera:
    """The nearest camera toward HOME that sees all corners (n, 3) within `share` of the picture; `around`, however it is turned."""
    angles = np.linspace(0, 2 * math.pi, 24, endpoint=False) if around else np.zeros(1)
    turned_corners = np.concatenate([_rotated(corners, angle) for angle in angles])
    low, high = 0.05, 20.0
    for _ in range(30):
        middle = (low + high) / 2
        x, y, w = project(turned_corners, _camera(np.array(HOME) / np.linalg.norm(HOME) * middle), 2, 2 / aspect).T
        fits = (w > NEAR).all() and (np.abs(x - 1) <= share).all() and (np.abs(y * aspect - 1) <= share).all()
        low, high = (low, middle) if fits else (middle, high)
    return _camera(np.array(HOME) / np.linalg.norm(HOME) * high)


def turned(camera: Camera, angle: float) -> Camera:
    """The camera turned about the upright axis through its centre."""
    eye, centre, up = (_vector(camera[name]) for name in ("eye", "center", "up"))
    return _camera(centre + _rotated((eye - centre)[None], angle)[0], centre, up)


def between(one: Camera, other: Camera, share: float) -> Camera:
    """A camera on its way from one to another, round the centre and not through it."""
    share = 4 * share**3 if share < 0.5 else 1 - (2 - 2 * share) ** 3 / 2
    centre, up = (mixed(_vector(one[name]), _vector(other[name]), share) for name in ("center", "up"))
    first, second = (_round(_vector(camera["eye"]) - _vector(camera["center"])) for camera in (one, other))
    second[1] = first[1] + (second[1] - first[1] + math.pi) % (2 * math.pi) - math.pi  # the short way round
    length, flat, height = mixed(first, second, share)
    toward = np.array([math.cos(height) * math.cos(flat), math.cos(height) * math.sin(flat), math.sin(height)])
    return _camera(centre + length * toward, centre, up)


def _round(offset: Reals) -> Reals:
    """Length, direction on the ground and height of an offset."""
    length = float(np.linalg.norm(offset))
    return np.array([length, math.atan2(offset[1], offset[0]), math.asin(offset[2] / length)])


def _rotated(places: Reals, angle: float) -> Reals:
    c, s = math.cos(angle), math.sin(angle)
    return np.asarray(places @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]))


def _camera(eye: Reals, centre: Reals | None = None, up: Reals | None = None) -> Camera:
    vectors = {"eye": eye, "center": np.zeros(3) if centre is None else centre, "up": np.array([0.0, 0.0, 1.0]) if up is None else up}
    return {name: dict(zip("xyz", (float(value) for value in vector), strict=True)) for name, vector in vectors.items()}


def _vector(parts: Mapping[str, float]) -> Reals:
    return np.array([float(parts[axis]) for axis in "xyz"])


def _unit(vector: Reals) -> Reals:
    return vector / (np.linalg.norm(vector) or 1.0)


def mixed(one: Any, other: Any, share: Any) -> Any:
    """A share of the way from one to another."""
    return one + (other - one) * share


# --- Where the camera goes in a film


@dataclass(frozen=True, kw_only=True)
class Turn:
    """The camera goes slowly round; from `start`, or from the nearest place that sees the whole box all the way round."""

    seconds: float = 48.0  # for once round
    start: Camera | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.seconds) and abs(self.seconds) >= 1):
            raise VideoError(f"a turn in {self.seconds} s is too fast to look at; give at least 1 s")
        if self.start is not None:
            _check_camera(self.start)


@dataclass(frozen=True)
class Held:
    """The camera stays where it is."""

    camera: Camera

    def __post_init__(self) -> None:
        _check_camera(self.camera)


@dataclass(frozen=True)
class Keys:
    """The camera is at these places at these times, and goes gently from one to the next."""

    keys: tuple[tuple[float, Camera], ...]

    def __post_init__(self) -> None:
        times = [time for time, _ in self.keys]
        if not times or not all(math.isfinite(time) for time in times) or any(b <= a for a, b in itertools.pairwise(times)):
            raise VideoError(f"key views at {times} s do not make a path; give one or more, at rising times")
        for _, camera in self.keys:
            _check_camera(camera)


def _check_camera(camera: Camera) -> None:
    try:
        eye, centre, up = (_vector(camera[name]) for name in ("eye", "center", "up"))
    except (KeyError, TypeError, ValueError) as error:
        raise VideoError(f"{camera!r} is no camera; eye, center and up are needed, each with x, y and z") from error
    if not (np.isfinite([eye, centre, up]).all() and np.linalg.norm(np.cross(up, eye - centre)) > 1e-9):
        raise VideoError("the camera looks from where it looks to, or straight along its upright; move its eye")
