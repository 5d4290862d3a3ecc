"""Files on their way into a library: taken from wherever they come, written down whole, put in their place for good."""

import hashlib
import io
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from trajectory import audio
from trajectory.catalogue import LibraryError
from trajectory.settings import AudioLimits

Look = Callable[[Path, AudioLimits], audio.Probe]  # how a file is looked at
SUFFIXES = {kind: f".{kind}" for kind in ("wav", "w64", "aiff", "flac", "ogg", "caf", "mp3", "aac")}  # by what a file is, not is called
SUFFIXES |= {"wavex": ".wav", "rf64": ".wav", "mov": ".m4a", "matroska": ".webm"}


@contextmanager
def opened(source: Path | BinaryIO | bytes) -> Iterator[BinaryIO]:
    """What is to be kept, from its beginning."""
    if isinstance(source, Path):
        try:
            if not source.is_file():  # to open a pipe could wait for ever
                raise LibraryError(f"there is no file {source}; choose a sound file")
            file = source.open("rb")
        except OSError as error:
            raise LibraryError(f"{str(source)[:80]!r} cannot be opened ({error.strerror}); choose another file") from error
        with file:
            yield file
    else:
        stream = io.BytesIO(source) if isinstance(source, bytes) else source
        if stream.seekable():
            stream.seek(0)  # who hands it over may have read it before
        yield stream


def blocks(stream: BinaryIO, name: str, limits: AudioLimits) -> Iterator[bytes]:
    """A stream in pieces, and no more of it than may be kept."""
    size = 0
    while block := stream.read(1 << 20):
        size += len(block)
        if size > limits.bytes:
            raise LibraryError(f"{name} has more than {limits.bytes / 1e6:,.0f} MB, the most that can be kept: cut or compress it")
        yield block


def write(file: Path, pieces: Iterable[bytes]) -> str:
    """Writes a new file down to the disk; gives its sha256."""
    digest = hashlib.sha256()
    with file.open("xb") as written:
        for piece in pieces:
            digest.update(piece)
            written.write(piece)
        written.flush()
        os.fsync(written.fileno())
    return digest.hexdigest()


def move(source: Path, target: Path) -> None:
    """Puts a file or folder in its place, for good."""
    target.parent.mkdir(parents=True, exist_ok=True)
    source.replace(target)
    if hasattr(os, "O_DIRECTORY"):  # where a folder can be opened
        for folder in (target.parent, target.parent.parent):
            number = os.open(folder, os.O_DIRECTORY)
            try:
                os.fsync(number)
            finally:
                os.close(number)


def size_of(folder: Path) -> int:
    """Bytes of the files that lie in a folder itself."""
    return sum(path.stat().st_size for path in folder.glob("*") if path.is_file())


def probed(file: Path, name: str, limits: AudioLimits, look: Look = audio.probe) -> tuple[audio.Probe, str]:
    """What a file is, and the suffix of its kind; a refusal calls it by the name that people know."""
    try:
        probe = look(file, limits)
    except audio.AudioError as error:
        raise audio.AudioError(str(error).replace(file.name, name)) from error
    kind = probe.format.split()[0]
    if kind not in SUFFIXES:
        raise audio.AudioError(f"{name} is of a kind that is not kept ({probe.format}); {audio.CHOICE}")
    return probe, SUFFIXES[kind]
