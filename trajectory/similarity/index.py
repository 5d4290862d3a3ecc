"""Vectors with names, and the nearest of them to a query: exact while they are few, by cells once they are many.

An index never changes: adding and removing give another, so that one may be searched while the next is made. On disk it is one
file of plain arrays.
"""

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self, get_args

import numpy as np
from numpy.typing import ArrayLike

from trajectory.records import Floats
from trajectory.settings import Likeness, Pooling

from . import cells as by_cells
from . import exact
from .arrays import one_sentence, read_arrays, write_arrays
from .cells import Cells
from .vectors import MOST_DIMS, Rows, SimilarityError, checked, checked_ids, unit

FILE, FORMAT = "index.npz", 1
ARRAYS = ("about", "vectors", "centres", "cell_of", "origin", "numbers")
LARGE = 10_000_000  # values, as 20,000 vectors of 512: reading more of them for each query takes above 10 ms
OUTGROWN = 2  # times as many vectors as were cut into cells: time to cut again
LONGEST_NAME = 100  # letters of an encoder's


@dataclass(frozen=True, kw_only=True)
class Space:
    """What vectors must share to be compared."""

    encoder: str
    version: str  # of its weights and of what is done with them
    dims: int
    pooling: Pooling = "mean"
    likeness: Likeness = "cosine"

    def __post_init__(self) -> None:
        named = all(isinstance(text, str) and 0 < len(text) <= LONGEST_NAME for text in (self.encoder, self.version))
        known = self.pooling in get_args(Pooling) and self.likeness in get_args(Likeness)
        if not (named and known and type(self.dims) is int and 1 <= self.dims <= MOST_DIMS):
            raise SimilarityError(f"{str(self)[:200]} is no space to compare vectors in")

    def __str__(self) -> str:
        return f"{self.encoder} {self.version} ({self.dims} dimensions, {self.pooling}, {self.likeness})"


