"""Vectors of one's own, from a file that may hold anything."""

import csv
import io
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from trajectory.records import Floats

from .arrays import one_sentence, read_arrays
from .vectors import LARGEST, MOST_DIMS, SimilarityError, checked, checked_ids

NAMES = ("names", "ids")
NUMBER_LETTERS = 32  # that a number in a csv takes at most, with its comma


@dataclass(frozen=True, kw_only=True)
class VectorLimits:
    """What a file of one's own vectors may ask of the machine."""

    bytes: int = 200_000_000  # of the file
    unpacked_bytes: int = 800_000_000
    rows: int = 100_000
    dims: int = MOST_DIMS

    @property
    def line_letters(self) -> int:
        return NUMBER_LETTERS * (self.dims + 10)


LIMITS = VectorLimits()


def read_vectors(file: str | Path | BinaryIO, *, limits: VectorLimits = LIMITS) -> tuple[tuple[str, ...], Floats]:
    """Names and vectors from an npz (`names` and `vectors`), or from a csv with a name and its numbers in each row."""
    name = repr(Path(getattr(file, "name", "the file") if hasattr(file, "read") else str(file)).name[:80])
    with one_sentence(name), _opened(file) as stream:
        size = stream.seek(0, os.SEEK_END)
        if size > limits.bytes:
            raise SimilarityError(f"it is {size / 1e6:.0f} MB large; {limits.bytes / 1e6:g} MB are the most")
        stream.seek(0)
        packed = stream.read(2) == b"PK"
        stream.seek(0)
        names, vectors = _from_npz(stream, limits) if packed else _from_csv(stream, limits)
        if not len(vectors):
            raise SimilarityError("it holds no vectors; write one in each row")
        return checked_ids(names, len(vectors)), checked(vectors)


def _opened(file: str | Path | BinaryIO) -> AbstractContextManager[BinaryIO]:
    return Path(file).open("rb") if isinstance(file, str | Path) else nullcontext(file)  # what was lent is not closed


def _from_npz(stream: BinaryIO, limits: VectorLimits) -> tuple[list[str], NDArray[Any]]:
    arrays = read_arrays(stream, wanted=("vectors", *NAMES), most_bytes=limits.unpacked_bytes)
    names = next((arrays[name] for name in NAMES if name in arrays), None)
    if names is None or "vectors" not in arrays:
        raise SimilarityError("it needs two arrays: vectors (n, dims) and names (n)")
    if names.dtype.kind != "U" or names.ndim != 1:
        raise SimilarityError(f"its names are {names.dtype} of shape {names.shape}; they must be text, one for each vector")
    vectors = arrays["vectors"]
    if vectors.ndim == 2:
        _check_size(len(vectors), vectors.shape[1], limits)
    _check_letters(names)
    return names.tolist(), vectors


def _check_letters(names: NDArray[Any]) -> None:
    """Half a letter could be neither shown nor kept, and numpy breaks on what is none at all."""
    big = names.dtype.byteorder == ">" or (names.dtype.byteorder == "=" and sys.byteorder == "big")
    try:
        names.tobytes().decode("utf-32-be" if big else "utf-32-le")
    except UnicodeDecodeError as error:
        raise SimilarityError("its names are no text; write them as letters") from error


def _from_csv(stream: BinaryIO, limits: VectorLimits) -> tuple[list[str], NDArray[Any]]:
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
    try:
        first = text.readline(limits.line_letters)
        text.seek(0)
        rows = csv.reader(_lines(text, limits), delimiter=max(",;\t", key=first.count), strict=True)
        names: list[str] = []
        vectors: list[Floats] = []
        for row in rows:
            if not any(row) or (rows.line_num == 1 and len(row) > 1 and not any(map(_is_number, row[1:]))):
                continue  # an empty line, or a headline
            vectors.append(_vector(row[1:], f"line {rows.line_num}"))
            names.append(row[0].strip())
            _check_size(len(names), len(vectors[-1]), limits)
            if len(vectors[-1]) != len(vectors[0]):
                raise SimilarityError(f"line {rows.line_num} holds {len(vectors[-1])} numbers, and the first {len(vectors[0])}")
        return names, np.stack(vectors) if vectors else np.empty((0, 1))
    finally:
        text.detach()  # else the wrapper closes what it was lent


def _lines(text: io.TextIOWrapper, limits: VectorLimits) -> Iterator[str]:
    while line := text.readline(limits.line_letters):
        if len(line) == limits.line_letters:
            raise SimilarityError(
                f"it has a line of more than {len(line)} letters; write one vector in each, of at most {limits.dims} numbers"
            )
        yield line


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _vector(cells: list[str], where: str) -> Floats:
    wrong = next((cell for cell in cells if not (_is_number(cell) and abs(float(cell)) <= LARGEST)), None)
    if wrong is not None:
        raise SimilarityError(f"{where} holds {wrong!r:.40}, which is no number, or beyond {LARGEST:g}")
    return np.array([float(cell) for cell in cells], dtype=np.float32)


def _check_size(rows: int, dims: int, limits: VectorLimits) -> None:
    if rows > limits.rows:
        raise SimilarityError(f"it holds more than {limits.rows} vectors, which are the most")
    if not 1 <= dims <= limits.dims:
        raise SimilarityError(f"it holds vectors of {dims} numbers; 1 to {limits.dims} are possible")
