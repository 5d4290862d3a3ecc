"""A large index cut into cells round centres (an inverted file): a query looks only into the cells nearest to it.

FAISS finds the centres and searches the cells; what is kept of them are plain arrays. HNSW, measured on the same 100,000 vectors
of 512, took three times as long to make, does not let vectors go, and stayed below the recall that more cells bring.
"""

import functools
import importlib
import logging
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from trajectory.records import Floats
from trajectory.settings import Likeness

from . import exact
from .vectors import BLOCK, Rows, SimilarityError, sample

LOG = logging.getLogger(__name__)
CELLS = 4.0  # times the square root of the vectors
TRAINED_ON = 40  # vectors a cell
ROUNDS = 10  # of k-means
RECALL = 0.98  # of the NEAREST, by which the number of probes is chosen: some are lost on queries from elsewhere
NEAREST = 10
QUERIES = 200  # vectors of the index itself, to choose by
LARGEST_CODE = 60_000.0  # float16 ends soon after


@dataclass(frozen=True, kw_only=True, eq=False)
class Cells:
    """Which vector is in which cell. Cells see vectors as `(vector - origin) * scale`, which float16 can hold."""

    centres: Floats  # (cells, dims), as cells see them
    cell_of: NDArray[np.int32]  # (vectors,)
    origin: Floats  # (dims,)
    scale: float
    probes: int  # cells that a query looks into
    cut_at: int  # vectors that the centres were found for

    def seen(self, vectors: Floats) -> Floats:
        return np.asarray(np.clip((vectors - self.origin) * np.float32(self.scale), -LARGEST_CODE, LARGEST_CODE))

    def with_more(self, vectors: Floats, likeness: Likeness) -> Self:
        return replace(self, cell_of=np.concatenate([self.cell_of, _nearest_cells(self, vectors, likeness)]))

    def only(self, kept: NDArray[np.bool_]) -> Self:
        return replace(self, cell_of=self.cell_of[kept])

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All of it, to be kept in a file."""
        numbers = np.array([self.scale, self.probes, self.cut_at], np.float64)
        return {"centres": self.centres, "cell_of": self.cell_of, "origin": self.origin, "numbers": numbers}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], vectors: Floats) -> Self:
        """Believes nothing that a file says: a wrong number here would lead a search out of its memory."""
        centres, cell_of, origin, numbers = (arrays[name] for name in ("centres", "cell_of", "origin", "numbers"))
        kinds = [array.dtype.name for array in (centres, cell_of, origin, numbers)] == ["float32", "int32", "float32", "float64"]
        shapes = centres.ndim == 2 and cell_of.shape == vectors.shape[:1] and origin.shape == centres.shape[1:] == vectors.shape[1:]
        if not (kinds and shapes and len(centres) and numbers.shape == (3,)):
            raise SimilarityError("its cells do not fit its vectors")
        sense = all(np.isfinite(array).all() for array in (centres, origin, numbers)) and numbers[0] > 0 and numbers[2] >= 1
        if not (sense and cell_of.min() >= 0 and cell_of.max() < len(centres) and 1 <= numbers[1] <= len(centres)):
            raise SimilarityError("its cells make no sense")
        scale, probes, cut_at = float(numbers[0]), int(numbers[1]), int(numbers[2])
        return cls(centres=centres, cell_of=cell_of, origin=origin, scale=scale, probes=probes, cut_at=cut_at)


def cut(vectors: Floats, likeness: Likeness) -> Cells | None:
    """Centres by k-means on a sample, every vector in the cell nearest to it, and as many probes as the recall asks for."""
    faiss = library()
    if faiss is None:
        return None
    count, dims = round(CELLS * math.sqrt(len(vectors))), vectors.shape[1]
    origin, scale = np.zeros(dims, np.float32), 1.0
    if likeness == "euclidean":
        origin = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
        reach = max(float((vectors.max(axis=0) - origin).max()), float((origin - vectors.min(axis=0)).max()))
        scale = 1 / max(reach, 1e-30)
    none = np.empty(0, np.int32)
    cells = Cells(centres=np.empty((0, dims), np.float32), cell_of=none, origin=origin, scale=scale, probes=count, cut_at=len(vectors))
    means = faiss.Kmeans(dims, count, niter=ROUNDS, seed=1, spherical=likeness == "cosine", min_points_per_centroid=1)
    means.train(cells.seen(vectors[sample(len(vectors), TRAINED_ON * count)]))
    cells = replace(cells, centres=np.asarray(means.centroids, np.float32)).with_more(vectors, likeness)
    return replace(cells, probes=_enough_probes(cells, vectors, likeness))


def library() -> Any | None:
    """FAISS, or None where it does not load: then every search is exact, which a large library feels."""
    try:
        return importlib.import_module("faiss")
    except ImportError as error:
        _say(str(error))
        return None


@functools.cache
def _say(reason: str) -> None:
    """Once, and not at every search."""
    LOG.warning("FAISS does not load, so that every search is exact: %s", reason)


def searcher(cells: Cells, vectors: Floats, likeness: Likeness) -> Any | None:
    """FAISS's own index over the cells, at two bytes a value."""
    faiss = library()
    if faiss is None:
        return None
    count, dims = cells.centres.shape
    metric = faiss.METRIC_INNER_PRODUCT if likeness == "cosine" else faiss.METRIC_L2
    coarse = faiss.IndexFlat(dims, metric)
    coarse.add(cells.centres)
    index = faiss.IndexIVFScalarQuantizer(coarse, dims, count, faiss.ScalarQuantizer.QT_fp16, metric, False)
    index.train(cells.centres)  # learns nothing, but is asked for
    by_cell = np.argsort(cells.cell_of, kind="stable")
    for rows in np.split(by_cell, np.cumsum(np.bincount(cells.cell_of, minlength=count))[:-1]):
        if len(rows):  # whole cells at once: grown vector by vector they take twice the memory
            codes = index.sq.compute_codes(cells.seen(vectors[rows]))
            index.invlists.add_entries(int(cells.cell_of[rows[0]]), len(rows), faiss.swig_ptr(rows), faiss.swig_ptr(codes))
    index.ntotal = len(vectors)
    return index


