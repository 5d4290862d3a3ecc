"""What a song's own trajectory says of its rhythm, as one vector: after which times the path comes back to where it was.

Two curves over the lag say it: how near the path comes, which tells loop from loop, and how many of each moment's nearest
others lie that far off, which does not depend on how much room a model gave to what matters little.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.signal.windows import tukey
from scipy.spatial.distance import pdist, squareform

from trajectory.encoders import EncoderError
from trajectory.geometry import principal_coordinates
from trajectory.records import Floats, Trajectory
from trajectory.structure import recurrence_by_lag

Reals = NDArray[np.float64]

CODE = 1  # counts changes of what the numbers mean
SHORTEST_LAG, LONGEST_LAG = 0.25, 12.0  # seconds, from a quick note to a few slow bars
BINS = 256  # of the logarithmic lag axis
BLUR = 0.03  # of a lag, to either side: repeats that lie closer together than a bin are averaged
SCALES = 64  # kept of the Fourier transform along that axis: finer ones tell one training from another
TAPER = 0.3  # of the axis
STRETCH = 40.0  # seconds that are compared with each other at once; a longer song is the mean of its stretches
STEP = 0.045  # seconds between the points that are compared
NEAREST = 0.02  # the share of a stretch that counts as near
PARTNERED = 0.4  # of a stretch: longer lags rest on too few pairs
SHORTEST_PATH = 5.0  # seconds


def profile(trajectory: Trajectory, *, tempo_free: bool = False) -> Floats:
    """A vector of unit length: both curves by lag (2 BINS,), or whatever the tempo (2 SCALES,).

    A change of tempo stretches the lags, which on a logarithmic axis is a shift, and the magnitudes of a Fourier transform know
    no shifts: R(c) = |sum over u = log l of r(l) sqrt(l) exp(-2 pi i c u)|, the scale transform of a curve r.
    """
    if np.ptp(trajectory.times) < SHORTEST_PATH:
        raise EncoderError(f"a path of {np.ptp(trajectory.times):.2g} s is too short to tell its rhythm; {SHORTEST_PATH:g} s are needed")
    points, seconds = _thinned(trajectory)
    stretches = np.array_split(points, max(1, round(len(points) * seconds / STRETCH)))
    curves = np.mean([[_on_axis(curve, seconds) for curve in _curves(stretch, seconds)] for stretch in stretches], axis=0)
    if tempo_free:
        curves = np.abs(np.fft.rfft(curves, 2 * BINS))[:, 1 : SCALES + 1]
    alike = curves / np.maximum(np.linalg.norm(curves, axis=1, keepdims=True), 1e-12)
    return np.asarray(alike.ravel() / np.sqrt(len(alike)), dtype=np.float32)


def _thinned(trajectory: Trajectory) -> tuple[Reals, float]:
    """Points far enough apart, and the seconds between them; the widest axes at equal weight, nearly empty ones small."""
    every = max(1, round(STEP / trajectory.step_seconds))
    axes = principal_coordinates(trajectory.points)[::every]
    spreads = axes.std(axis=0)
    return np.asarray(axes / np.maximum(np.hypot(spreads, 0.1 * spreads[0]), 1e-12)), every * trajectory.step_seconds


def _curves(points: Reals, seconds: float) -> tuple[Reals, Reals]:
    return recurrence_by_lag(points), _returns(points, apart=round(SHORTEST_LAG / seconds))


def _returns(points: Reals, *, apart: int) -> Reals:
    """How many of each moment's nearest lie so many points off, over chance; those less than `apart` are the path itself."""
    count = len(points)
    here = np.arange(count)[:, None]
    distances = squareform(pdist(points))
    distances[np.abs(here - here.T) < apart] = np.inf
    near = max(1, round(NEAREST * count))
    nearest = np.argpartition(distances, near, axis=1)[:, :near]
    lags = int(PARTNERED * count)
    found = np.bincount(np.abs(nearest - here).ravel(), minlength=lags)[:lags]
    return np.asarray(found / (2 * (count - np.arange(lags))) / (near / count))


def _on_axis(curve: Reals, seconds: float) -> Reals:
    """The curve's mean around each lag of the axis times the lag's root, faded out towards the ends of what it tells."""
    lags = np.geomspace(SHORTEST_LAG, LONGEST_LAG, BINS)
    lags = lags[lags * (1 + BLUR) <= (len(curve) - 1) * seconds]
    reach = np.maximum(BLUR * lags / seconds, 0.5)
    sums, edges = np.append(0, curve.cumsum()), np.arange(len(curve) + 1) - 0.5
    before, after = (np.interp(lags / seconds + side * reach, edges, sums) for side in (-1, 1))
    told = (after - before) / (2 * reach) * np.sqrt(lags) * tukey(len(lags), TAPER)
    return np.pad(told, (0, BINS - len(told)))
