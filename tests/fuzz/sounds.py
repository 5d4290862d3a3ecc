"""Sound files and their tags: whole ones, and the doors of the decoder and the library."""

import functools
import io
import tempfile
from collections.abc import Sequence
from pathlib import Path
from random import Random

import numpy as np
import soundfile

from tests import audio_files
from tests.fuzz import changes
from trajectory import audio, library, naming
from trajectory.settings import SectionSettings


def sounds() -> list[bytes]:
    """A second and less of every kind, tagged where the kind has tags."""
    tags = {"title": "A title 音", "artist": "Somebody"}
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for kind in audio_files.KINDS:
            path = audio_files.write(Path(folder) / f"song.{kind}", audio_files.noise(48_000, 0.4), 48_000, **tags)
            found.append(path.read_bytes())
    stereo = np.stack([audio_files.noise(8_000, 0.5), audio_files.noise(8_000, 0.5, 1)], axis=1)
    for kind, subtype in (
        ("WAV", "FLOAT"),
        ("WAV", "IMA_ADPCM"),
        ("RF64", "PCM_24"),
        ("CAF", "ALAC_16"),
        ("AIFF", "PCM_S8"),
        ("FLAC", "PCM_24"),
    ):
        kept = io.BytesIO()
        soundfile.write(kept, stereo, 8_000, format=kind, subtype=subtype)
        found.append(kept.getvalue())
    return found


def decode(data: bytes, folder: Path) -> None:
    path = folder / "upload"
    path.write_bytes(data)
    section = SectionSettings(start=0.1, stop=0.3) if len(data) % 3 == 0 else SectionSettings()
    try:
        audio.probe(path)
        recording = audio.load(path, section=section)
        assert np.isfinite(recording.samples).all()
        assert 0 < recording.seconds <= audio.LIMITS.seconds + 1
        assert recording.cover is None or len(recording.cover) <= audio.COVER_BYTES
    finally:
        path.unlink()


def tagged_sounds() -> list[bytes]:
    """Short sounds that are mostly tags."""
    tags = {"title": "T" * 60, "artist": "A" * 60, "album": "B" * 30, "comment": "../../x"}
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("mp3", "flac", "ogg", "wav", "m4a", "webm"):
            kept = {
                name: text for name, text in tags.items() if kind not in ("wav", "flac", "ogg") or name in ("title", "artist", "comment")
            }
            found.append(audio_files.write(Path(folder) / f"song.{kind}", audio_files.noise(48_000, 0.1), 48_000, **kept).read_bytes())
    return found


def of_tags(data: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    """Bytes in and beside the texts."""
    at = max(data.find(b"T" * 20), data.find(b"A" * 20)) + random.randrange(-30, 60)
    if at < 30 or random.random() < 0.3:
        return changes.of_bytes(data, random, others)
    piece = random.choice((*changes.WORDS, random.randbytes(8), "ä\u202e\ud800".encode("utf-16", "surrogatepass")))
    return data[:at] + piece + data[at + (len(piece) if random.random() < 0.7 else 0) :]


def keep(data: bytes, folder: Path) -> None:
    """Into a library, and what it says of the song."""
    name = data[-40:].decode("utf-8", "surrogateescape")
    shelf = a_library(folder.parent)
    entry = shelf.add_song(data, name=name)
    try:
        for text in (entry.title, entry.artist or "x", entry.name):
            assert 0 < len(text) <= naming.LONGEST_TITLE
            assert not {"\n", "\0"} & set(text)
            text.encode()
        assert shelf.sound(entry.id).parent.parent == shelf.root / "songs"
        shelf.songs(entry.title)
    finally:
        shelf.delete_song(entry.id)
        shelf.purge(0)


@functools.cache
def a_library(place: Path) -> library.Library:
    return library.Library(place / "library")
