"""The nearest vectors by comparing with every one of them: what is searched while there are few, and the truth for any shortcut."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

from trajectory.records import Floats
from trajectory.settings import Likeness

from .vectors import BLOCK, Rows

SLACK = 8  # more than wanted are measured, since a first look rounds
PRODUCTS = 16_000_000  # that are held in memory at a time


@dataclass(frozen=True, kw_only=True, eq=False)
class Middle:
    """What turns a distance into a product: argmin |q - v|^2 = argmax (q - m).v - |v - m|^2 / 2, for any m.

    With the mean as m little is lost to rounding. For the cosine both are 0.
    """

    point: Floats  # (dims,)
    half: Floats  # (vectors,)

    @classmethod
    def of(cls, vectors: Floats, likeness: Likeness) -> Self:
        point, half = np.zeros(vectors.shape[1], np.float32), np.zeros(len(vectors), np.float32)
        if likeness == "euclidean" and len(vectors):
            point = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
            for start in range(0, len(vectors), BLOCK):
                half[start : start + BLOCK] = ((vectors[start : start + BLOCK] - point) ** 2).sum(axis=1) / 2
        return cls(point=point, half=half)


def shortlists(queries: Floats, vectors: Floats, middle: Middle, count: int) -> Iterator[Rows]:
    """For each query the rows of so many vectors that are nearest at a first look, in no order."""
    block = max(1, PRODUCTS // len(vectors))
    for start in range(0, len(queries), block):
        products = (queries[start : start + block] - middle.point) @ vectors.T
        products -= middle.half
        yield from np.argpartition(products, len(vectors) - count, axis=1)[:, len(vectors) - count :]


def best(query: Floats, vectors: Floats, rows: Rows, likeness: Likeness) -> tuple[Floats, Rows]:
    """Measures a shortlist without any shortcut: scores and rows, the best first and of equals the lower row."""
    rows = np.sort(rows)
    near, exact = vectors[rows].astype(np.float64), query.astype(np.float64)
    scores = np.clip(near @ exact, -1, 1) if likeness == "cosine" else np.linalg.norm(near - exact, axis=1)
    order = np.argsort(-scores if likeness == "cosine" else scores, kind="stable")
    return scores[order].astype(np.float32), rows[order]
