"""Plain arrays in an npz that may come from a stranger: read with limits and never unpickled; replaced in one move."""

import csv
import math
import os
import tempfile
import time
import zipfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from trajectory.errors import DAMAGE, TrajectoryError

from .vectors import SimilarityError

STALE_SECONDS = 3_600.0  # after which an unfinished file has nobody who writes it
LONGEST_LIST = 10_000  # bytes of a zip's list of members: zipfile reads all of it before anything can be asked
HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


@contextmanager
def one_sentence(name: str) -> Iterator[None]:
    """Whatever is wrong with a file, said of it by name."""
    try:
        yield
    except (TrajectoryError, csv.Error, *DAMAGE) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        line = "".join(letter if letter.isprintable() else " " for letter in reason)
        raise SimilarityError(f"{name} cannot be read: {line[:300]}") from error


def write_arrays(place: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Writes beside the place and moves there: a kill at any moment leaves the old file or the new one."""
    place.parent.mkdir(parents=True, exist_ok=True)
    for left in place.parent.glob(f".{place.name}.*.new"):
        with suppress(FileNotFoundError):
            if time.time() - left.stat().st_mtime > STALE_SECONDS:
                left.unlink()
    descriptor, name = tempfile.mkstemp(prefix=f".{place.name}.", suffix=".new", dir=place.parent)
    fresh = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(place)
    finally:
        fresh.unlink(missing_ok=True)


def read_arrays(stream: BinaryIO, *, wanted: Collection[str], most_bytes: int) -> dict[str, NDArray[Any]]:
    """Those of the arrays that are there; others are left alone."""
    _check_list(stream)
    with zipfile.ZipFile(stream) as archive:
        entries = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
        chosen = {name: entry for name, entry in entries.items() if name in wanted}
        if len(entries) != len(archive.infolist()):
            raise SimilarityError("it holds an array twice")
        if sum(entry.file_size for entry in chosen.values()) > most_bytes:
            raise SimilarityError(f"it unpacks to more than {most_bytes / 1e6:.0f} MB")
        return {name: _array(archive, name, entry) for name, entry in chosen.items()}


def _check_list(stream: BinaryIO) -> None:
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - 42))
    tail = stream.read()
    if len(tail) < 22 or tail[-22:-18] != b"PK\5\6" or tail[-2:] != b"\0\0":
        raise SimilarityError("it is no npz, or was cut short")
    length = int.from_bytes(tail[-10:-6], "little")
    if tail[:4] == b"PK\6\7" and size >= zipfile.ZIP64_LIMIT:  # a large file says it in a record of its own
        stream.seek(size - 42 - 56)
        length = int.from_bytes(stream.read(56)[40:48], "little")
    elif tail[:4] == b"PK\6\7":
        raise SimilarityError("its list of arrays is not as numpy writes it")
    if length > LONGEST_LIST:
        raise SimilarityError("it lists more arrays than vectors need")


def _array(archive: zipfile.ZipFile, name: str, entry: zipfile.ZipInfo) -> NDArray[Any]:
    """Looks at an array's head before it takes the memory for it."""
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or entry.flag_bits & 1:
        raise SimilarityError(f"its {name} is packed in a way that numpy does not use")
    with archive.open(entry) as file:
        read_header = HEADERS.get(npy.read_magic(file))
        if read_header is None:
            raise SimilarityError(f"its {name} is not as numpy writes plain arrays")
        shape, _, dtype = read_header(file)
        if dtype.hasobject or dtype.kind not in "fiuU":
            raise SimilarityError(f"its {name} holds {dtype}, not plain numbers or text; pickled objects are never opened")
        if math.prod(shape) * dtype.itemsize != entry.file_size - file.tell():
            raise SimilarityError(f"its {name} is not whole")
        file.seek(0)
        array: NDArray[Any] = npy.read_array(file, allow_pickle=False)
        return array
