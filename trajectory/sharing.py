"""Links that share one song or one run: who has one sees it in its owner's library, and nothing else there; nothing is changed through it.

A link holds a token; the disk holds only the token's digest, so that who reads the disk can open no link.
"""

import hashlib
import json
import logging
import os
import re
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from trajectory.catalogue import LibraryError, RunEntry, SongEntry
from trajectory.errors import TrajectoryError
from trajectory.library import Library
from trajectory.settings import Settings

LOG = logging.getLogger(__name__)
TOKEN = re.compile(r"[A-Za-z0-9_-]{32}")  # 24 random bytes
DERIVED = re.compile(r"heard-[0-9a-z_-]+\.npz|sound\.flac")  # what is worked out to look at a song and to hear it
MOST = 200  # links of one owner
READ_ONLY = "this was shared with you to look at and to hear, so nothing of it can be changed or trained; ask its owner for the file"
ENDED = "this link leads to nothing any more: what it shared was deleted, or its owner took it back"


class SharingError(TrajectoryError):
    """A link that leads to nothing, or something that is not done through one."""


@dataclass(frozen=True, kw_only=True)
class Share:
    """What one link shows."""

    digest: str  # of the token
    owner: str
    song: str
    run: str | None  # None: all runs of the song
    made: float  # unix seconds


class Shares:
    """The links of all owners: one small file each, whose name says whose it is."""

    def __init__(self, home: Path) -> None:
        self._folder = home / "shares"

    def make(self, owner: str, song: str, run: str | None = None) -> str:
        """The token of a new link; it can be had only now."""
        if len(list(self._files(f"*.{owner}"))) >= MOST:
            raise SharingError(f"{MOST} links at once are the most; take one back first")
        token = secrets.token_urlsafe(24)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        place = self._place(_digest(token), owner)
        fresh = place.with_suffix(".new")
        with fresh.open("x", encoding="utf-8") as file:
            json.dump({"song": song, "run": run, "made": time.time()}, file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(place)
        return token

    def find(self, token: str) -> Share:
        """What a link shows."""
        digest = _digest(token) if TOKEN.fullmatch(token) else "none"
        for share in self._read(f"{digest}.*"):
            return share
        raise SharingError(ENDED)

    def has(self, share: Share) -> bool:
        """Whether the link was not taken back."""
        return self._place(share.digest, share.owner).is_file()

    def of(self, owner: str) -> list[Share]:
        """The newest first."""
        return sorted(self._read(f"*.{owner}"), key=lambda share: -share.made)

    def end(self, owner: str, *, digest: str | None = None, song: str | None = None, run: str | None = None) -> None:
        """Takes back an owner's link, or all that show a song or a run, or all."""
        for share in self.of(owner):
            if digest in (None, share.digest) and song in (None, share.song) and run in (None, share.run):
                self._place(share.digest, owner).unlink(missing_ok=True)

    def _place(self, digest: str, owner: str) -> Path:
        return self._folder / f"{digest}.{owner}.json"

    def _files(self, name: str) -> Iterator[Path]:
        return self._folder.glob(f"{name}.json")

    def _read(self, name: str) -> Iterator[Share]:
        for file in self._files(name):
            digest, owner, _ = file.name.split(".")
            try:
                yield Share(digest=digest, owner=owner, **json.loads(file.read_text(encoding="utf-8")))
            except FileNotFoundError:  # taken back a moment ago
                continue
            except (ValueError, TypeError) as error:
                LOG.warning("the link %s is damaged, and leads to nothing (%s)", digest, error)
            except OSError as error:  # it may be read later, so it is not said to lead to nothing
                raise SharingError(f"this link cannot be looked up at the moment ({error.strerror}); try again in a while") from error


class SharedLibrary(Library):
    """An owner's library as a link shows it."""

    def __init__(self, owner: Library, share: Share, shares: Shares) -> None:
        self._shares = shares
        self.root, self._temporary, self._catalogue = owner.root, owner._temporary, owner._catalogue
        self._owner, self.share = owner, share
        try:
            self.song(share.song)
            if share.run is not None:
                self.run_entry(share.run)
        except LibraryError as error:
            raise SharingError(ENDED) from error

    def songs(self, search: str = "") -> list[SongEntry]:
        return [] if not self._shares.has(self.share) else [song for song in super().songs(search) if song.id == self.share.song]

    def song(self, song_id: str) -> SongEntry:
        return super().song(self._shared(song_id))

    def keep(self, song_id: str, name: str, data: bytes) -> None:
        """What was worked out from the song need not be worked out again; anything else is not kept with its owner's things."""
        if not DERIVED.fullmatch(name):
            raise SharingError(READ_ONLY)
        self._owner.keep(self._shared(song_id), name, data)

    def run_entry(self, run_id: str) -> RunEntry:
        self._check()
        found = super().run_entry(run_id)
        if not self._shows(found):
            raise SharingError(ENDED)
        return found

    def runs_of(self, song_id: str) -> list[RunEntry]:
        return [run for run in super().runs_of(self._shared(song_id)) if self._shows(run)]

    def find_run(self, song_id: str, settings: Settings) -> RunEntry | None:
        found = super().find_run(self._shared(song_id), settings)
        return found if found is not None and self._shows(found) else None

    def training_refused(self) -> str | None:
        return READ_ONLY

    def _check(self) -> None:
        """Also for who holds this since before the link was taken back."""
        if not self._shares.has(self.share):
            raise SharingError(ENDED)

    def _shared(self, song_id: str) -> str:
        self._check()
        if song_id != self.share.song:
            raise SharingError(ENDED)
        return song_id

    def _shows(self, run: RunEntry) -> bool:
        return run.song_id == self.share.song and self.share.run in (None, run.id)

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise SharingError(READ_ONLY)

    make: Any = _refuse
    add_song: Any = _refuse
    rename: Any = _refuse
    drop: Any = _refuse
    add_run: Any = _refuse
    delete_song: Any = _refuse
    restore_song: Any = _refuse
    delete_run: Any = _refuse
    restore_run: Any = _refuse
    purge: Any = _refuse
    sweep: Any = _refuse
    usage: Any = _refuse
    may_export: Any = _refuse


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()[:32]