@dataclass(frozen=True, kw_only=True, eq=False)
class Index:
    """Named vectors of one space; made by `build` or `open`."""

    ids: tuple[str, ...]
    vectors: Floats  # (n, dims); at length 1 where likeness is the cosine
    space: Space
    cells: Cells | None = None

    @classmethod
    def build(cls, ids: Sequence[str], vectors: ArrayLike, space: Space) -> Self:
        values = checked(vectors, dims=space.dims)
        names = checked_ids(ids, len(values))
        return cls(ids=names, vectors=_scaled(values, space), space=space)._cut()

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, name: object) -> bool:
        return name in self._rows

    def row(self, name: str) -> int:
        """Where a vector stands."""
        if name not in self._rows:
            raise SimilarityError(f"{name!r:.60} is not in the index; add it first")
        return self._rows[name]

    def search(self, queries: ArrayLike, count: int) -> tuple[Floats, Rows]:
        """Scores and rows of the nearest, (queries, up to count), the best first: cosines from 1 down, or distances from 0 up."""
        if count < 1:
            raise SimilarityError(f"{count} neighbours cannot be found; ask for 1 or more")
        asked = _scaled(checked(queries, what="queries", dims=self.space.dims), self.space)
        count = min(count, len(self))
        scores, rows = np.empty((len(asked), count), np.float32), np.empty((len(asked), count), np.int64)
        for place, near in enumerate(self._shortlists(asked, min(count + exact.SLACK, len(self)))):
            measured, order = exact.best(asked[place], self.vectors, near, self.space.likeness)
            scores[place], rows[place] = measured[:count], order[:count]
        return scores, rows

    def add(self, ids: Sequence[str], vectors: ArrayLike) -> Self:
        """Another index with these as well; once it has outgrown its cells it is cut anew."""
        values = checked(vectors, dims=self.space.dims)
        names = checked_ids(ids, len(values))
        there = next((name for name in names if name in self), None)
        if there is not None:
            raise SimilarityError(f"{there!r:.60} is in the index already; remove it first")
        values = _scaled(values, self.space)
        cells = self.cells
        if cells is not None:
            fits = len(self) + len(values) <= OUTGROWN * cells.cut_at
            cells = cells.with_more(values, self.space.likeness) if fits else None
        return replace(self, ids=self.ids + names, vectors=np.concatenate([self.vectors, values]), cells=cells)._cut()

    def remove(self, ids: Collection[str]) -> Self:
        """Another index without these; to remove what is gone is no error."""
        gone = set(ids)
        kept = np.array([name not in gone for name in self.ids], dtype=bool)
        names = tuple(name for name in self.ids if name not in gone)
        cells = None if self.cells is None else self.cells.only(kept)
        return replace(self, ids=names, vectors=self.vectors[kept], cells=cells)._cut()

    def save(self, folder: str | Path) -> Path:
        """Writes it whole; a kill at any moment leaves the old one or the new one."""
        about = {"format": FORMAT, "space": asdict(self.space), "ids": self.ids}
        text = np.frombuffer(json.dumps(about).encode(), np.uint8)
        place = Path(folder) / FILE
        try:
            write_arrays(place, {"about": text, "vectors": self.vectors, **(self.cells.arrays() if self.cells else {})})
        except (OSError, ValueError) as error:
            raise SimilarityError(f"{place} cannot be written: {getattr(error, 'strerror', None) or error}") from error
        return place

    @classmethod
    def open(cls, folder: str | Path, space: Space | None = None) -> Self:
        """Reads an index back, if it is of that space; a damaged one is refused."""
        place = Path(folder) / FILE
        with one_sentence(str(place)), place.open("rb") as stream:
            arrays = read_arrays(stream, wanted=ARRAYS, most_bytes=place.stat().st_size)
            about = json.loads(arrays["about"].tobytes())
            if about["format"] != FORMAT:
                raise SimilarityError(f"it is of format {str(about['format'])[:20]}, and this program reads {FORMAT}; make it again")
            found = Space(**about["space"])
            if space is not None and found != space:
                raise SimilarityError(f"it is of {found}, and {space} is asked for; make it again")
            vectors = checked(arrays["vectors"], dims=found.dims)
            if found.likeness == "cosine":
                _check_lengths(vectors)
            cells = Cells.from_arrays(arrays, vectors) if "cell_of" in arrays else None
            return cls(ids=checked_ids(about["ids"], len(vectors)), vectors=vectors, space=found, cells=cells)

    def _cut(self) -> Self:
        """With cells where it is large, and without where it is not."""
        if self.vectors.size < LARGE:
            return self if self.cells is None else replace(self, cells=None)
        return self if self.cells is not None else replace(self, cells=by_cells.cut(self.vectors, self.space.likeness))

    def _shortlists(self, queries: Floats, count: int) -> Iterator[Rows]:
        if not count:
            return
        if self.cells is None or self._searcher is None:
            yield from exact.shortlists(queries, self.vectors, self._middle, count)
            return
        found = by_cells.shortlists(self._searcher, self.cells, queries, count)
        for query, rows in zip(queries, found, strict=True):
            whole = (rows >= 0).all()  # else the cells that it looked into held fewer
            yield rows if whole else next(exact.shortlists(query[None], self.vectors, self._middle, count))

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.ids)}

    @cached_property
    def _middle(self) -> exact.Middle:
        return exact.Middle.of(self.vectors, self.space.likeness)

    @cached_property
    def _searcher(self) -> Any | None:
        return None if self.cells is None else by_cells.searcher(self.cells, self.vectors, self.space.likeness)


def _scaled(vectors: Floats, space: Space) -> Floats:
    return unit(vectors) if space.likeness == "cosine" else vectors.copy()  # whoever gave them may change them


def _check_lengths(vectors: Floats) -> None:
    lengths = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))
    if not (np.isclose(lengths, 1, atol=1e-3) | (lengths == 0)).all():
        raise SimilarityError("its vectors are not at length 1, as cosines need them")
