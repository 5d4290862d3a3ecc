"""A library for each visitor, below one folder: within quotas, given up when its visitor has stayed away, and never while it is in use."""

import hashlib
import json
import logging
import os
import re
import shutil
import sqlite3
import threading
import uuid
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from trajectory import audio
from trajectory.audio import LIMITS, clock
from trajectory.catalogue import RunEntry, SongEntry, usage
from trajectory.clocks import steady
from trajectory.deployment import Deployment
from trajectory.errors import TrajectoryError
from trajectory.filing import Look
from trajectory.library import UNDO_SECONDS, Library
from trajectory.runs import Run
from trajectory.settings import AudioLimits
from trajectory.sharing import ENDED, SharedLibrary, Shares, SharingError
from trajectory.visitor_secrets import VisitorSecrets

LOG = logging.getLogger(__name__)
NAME = re.compile(r"[0-9a-f]{32}")
DAY_SECONDS = 86_400.0
EMPTY_SECONDS = 3_600.0  # after which a library without songs, as everybody gets who only looks in, is given up
NOTED_SECONDS = 60.0  # between two notes of when a visitor was here
MOST_OPEN = 64  # catalogues that are held open: each takes a few handles
FULL = "the server has little room left on its disk, so it takes nothing new at the moment; try again later"
SEEN, SINCE, EXPORTS = "seen", "since", "exports.json"  # files of a visitor's folder


class QuotaError(TrajectoryError):
    """More than a visitor may have."""


