"""What a vector must be before it is compared, and what unit length means."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trajectory.errors import TrajectoryError
from trajectory.records import Floats

Rows = NDArray[np.int64]

LARGEST = 1e15  # of a value: a sum of such squares still fits a float32
LONGEST_ID = 200  # letters
MOST_DIMS = 8_192
BLOCK = 8_192  # vectors that are worked on at a time, so that a million need no second copy


class SimilarityError(TrajectoryError):
    """Vectors, or a file of them, that cannot be compared."""


def checked(vectors: ArrayLike, *, what: str = "vectors", dims: int | None = None) -> Floats:
    """The vectors as (n, dims) float32, or the sentence that says what is wrong with them."""
    try:
        raw = np.asarray(vectors)
    except ValueError as error:  # rows of different lengths
        raise SimilarityError(f"{what} must all have one length; theirs differ") from error
    if raw.dtype.kind not in "fiu":
        raise SimilarityError(f"{what} must be numbers, not {raw.dtype}")
    if raw.ndim != 2 or not 1 <= raw.shape[1] <= MOST_DIMS:
        raise SimilarityError(f"{what} of shape {raw.shape} cannot be compared; they need (n, dims) with 1 to {MOST_DIMS} dims")
    if dims is not None and raw.shape[1] != dims:
        raise SimilarityError(f"{what} of {raw.shape[1]} dimensions do not fit those of {dims}; use one encoder for both")
    if raw.size and not (float(raw.max()) <= LARGEST and float(raw.min()) >= -LARGEST):  # true of what is not a number, too
        raise SimilarityError(f"{what} hold values that are not numbers, or beyond {LARGEST:g}; make them again")
    return np.ascontiguousarray(raw, dtype=np.float32)


def checked_ids(ids: Sequence[str], count: int) -> tuple[str, ...]:
    """One id a vector, each its own."""
    names = tuple(ids)
    if len(names) != count:
        raise SimilarityError(f"{len(names)} names for {count} vectors do not match; each vector needs one")
    seen: set[str] = set()
    for name in names:
        if not isinstance(name, str) or not 0 < len(name) <= LONGEST_ID:
            raise SimilarityError(f"{name!r:.40} cannot name a vector; use 1 to {LONGEST_ID} letters")
        if name in seen:
            raise SimilarityError(f"{name!r:.60} names two vectors; give each its own name")
        seen.add(name)
    return names


def unit(vectors: Floats) -> Floats:
    """Each at length 1, so that a product is a cosine; silence, which may be all 0, stays 0 and is like nothing."""
    scaled = np.empty_like(vectors)
    for start in range(0, len(vectors), BLOCK):
        block = vectors[start : start + BLOCK].astype(np.float64)
        lengths = np.linalg.norm(block, axis=1, keepdims=True)
        scaled[start : start + BLOCK] = np.divide(block, lengths, out=np.zeros_like(block), where=lengths > 0)
    return scaled


def sample(total: int, most: int) -> Rows:
    """All rows where they are few, else so many of them by chance, the same ones each time, in order."""
    return np.arange(total) if total <= most else np.sort(np.random.default_rng(0).choice(total, most, replace=False))
