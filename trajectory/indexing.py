"""Many songs into the library's indexes: each is heard by a worker, what is done is left alone, and what fails is told at the end."""

import functools
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from trajectory import workers
from trajectory.catalogue import SongEntry
from trajectory.collection import Collection, Ear, Heard, trained
from trajectory.desk import Desk
from trajectory.errors import TrajectoryError
from trajectory.jobs import Jobs
from trajectory.library import Library
from trajectory.queueing import Job
from trajectory.runs import Run
from trajectory.settings import RHYTHMS, SONG_ENDINGS, preset
from trajectory.workers import Weights

LOG = logging.getLogger(__name__)
AT_ONCE = 4  # songs for each worker that are handed over: their sound waits in memory
LOOK_SECONDS = 0.02
UNHEARD = "something went wrong in listening to them (the log has it); what was heard is kept, and the others can be heard again"


class IndexingError(TrajectoryError):
    """Songs that cannot be taken in."""


@dataclass(kw_only=True)
class Tally:
    """How far it has come."""

    heard: int = 0
    known: int = 0  # were heard before
    passed_over: int = 0  # files whose names are not those of music
    failed: list[tuple[str, str]] = field(default_factory=list)  # a file or song, and the sentence that says why
    seconds: float = 0.0


def weights(library: Library, encoder: str, folder: str | None) -> Weights:
    """An encoder with the folder that is given, or with what was trained in this library."""
    if encoder == "logmel-cnn" and folder is None:
        return Weights(encoder=encoder, files=trained(library))
    return Weights(encoder=encoder, folder=folder)


def ear_of(jobs: Jobs | Desk, weights: Weights) -> Ear:
    """The encoder that the workers have, in its version."""
    found: Ear = jobs.answer(workers.ear, weights, key=f"ear {hash(weights)}")
    return found


def begin(library: Library, jobs: Jobs | Desk, song: SongEntry, ear: Ear, weights: Weights, *, owner: str = "") -> Job:
    """Lets a worker hear one song, and keeps what it heard."""

    def keep(found: tuple[Ear, Heard]) -> None:
        heard_by, heard = found
        Collection(library, heard_by).keep(song.id, heard)

    def keep_both(found: tuple[Ear, Heard, Run]) -> None:
        library.add_run(song.id, found[2])
        keep(found[:2])

    key, sound = f"hear {song.id} {ear.file}", jobs.carried(library.sound(song.id))
    if ear.encoder not in RHYTHMS:
        return jobs.submit(workers.hear, sound, song.name, weights, key=key, owner=owner, done=keep)
    kept = library.find_run(song.id, preset("conditioned"))
    run = library.run(kept.id) if kept else None
    return jobs.submit(workers.hear_rhythm, sound, song.name, weights, run, key=key, owner=owner, done=keep_both)


def index(
    library: Library,
    jobs: Jobs,
    folder: Path,
    weights: Weights,
    *,
    report: Callable[[Tally], None] = lambda _: None,
) -> Tally:
    """Takes every song below a folder into the library and lets it be heard; what was heard before is not heard again."""
    if not folder.is_dir():
        raise IndexingError(f"there is no folder {folder}; name one that holds songs")
    ear = ear_of(jobs, weights)
    under_way = _UnderWay(jobs, report)
    tally, known = under_way.tally, set(library.holders(ear.file))
    for path in _files(folder):
        name = str(path.relative_to(folder))
        if path.suffix.lower().lstrip(".") not in SONG_ENDINGS:
            tally.passed_over += 1
            continue
        try:
            song = library.add_song(path, name=path.name)
            if song.id in known:
                tally.known += 1
            else:
                known.add(song.id)
                under_way.take(name, begin(library, jobs, song, ear, weights))
        except (TrajectoryError, OSError) as error:
            tally.failed.append((name, str(error)))
    under_way.settle(0)
    return tally


class CatchingUp(threading.Thread):
    """Lets an encoder hear all songs of a library that it has not heard, in the background; any number of pages may look on."""

    def __init__(self, library: Library, jobs: Jobs | Desk, ear: Ear, weights: Weights, *, owner: str) -> None:
        super().__init__(name=f"catching up {ear.file}", daemon=True)
        self.songs = Collection(library, ear).missing()
        self._begin = functools.partial(begin, library, jobs, ear=ear, weights=weights, owner=owner)
        self._under_way: _UnderWay | None = _UnderWay(jobs, lambda _: None)
        self.tally = self._under_way.tally
        self._stopped = threading.Event()

    def stop(self) -> None:
        """What was heard so far is kept."""
        self._stopped.set()
        under_way = self._under_way
        for job in list(under_way.jobs.values()) if under_way else ():
            job.cancel()

    def run(self) -> None:
        under_way = self._under_way
        if under_way is None:
            raise AssertionError("a thread runs once")
        try:
            for song in self.songs:
                if self._stopped.is_set():
                    break
                try:
                    under_way.take(song.title, self._begin(song))
                except (TrajectoryError, OSError) as error:
                    self.tally.failed.append((song.title, str(error)))
            under_way.settle(0)
        except Exception:
            LOG.exception("the songs that an encoder has not heard are left alone")
            self.tally.failed.append((f"{len(self.songs) - self.tally.heard} songs", UNHEARD))
        finally:
            self._under_way = None
            del self._begin  # and with both the library, which is no longer in use here


class _UnderWay:
    """The songs that are being heard, and how many were."""

    def __init__(self, jobs: Jobs | Desk, report: Callable[[Tally], None]) -> None:
        self._all, self._report, self._began = jobs, report, time.monotonic()
        self.jobs: dict[str, Job] = {}
        self.tally = Tally()

    def take(self, name: str, job: Job) -> None:
        """One more; waits while too many are under way, since the sound of each is held in memory."""
        self.jobs[name if name not in self.jobs else f"{name} ({job.key})"] = job
        self.settle(min(AT_ONCE * max(1, self._all.health()["workers"]), self._all.most // 2) - 1)

    def settle(self, most: int) -> None:
        """Waits until so few are left."""
        while True:
            for name in [name for name, job in self.jobs.items() if job.ended]:
                job = self.jobs.pop(name)
                if job.state == "done":
                    self.tally.heard += 1
                else:
                    self.tally.failed.append((name, job.error or "cancelled"))
                self._all.forget(job.key)
            self.tally.seconds = time.monotonic() - self._began
            self._report(self.tally)
            if len(self.jobs) <= most:
                return
            time.sleep(LOOK_SECONDS)


def _files(folder: Path) -> Iterator[Path]:
    """All of them, in an order that stays; links to folders are not followed, since they may lead round in a circle."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(place) / name for name in sorted(names) if not name.startswith("."))