class Newcomers:
    """How many visitors of one address added their first song within a day: fresh cookies are no way around quotas."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._came: dict[str, list[float]] = {}

    def admit(self, address: str, now: float, *, most: int) -> None:
        """Counts one in, or refuses it; from an address that is not known everybody may come."""
        if not address:
            return
        with self._lock:
            for each in list(self._came):
                self._came[each] = [came for came in self._came[each] if 0 <= now - came < DAY_SECONDS]
                if not self._came[each]:
                    del self._came[each]
            came = self._came.setdefault(address, [])
            if len(came) >= most:
                raise QuotaError(f"{most} new visitors from one address within 24 hours are the most; come again tomorrow")
            came.append(now)


class VisitorLibrary(Library):
    """One visitor's songs and runs. Whoever needs it holds it: that keeps it from being given up."""

    of_visitor = True

    def __init__(
        self, root: Path, *, deployment: Deployment, shares: Shares, now: Callable[[], float], look: Look, newcomers: Newcomers
    ) -> None:
        self._begin(root, look)
        self._newcomers = newcomers
        self.name, self._deployment, self._shares, self._now = root.name, deployment, shares, now
        self._exporting = threading.Lock()
        self.address = ""  # from which its visitor came last, as far as that is known
        if self.is_made():
            super().make()

    def is_made(self) -> bool:
        """Whether there is anything of this visitor: before their first song, nothing of them is on the disk."""
        return self._catalogue.is_made()

    def make(self) -> None:
        if shutil.disk_usage(self._disk()).free < self._deployment.free_bytes:
            raise QuotaError(FULL)
        if not self.is_made():
            self._newcomers.admit(self.address, self._now(), most=self._deployment.newcomers)
        super().make()
        with self._catalogue.told():
            note(self.root / SEEN, self._now())
            note(self.root / SINCE, self._now())

    def is_newcomer(self) -> bool:
        """Whether its visitor was not here before today."""
        try:
            return not self.is_made() or self._now() - (self.root / SINCE).stat().st_mtime < DAY_SECONDS
        except FileNotFoundError:  # of a version that did not note it
            return False

    def hold(self) -> None:
        """Keeps the catalogue open for who comes often."""
        self._catalogue.hold()

    def forget(self) -> None:
        """It was given up with all that was in it."""
        self._catalogue.forget()

    def rest(self) -> None:
        """Gives its handles back; the next question takes them again."""
        self._catalogue.rest()

    def add_song(self, source: Path | BinaryIO | bytes, *, name: str, limits: AudioLimits = LIMITS) -> SongEntry:
        if not self.is_made():
            self.make()
        return super().add_song(source, name=name, limits=limits)

    def keep(self, song_id: str, name: str, data: bytes) -> None:
        self.song(song_id)  # a visitor who was forgotten meanwhile has none
        super().keep(song_id, name, data)

    def add_run(self, song_id: str, run: Run) -> RunEntry:
        self.song(song_id)
        return super().add_run(song_id, run)

    def purge(self, older_than_seconds: float = UNDO_SECONDS) -> None:
        if self.is_made():
            super().purge(older_than_seconds)

    def training_refused(self) -> str | None:
        most = self._deployment.bytes
        if self.usage().live_bytes < most:
            return None
        return f"your songs, runs and films take all of the {_megabytes(most)} that you have; delete some first"

    def bytes_left(self) -> int:
        """That the visitor may add, before anything of it is looked at."""
        left = self._deployment.bytes - self.usage().live_bytes
        return max(0, min(left, shutil.disk_usage(self._disk()).free - self._deployment.free_bytes))

    def _disk(self) -> Path:
        return next(folder for folder in (self.root, *self.root.parents) if folder.is_dir())

    def may_export(self) -> None:
        """Counts the export, or refuses it."""
        if not self.is_made():
            self.make()
        with self._exporting:
            made, most = self.exports(), self._deployment.exports
            if len(made) >= most:
                wait = clock(max(60.0, min(made) + DAY_SECONDS - self._now()))
                raise QuotaError(f"{most} exports within 24 hours are the most; the next one is possible in {wait}")
            fresh = self.root / f"{EXPORTS}.new"
            with self._catalogue.told():
                fresh.write_text(json.dumps([*made, self._now()]), encoding="utf-8")
                fresh.replace(self.root / EXPORTS)

    def exports(self) -> list[float]:
        """When they were made, within the last 24 hours."""
        now = self._now()
        with self._catalogue.told():  # a file that cannot be read now is no file without exports
            try:
                kept = json.loads((self.root / EXPORTS).read_text(encoding="utf-8"))
                return [float(made) for made in kept if 0 <= now - made < DAY_SECONDS]
            except FileNotFoundError:
                return []
            except (ValueError, TypeError):
                LOG.warning("a visitor's exports cannot be read back, and are counted anew")
                return []

    def delete_song(self, song_id: str) -> None:
        """Ends the song's links too, for good."""
        if self.is_made():
            super().delete_song(song_id)
        self._shares.end(self.name, song=song_id)

    def delete_run(self, run_id: str) -> None:
        """Ends the run's links too, for good."""
        if self.is_made():
            super().delete_run(run_id)
        self._shares.end(self.name, run=run_id)

    def _admit(self, connection: sqlite3.Connection, *, size: int, seconds: float | None = 0.0) -> None:
        may, now = self._deployment, usage(connection)
        lasts = size / 8_000 if seconds is None else seconds  # as `usage` counts it
        if now.live_bytes + size > may.bytes:
            room = f"{_megabytes(now.live_bytes)} of the {_megabytes(may.bytes)} that you have"
            raise QuotaError(f"your songs, runs and films take {room}, and this needs {_megabytes(size)} more; delete some first")
        if lasts and now.seconds + lasts > 60 * may.minutes:
            room = f"{now.seconds / 60:.1f} of the {may.minutes:g} minutes of sound that you may keep"
            raise QuotaError(f"your songs last {room}, and this one lasts {lasts / 60:.1f}; delete some first")
        if now.bytes + size > 2 * may.bytes:
            raise QuotaError(f"what you deleted takes its room for {UNDO_SECONDS / 60:g} minutes, and this needs it; try again then")
        if shutil.disk_usage(self.root).free < may.free_bytes:
            raise QuotaError(FULL)

    def _readmit(self, connection: sqlite3.Connection) -> None:
        may, now = self._deployment, usage(connection)
        if now.live_bytes > may.bytes or now.seconds > 60 * may.minutes:
            most = f"{_megabytes(may.bytes)} and {may.minutes:g} minutes of sound are the most that you may keep"
            raise QuotaError(f"what you deleted does not fit beside what you added since: {most}; delete some first")


