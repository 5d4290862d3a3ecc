"""The songs of a library as an encoder hears them: frames kept beside each song, and indexes that follow what the library holds."""

import hashlib
import io
import json
import logging
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trajectory import encoders, holding
from trajectory.catalogue import SongEntry
from trajectory.errors import DAMAGE, TrajectoryError
from trajectory.library import Library
from trajectory.records import Floats, Trajectory
from trajectory.settings import Likeness, Pooling
from trajectory.similarity import Index, SimilarityError, Space, moment_id

LOG = logging.getLogger(__name__)
FRAMES_A_SECOND = 4.0  # that are kept at most; finer ones are joined
MOMENT_SECONDS, MOMENT_STEP = 4.0, 2.0
HEARD = "heard-by-"  # how the names of kept frames begin
INDEXES, TRAINED = "indexes", "encoders"  # folders of the library

Tags = tuple[tuple[str, float], ...]  # how likely each is, the likeliest first


class CollectionError(TrajectoryError):
    """Songs that cannot be compared as asked."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Heard:
    """A song as an encoder hears it."""

    frames: Trajectory
    tags: Tags = ()
    bpm: float | None = None  # None where no beat is heard

    def to_bytes(self) -> bytes:
        kept = io.BytesIO()
        about = np.frombuffer(json.dumps({"tags": self.tags, "bpm": self.bpm}).encode(), np.uint8)
        np.savez(kept, points=self.frames.points, times=self.frames.times, about=about)
        return kept.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Heard":
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                about = json.loads(arrays["about"].tobytes())
                return cls(
                    frames=Trajectory(points=arrays["points"].astype(np.float32), times=arrays["times"]),
                    tags=tuple((str(name), float(share)) for name, share in about["tags"]),
                    bpm=None if about["bpm"] is None else float(about["bpm"]),
                )
        except (*DAMAGE, TrajectoryError) as error:
            raise CollectionError(f"what an encoder heard cannot be read back ({error}); let it listen again") from error


def thinned(frames: Trajectory) -> Trajectory:
    """Frames joined to so few a second that a long song takes no more room than its sound."""
    count = round(1 / (frames.step_seconds * FRAMES_A_SECOND))
    if count < 2 or len(frames.points) < 4 * count:
        return frames
    starts = np.arange(0, len(frames.points) - count + 1, count)
    points = np.add.reduceat(frames.points[: starts[-1] + count], starts, axis=0) / count
    return Trajectory(points=points.astype(np.float32), times=frames.times[starts] + (count - 1) / 2 * frames.step_seconds)


@dataclass(frozen=True, kw_only=True)
class Ear:
    """One encoder in one version: what two songs must both have been heard by to be compared."""

    encoder: str
    version: str

    @property
    def file(self) -> str:
        """The name under which a song's frames are kept."""
        return f"{HEARD}{self.encoder}-{self.version}.npz"


def ears(library: Library) -> dict[Ear, int]:
    """Whoever has heard songs of a library, and how many."""
    files = Counter(file.stem for song in library.songs() for file in library.kept_files(song.id, HEARD))
    parts = ((name.removeprefix(HEARD).rpartition("-"), count) for name, count in files.items())
    return {Ear(encoder=encoder, version=version): count for (encoder, _, version), count in parts}


