"""Paths with known shapes."""

import numpy as np
from numpy.typing import NDArray

from trajectory.records import Trajectory

Reals = NDArray[np.float64]

STEP = 1024 / 44_100  # seconds between two points, as a model's own


def trajectory(points: Reals, step: float = STEP, start: float = 0.0) -> Trajectory:
    return Trajectory(points=points.astype(np.float32), times=np.asarray(start + np.arange(len(points)) * step, dtype=np.float64))


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def noise(count: int, size: float, seed: int = 0, dims: int = 3) -> Reals:
    return random(seed).normal(0, size, (count, dims))


def ring(count: int, period: float, *, centre: tuple[float, float, float] = (0, 0, 0), size: float = 1.0) -> Reals:
    angle = 2 * np.pi * np.arange(count) * STEP / period
    return np.array(centre) + size * np.stack([np.cos(angle), np.sin(angle), 0.3 * np.sin(2 * angle)], axis=1)


def turned(points: Reals, seed: int = 0) -> Reals:
    rotation, _ = np.linalg.qr(random(seed).normal(size=(points.shape[1],) * 2))
    return np.asarray(points @ rotation)