class Visitors:
    """Everybody's libraries. A visitor is known by a secret, and called by its digest."""

    def __init__(self, home: Path, deployment: Deployment, *, now: Callable[[], float] = steady, look: Look = audio.probe) -> None:
        self._look, self._newcomers = look, Newcomers()
        self.shares = Shares(home)
        self.secrets = VisitorSecrets(home, has_library=lambda secret: (self._folder / name_of(secret)).is_dir(), now=now)
        self._folder, self._deployment, self._now = home / "visitors", deployment, now
        self._lock = threading.Lock()
        self._held: weakref.WeakValueDictionary[str, VisitorLibrary] = weakref.WeakValueDictionary()
        self._recent: dict[str, tuple[VisitorLibrary, float]] = {}  # and when they were asked for: something may have been deleted there
        self._noted: dict[str, float] = {}
        self._dismissed: set[str] = set()  # those of `_recent` that others took the place of
        self._is_new = True  # what was deleted before this began is looked for once

    def library(self, secret: str) -> VisitorLibrary:
        """The visitor's own; before their first song it is empty, and nowhere."""
        name = name_of(secret)
        now = self._now()
        with self._lock:
            found = self._opened(name)
            if found.is_made() and not 0 <= now - self._noted.get(name, -NOTED_SECONDS) < NOTED_SECONDS:
                self._note(name, now)
            return found

    def shared(self, token: str) -> SharedLibrary:
        """What a link shows of somebody's library."""
        share = self.shares.find(token)
        with self._lock:
            if not (self._folder / share.owner).is_dir():
                raise SharingError(ENDED)
            return SharedLibrary(self._opened(share.owner), share, self.shares)

    def tidy(self) -> None:
        """Gives up what was deleted too long ago to be brought back, and what belongs to those who have stayed away."""
        names = [folder.name for folder in self._folder.glob("*") if NAME.fullmatch(folder.name)]
        for name in names:
            try:
                self._expire(name)
                if self._is_new or name in self._recent or name in self._dismissed:
                    self._purge(name)
            except (TrajectoryError, OSError) as error:
                LOG.warning("a visitor's folder could not be tidied: %s", error)
        self._is_new = False
        for gone in self._folder.glob("gone-*"):  # also those of a tidying that was ended in the middle
            shutil.rmtree(gone, ignore_errors=True)

    def _opened(self, name: str) -> VisitorLibrary:
        found = self._held.get(name)
        if found is None:
            found = self._held[name] = self._at(name)
            if found.is_made() and not (found.root / SEEN).exists():
                self._note(name, self._now())
        self._recent.pop(name, None)
        if found.is_made():
            self._recent[name] = found, self._now()  # the last of them
            found.hold()
        while len(self._recent) > MOST_OPEN:
            oldest = next(iter(self._recent))
            self._recent.pop(oldest)[0].rest()
            self._dismissed.add(oldest)
        return found

    def _at(self, name: str) -> VisitorLibrary:
        return VisitorLibrary(
            self._folder / name, deployment=self._deployment, shares=self.shares, now=self._now, look=self._look, newcomers=self._newcomers
        )

    def _note(self, name: str, now: float) -> None:
        try:
            note(self._folder / name / SEEN, now)
            self._noted[name] = now
        except OSError as error:  # a full disk keeps nobody from their songs
            LOG.warning("that a visitor was here could not be noted: %s", error.strerror)

    def _purge(self, name: str) -> None:
        with self._lock:
            if not (self._folder / name).is_dir():
                return
            library = self._held.get(name) or self._at(name)
        library.purge()
        if name in self._dismissed:  # what is deleted from now on is done by somebody who is here again
            library.rest()
            self._dismissed.discard(name)

    def forget(self, secret: str) -> None:
        """Gives up all that is a visitor's, for good: songs, runs, films, links, and the cookie by which they were known."""
        name = name_of(secret)
        self.secrets.forget(secret)
        with self._lock:
            self.shares.end(name)
            self._noted.pop(name, None)
            self._recent.pop(name, None)
            held = self._held.pop(name, None)
            folder = self._folder / name
            gone = self._folder / f"gone-{uuid.uuid4().hex}"
            try:
                folder.rename(gone)
            except FileNotFoundError:  # nothing of them was kept
                return
            except OSError as error:
                raise QuotaError(f"what is yours could not be deleted ({error.strerror}); try again later") from error
            if held is not None:
                held.forget()
        shutil.rmtree(gone, ignore_errors=True)  # what is left of it is tidied later

    def _expire(self, name: str) -> None:
        folder, now = self._folder / name, self._now()
        with self._lock:
            if name in self._recent and not 0 <= now - self._recent[name][1] < 2 * UNDO_SECONDS:
                self._recent.pop(name)[0].purge()
            try:
                idle = now - (folder / SEEN).stat().st_mtime
                is_empty = not any((folder / "songs").iterdir())
            except FileNotFoundError:  # not whole yet, or gone
                return
            if name in self._held or idle < (EMPTY_SECONDS if is_empty else self._deployment.idle_days * DAY_SECONDS):
                return
            self._noted.pop(name, None)
            self.shares.end(name)
            folder.rename(self._folder / f"gone-{uuid.uuid4().hex}")


def note(seen: Path, now: float) -> None:
    """Notes on the disk when a visitor was here."""
    seen.touch()
    os.utime(seen, (now, now))


def name_of(secret: str) -> str:
    """What a visitor's library is called: who reads the disk learns no secret."""
    return hashlib.sha256(f"trajectory visitor {secret}".encode()).hexdigest()[:32]


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