class Collection:
    """A library's songs by one ear. Frames are kept with their song and go with it; the indexes are made of them and can be made again."""

    def __init__(self, library: Library, ear: Ear) -> None:
        self.library, self.ear = library, ear

    def missing(self) -> list[SongEntry]:
        """Songs that this ear has not heard yet."""
        there = set(self.library.holders(self.ear.file))
        return [song for song in self.library.songs() if song.id not in there]

    def keep(self, song_id: str, heard: Heard) -> None:
        """Keeps what was heard, and gives up what an older version heard."""
        self.library.keep(song_id, self.ear.file, heard.to_bytes())
        for old in self.library.kept_files(song_id, f"{HEARD}{self.ear.encoder}-"):
            if old.name != self.ear.file:
                self.library.drop(song_id, old.name)

    def heard(self, song_id: str) -> Heard | None:
        """None for a song that was not heard yet, or whose frames were damaged: it will be heard again."""
        kept = self.library.kept(song_id, self.ear.file)
        if kept is not None:
            try:
                return Heard.from_bytes(kept)
            except CollectionError as error:
                LOG.warning("%s", error)
                self.library.drop(song_id, self.ear.file)
        return None

    def songs(self, pooling: Pooling = "mean", likeness: Likeness = "cosine") -> Index:
        """A vector for each song."""
        return self._index("songs", pooling, likeness, lambda song, frames: {song: encoders.pooled(frames, pooling)})

    def moments(self, pooling: Pooling = "mean", likeness: Likeness = "cosine") -> Index:
        """A vector for each few seconds of each song."""

        def pieces(song: str, frames: Trajectory) -> dict[str, Floats]:
            found = encoders.segments(frames, pooling, seconds=max(MOMENT_SECONDS, 2 * frames.step_seconds), step=MOMENT_STEP)
            return {moment_id(song, seconds): point for seconds, point in zip(found.times, found.points, strict=True)}

        return self._index("moments", pooling, likeness, pieces)

    def rebuild(self) -> None:
        """Forgets the indexes of this ear; the next question makes them again."""
        for folder in (self.library.root / INDEXES).glob(f"{self.ear.encoder}-*"):
            for file in folder.iterdir():
                file.unlink(missing_ok=True)

    def _index(self, kind: str, pooling: Pooling, likeness: Likeness, vectors: Callable[[str, Trajectory], dict[str, Floats]]) -> Index:
        """The kept index, brought in step with the library."""
        wanted = self.library.holders(self.ear.file)
        folder = self.library.root / INDEXES / f"{self.ear.encoder}-{kind}-{pooling}-{likeness}"
        index = self._opened(folder, pooling, likeness)
        there = {_song_of(name) for name in index.ids} if index else set()
        gone = there - set(wanted)
        more = {name: vector for song in wanted if song not in there for name, vector in self._vectors(song, vectors).items()}
        if index and not gone and not more:
            return index
        if index is not None and gone:
            index = index.remove([name for name in index.ids if _song_of(name) in gone])
        if more:
            names, values = list(more), np.stack(list(more.values()))
            space = Space(encoder=self.ear.encoder, version=self.ear.version, dims=values.shape[1], pooling=pooling, likeness=likeness)
            index = Index.build(names, values, space) if index is None else index.add(names, values)
        if index is None or not len(index):
            raise CollectionError(f"no song of the library has been heard by {self.ear.encoder} yet; let it listen first")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        index.save(folder)
        return index

    def _opened(self, folder: Path, pooling: Pooling, likeness: Likeness) -> Index | None:
        """None where there is none of this ear, or a damaged one: it is made again."""
        if not folder.is_dir():
            return None
        try:
            index = Index.open(folder)
        except SimilarityError as error:
            LOG.warning("an index of songs is made anew: %s", error)
            return None
        now = (self.ear.encoder, self.ear.version, pooling, likeness)
        return index if (index.space.encoder, index.space.version, index.space.pooling, index.space.likeness) == now else None

    def _vectors(self, song: str, vectors: Callable[[str, Trajectory], dict[str, Floats]]) -> dict[str, Floats]:
        try:
            heard = self.heard(song)
        except TrajectoryError as error:  # deleted a moment ago, or not to be read now: the next question tries it again
            LOG.info("a song is left out of an index: %s", error)
            return {}
        return {} if heard is None else vectors(song, heard.frames)


def trained(library: Library) -> tuple[tuple[str, bytes], ...]:
    """The files of the encoder that was trained on this library's songs last."""
    folders = sorted((library.root / TRAINED).glob("*/"), key=lambda folder: folder.stat().st_mtime)
    if not folders:
        raise CollectionError("no encoder has been trained on this library's songs yet; train one first")
    return tuple((file.name, file.read_bytes()) for file in sorted(folders[-1].iterdir()))


def keep_trained(library: Library, files: tuple[tuple[str, bytes], ...]) -> None:
    """Keeps an encoder that was trained on this library's songs, whole or not at all, in the place of the one before."""
    digest = hashlib.sha256(b"".join(data for _, data in files)).hexdigest()[:16]
    place = library.root / TRAINED / digest
    place.parent.mkdir(mode=0o700, exist_ok=True)
    older = [folder for folder in place.parent.glob("*/") if folder != place]
    with holding.held(library.root / "temporary") as folder:
        fresh = folder / digest
        fresh.mkdir()
        for name, data in files:
            (fresh / name).write_bytes(data)
        if not place.exists():
            fresh.rename(place)
    for former in older:
        shutil.rmtree(former, ignore_errors=True)


def _song_of(name: str) -> str:
    return name.partition("@")[0]