def shortlists(index: Any, cells: Cells, queries: Floats, count: int) -> Rows:
    """For each query the rows of so many vectors, (queries, count); -1 where its cells hold fewer."""
    parameters = importlib.import_module("faiss").SearchParametersIVF(nprobe=cells.probes)
    found: Rows = index.search(cells.seen(queries), count, params=parameters)[1]
    return found


def _nearest_cells(cells: Cells, vectors: Floats, likeness: Likeness) -> NDArray[np.int32]:
    middle = np.float32(0) if likeness == "cosine" else (cells.centres**2).sum(axis=1) / 2  # as in exact.Middle
    blocks = (vectors[start : start + BLOCK] for start in range(0, len(vectors), BLOCK))
    found = [(cells.seen(block) @ cells.centres.T - middle).argmax(axis=1).astype(np.int32) for block in blocks]
    return np.concatenate(found) if found else np.empty(0, np.int32)


def _enough_probes(cells: Cells, vectors: Floats, likeness: Likeness) -> int:
    """The fewest, by doubling, that find the nearest of some of the index's own vectors, or others as near."""
    asked, wanted = sample(len(vectors), QUERIES), NEAREST + 1  # each vector finds itself, which does not count
    queries, middle = vectors[asked], exact.Middle.of(vectors, likeness)
    truth = _scores(queries, vectors, exact.shortlists(queries, vectors, middle, wanted + exact.SLACK), likeness)[:, wanted - 1 : wanted]
    index, probes = searcher(cells, vectors, likeness), 4
    while probes < len(cells.centres):
        near = shortlists(index, replace(cells, probes=probes), queries, wanted + exact.SLACK)
        found = _scores(queries, vectors, near, likeness)[:, :wanted] >= truth - 1e-6 * np.abs(truth)
        if (found.sum(axis=1) - 1).mean() >= RECALL * NEAREST:
            return probes
        probes *= 2
    return len(cells.centres)


def _scores(queries: Floats, vectors: Floats, shortlists: Iterable[Rows], likeness: Likeness) -> Floats:
    """Larger is nearer, -inf where nothing was found."""
    scores = np.full((len(queries), NEAREST + 1 + exact.SLACK), -np.inf, np.float32)
    for place, (query, rows) in enumerate(zip(queries, shortlists, strict=True)):
        measured = exact.best(query, vectors, rows[rows >= 0], likeness)[0]
        scores[place, : len(measured)] = measured if likeness == "cosine" else -measured
    return scores
