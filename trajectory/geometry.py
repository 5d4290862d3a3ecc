"""Measures of a path and of two: length, speed, curvature, axes, alignment, and where it meets itself. Nothing here draws or trains."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import pdist, squareform

from trajectory.errors import TrajectoryError
from trajectory.records import Trajectory

Reals = NDArray[np.float64]

PLOTTED_MOMENTS = 320  # along each side of a recurrence plot on a screen


class GeometryError(TrajectoryError):
    """Trajectories that cannot be compared."""


# --- The path itself


def path_length(points: ArrayLike) -> float:
    """The sum of all steps, in the units of the space."""
    return float(np.linalg.norm(np.diff(reals(points), axis=0), axis=1).sum())


def mean_turn_cosine(points: ArrayLike) -> float | None:
    """mean_i cos(v_i, v_i+1) over consecutive steps that both move, else None: a path that rests has no direction."""
    steps = np.diff(reals(points), axis=0)
    lengths = np.linalg.norm(steps, axis=1)
    products = lengths[1:] * lengths[:-1]
    moving = products > 0
    if not moving.any():
        return None
    return float(((steps[1:] * steps[:-1]).sum(axis=1)[moving] / products[moving]).mean())


def speed(trajectory: Trajectory) -> Reals:
    """How fast the path moves at each point, in units of its space a second: half the way to the next plus half from the last."""
    lengths = np.linalg.norm(np.diff(reals(trajectory.points), axis=0), axis=1) / np.diff(trajectory.times)
    return (np.append(lengths, lengths[-1]) + np.insert(lengths, 0, lengths[0])) / 2


def curvature(trajectory: Trajectory) -> Reals:
    """How sharply the path turns at each point, in radians: 0 straight on, pi back; the ends and rests count as straight."""
    steps = np.diff(reals(trajectory.points), axis=0)
    products = np.linalg.norm(steps[1:], axis=1) * np.linalg.norm(steps[:-1], axis=1)
    cosines = np.divide((steps[1:] * steps[:-1]).sum(axis=1), products, out=np.ones(len(products)), where=products > 0)
    return np.pad(np.arccos(np.clip(cosines, -1, 1)), 1)


def radius(points: ArrayLike) -> float:
    """The root mean square distance from the path's centre."""
    values = reals(points)
    return float(np.sqrt(((values - values.mean(axis=0)) ** 2).sum(axis=1).mean()))


def principal_axes(points: ArrayLike) -> tuple[Reals, Reals]:
    """The centre (dims,) and the turn (dims, up to 3) that bring points onto their widest axes, never mirrored or stretched."""
    centre = reals(points).mean(axis=0)
    centred = reals(points) - centre
    _, axes = np.linalg.eigh(centred.T @ centred)
    axes = axes[:, ::-1]
    axes = axes * np.where(((centred @ axes) ** 3).sum(axis=0) < 0, -1.0, 1.0)  # the longer tail points upwards
    axes[:, -1] *= np.sign(np.linalg.det(axes))
    return centre, axes[:, :3]


def principal_coordinates(points: ArrayLike) -> Reals:
    """The points centred and turned onto their widest axes; the first three of more."""
    centre, axes = principal_axes(points)
    return np.asarray((reals(points) - centre) @ axes)


# --- Two paths


@dataclass(frozen=True, kw_only=True, eq=False)
class Alignment:
    """A trajectory laid over another, and how much of the other it leaves unexplained (0: the same shape, 1: nothing alike)."""

    trajectory: Trajectory
    disparity: float


def align(trajectory: Trajectory, reference: Trajectory) -> Alignment:
    """Procrustes: the rotation or reflection, shift and one scale that bring it nearest to the reference at the same times."""
    start, stop = max(trajectory.times[0], reference.times[0]), min(trajectory.times[-1], reference.times[-1])
    shared = reference.times[(reference.times >= start) & (reference.times <= stop)]
    if len(shared) < 2:
        raise GeometryError(f"the two trajectories share {len(shared)} moments of the song; align two that show the same section")
    dims = max(trajectory.dims, reference.dims)
    moving, fixed = (_at_times(path, shared, dims) for path in (trajectory, reference))
    centre, target = moving.mean(axis=0), fixed.mean(axis=0)
    moving, fixed = moving - centre, fixed - target
    if not (moving.any() and fixed.any()):
        raise GeometryError("a trajectory that stays at one point has no shape to align; train it again")
    left, strengths, right = np.linalg.svd(moving.T @ fixed)
    scale = strengths.sum() / (moving**2).sum()
    points = scale * (_padded(trajectory.points, dims) - centre) @ left @ right + target
    disparity = 1 - strengths.sum() ** 2 / ((moving**2).sum() * (fixed**2).sum())
    return Alignment(
        trajectory=Trajectory(points=points.astype(np.float32), times=trajectory.times), disparity=float(np.clip(disparity, 0, 1))
    )


def turned_onto(points: ArrayLike, reference: ArrayLike) -> Reals:
    """The rotation or reflection about the origin, without a shift or scale, that brings points nearest to others like them."""
    left, _, right = np.linalg.svd(reals(points).T @ reals(reference))
    return np.asarray(reals(points) @ left @ right)


def _at_times(trajectory: Trajectory, times: Reals, dims: int) -> Reals:
    points = _padded(trajectory.points, dims)
    return np.stack([np.interp(times, trajectory.times, axis) for axis in points.T], axis=1)


def _padded(points: ArrayLike, dims: int) -> Reals:
    values = reals(points)
    return np.pad(values, ((0, 0), (0, dims - values.shape[1])))


# --- Recurrence


@dataclass(frozen=True, kw_only=True, eq=False)
class Recurrence:
    """How far apart the path is at any two moments."""

    distances: Reals  # (moments, moments)
    times: Reals  # (moments,) seconds of the song

    def graded(self, *, bandwidth: float = 0.25) -> Reals:
        """1 where the path meets itself, falling off as a bell over a share of the typical distance."""
        typical = float(np.sqrt((self.distances**2).mean())) or 1.0
        return np.exp(-0.5 * (self.distances / (bandwidth * typical)) ** 2)

    def levels(self) -> NDArray[np.uint8]:
        """The same as a grey picture."""
        return np.round(255 * self.graded()).astype(np.uint8)

    def thresholded(self, *, share: float = 0.1) -> NDArray[np.bool_]:
        """The nearest pairs of moments: this share of all."""
        return self.distances <= np.quantile(self.distances, share)


def recurrence(trajectory: Trajectory, *, most: int = 1_500) -> Recurrence:
    """Between at most so many evenly spread points, so that memory stays bounded."""
    stride = stride_for(len(trajectory.points), most)
    return Recurrence(distances=squareform(pdist(reals(trajectory.points[::stride]))), times=trajectory.times[::stride])


# --- Small blocks


def reals(points: ArrayLike) -> Reals:
    """As numbers precise enough to add many of them up."""
    return np.asarray(points, dtype=np.float64)


def stride_for(count: int, most: int) -> int:
    """Every which one to take, so that at most so many are taken."""
    return -(-count // most)
