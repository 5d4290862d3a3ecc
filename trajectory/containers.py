"""What a file's own bytes promise of its length, where the libraries that decode it do not say. Reads headers, never sound."""

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

STREAMED = 0x7FFF_0000  # a chunk of this size or more was written by a program that could not know its size
ORDERS = {b"RIFF": "<", b"RF64": "<", b"FORM": ">"}  # of the bytes of a size, by how a file begins
SOUND = (b"data", b"SSND")
TEXTS = (b"LIST", b"NAME", b"AUTH", b"ANNO", b"(c) ")
MOST_CHUNKS = 1000


def promised_share(file: BinaryIO) -> float:
    """How many times the sound that is there a wav or aiff file promises; libsndfile clips the promise without a word."""
    long_size = 0
    for kind, size in _chunks(file):
        if kind in SOUND:
            present = os.fstat(file.fileno()).st_size - file.tell()
            known = long_size or size < STREAMED
            return max(1.0, (long_size or size) / present) if known and present > 0 else 1.0
        if kind == b"ds64":
            long_size = int.from_bytes(file.read(16)[8:], "little")
    return 1.0


def texts_are_there(path: Path) -> bool:
    """Whether a wav or aiff file holds the texts that it promises: FFmpeg takes the memory for them before it looks."""
    with path.open("rb", buffering=0) as file:
        length = os.fstat(file.fileno()).st_size
        return all(kind not in TEXTS or file.tell() + size <= length for kind, size in _chunks(file))


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """What a wav or aiff file is made of, the file being at the beginning of each."""
    file.seek(0)
    order = ORDERS.get(file.read(12)[:4])
    for _ in range(MOST_CHUNKS if order else 0):
        head = file.read(8)
        if len(head) < 8:
            break
        kind, size = struct.unpack(f"{order}4sI", head)
        following = file.tell() + size + size % 2
        yield kind, size
        file.seek(following)


def ogg_is_cut(file: BinaryIO) -> bool:
    """Whether the last page is not whole, or not marked as a stream's last."""
    file.seek(max(0, os.fstat(file.fileno()).st_size - 2 * 65_536))  # a page has less than 64 KB
    end = file.read()
    page = end[end.rfind(b"OggS") :] if b"OggS" in end else b""
    if len(page) < 27:
        return True
    return not page[5] & 4 or len(page) < 27 + page[26] + sum(page[27 : 27 + page[26]])


def mp3_frames(path: Path) -> int:
    """As many as its first frame states, else 0."""
    with path.open("rb", buffering=0) as file:
        tag = file.read(10)
        file.seek(10 + sum((byte & 127) << shift for byte, shift in zip(tag[6:], (21, 14, 7, 0), strict=True)) if tag[:3] == b"ID3" else 0)
        first = file.read(4096)
    note = first[max(first.find(b"Xing"), first.find(b"Info"), 0) :]
    return int.from_bytes(note[8:12]) if note[:4] in (b"Xing", b"Info") and note[7] & 1 else 0
