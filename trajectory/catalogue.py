"""The catalogue of a library: what SQLite knows of songs and runs, and one sentence for whatever it or the disk refuses."""

import errno
import logging
import re
import shutil
import sqlite3
import time
import weakref
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trajectory.errors import TrajectoryError

LOG = logging.getLogger(__name__)
CATALOGUE = "catalogue.sqlite3"
BUSY_SECONDS = 30.0  # that one writer waits for the others
ROOM = 1 << 20  # bytes without which SQLite cannot work
UNWRITTEN = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY)
ID = re.compile(r"[0-9a-f]{16}")

# Each step takes a catalogue of the version that is its place here to the next one. Nothing but `add_song` knows what an id is made of.
MIGRATIONS = (
    (
        """CREATE TABLE songs (
            id TEXT PRIMARY KEY, sha256 TEXT NOT NULL, name TEXT NOT NULL, title TEXT NOT NULL, artist TEXT, seconds REAL,
            suffix TEXT NOT NULL, bytes INTEGER NOT NULL, added REAL NOT NULL, deleted_at REAL)""",
        "CREATE UNIQUE INDEX songs_by_sound ON songs (sha256)",
        """CREATE TABLE runs (
            id TEXT PRIMARY KEY, song_id TEXT NOT NULL REFERENCES songs (id) ON DELETE CASCADE, label TEXT NOT NULL, preset TEXT NOT NULL,
            window_seconds REAL NOT NULL, dims INTEGER NOT NULL, scale TEXT NOT NULL, points INTEGER NOT NULL,
            trained_seconds REAL NOT NULL, bytes INTEGER NOT NULL, added REAL NOT NULL, deleted_at REAL)""",
        "CREATE INDEX runs_by_song ON runs (song_id)",
    ),
)
SONGS = """SELECT id, name, title, artist, seconds, suffix, added,
    bytes + (SELECT coalesce(sum(runs.bytes), 0) FROM runs WHERE song_id = songs.id AND runs.deleted_at IS NULL) AS bytes,
    (SELECT count(*) FROM runs WHERE song_id = songs.id AND runs.deleted_at IS NULL) AS runs
    FROM songs WHERE deleted_at IS NULL"""
RUNS = """SELECT runs.id, song_id, label, preset, window_seconds, dims, scale, points, trained_seconds, runs.bytes, runs.added
    FROM runs JOIN songs ON songs.id = song_id WHERE runs.deleted_at IS NULL AND songs.deleted_at IS NULL"""
USAGE = """SELECT coalesce(sum(bytes), 0) AS bytes, coalesce(sum(bytes) FILTER (WHERE live), 0) AS live_bytes,
    coalesce(sum(seconds) FILTER (WHERE live), 0) AS seconds FROM (
        SELECT bytes, coalesce(seconds, bytes / 8000.0) AS seconds, deleted_at IS NULL AS live FROM songs UNION ALL
        SELECT runs.bytes, 0, runs.deleted_at IS NULL AND songs.deleted_at IS NULL FROM runs JOIN songs ON songs.id = song_id)"""
# What comes later is the newer one, whatever the clock says.
ADD_SONG = """INSERT INTO songs (id, sha256, name, title, artist, seconds, suffix, bytes, added)
    VALUES (:id, :sha256, :name, :title, :artist, :seconds, :suffix, :bytes,
        max(:added, (SELECT coalesce(max(added), 0) + 1e-6 FROM songs)))
    ON CONFLICT (sha256) DO UPDATE
    SET suffix = excluded.suffix, added = CASE WHEN deleted_at IS NULL THEN added ELSE excluded.added END, deleted_at = NULL"""
ADD_RUN = """INSERT INTO runs (id, song_id, label, preset, window_seconds, dims, scale, points, trained_seconds, bytes, added)
    VALUES (:id, :song_id, :label, :preset, :window_seconds, :dims, :scale, :points, :trained_seconds, :bytes,
        max(:added, (SELECT coalesce(max(added), 0) + 1e-6 FROM runs)))
    ON CONFLICT (id) DO UPDATE SET points = excluded.points, trained_seconds = excluded.trained_seconds, bytes = excluded.bytes,
    added = CASE WHEN deleted_at IS NULL THEN added ELSE excluded.added END, deleted_at = NULL"""


class LibraryError(TrajectoryError):
    """What the library does not hold, or a disk that does not take it."""


@dataclass(frozen=True, kw_only=True)
class SongEntry:
    """A song as the catalogue knows it."""

    id: str
    name: str  # the file's, as its owner called it
    title: str  # its tag's or its file's, or what `rename` made of it
    artist: str | None
    seconds: float | None  # None where the file does not say
    suffix: str  # of its sound file, from SUFFIXES
    bytes: int  # on disk, its runs included
    runs: int
    added: float  # unix seconds


@dataclass(frozen=True, kw_only=True)
class RunEntry:
    """A run as the catalogue knows it."""

    id: str
    song_id: str
    label: str  # tells it from the song's other runs
    preset: str
    window_seconds: float
    dims: int
    scale: str
    points: int
    trained_seconds: float
    bytes: int
    added: float  # unix seconds


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What a library holds."""

    bytes: int  # also of what was deleted and can still be brought back
    live_bytes: int  # without it
    seconds: float  # of the songs' sound; one that does not say how long it lasts counts as 64 kbit/s


class Catalogue:
    """The SQLite file of a library: a connection for each operation, and one sentence for whatever goes wrong.

    Before `make` there may be no file, and so no song: it reads as empty, and nothing is written. After it a missing file is an error.
    """

    def __init__(self, root: Path, *, of_visitor: bool = False) -> None:
        self.root, self._of_visitor = root, of_visitor  # to whom sentences name no folder of the server
        self._held: weakref.finalize[[], Catalogue] | None = None  # closes the connection that is held
        self._expected = False  # whether there must be a file

    def make(self) -> None:
        """Makes the file where there is none yet, brings it to this version, and holds it open."""
        with self.told(), closing(self._connect()) as connection:
            self._migrate(connection)
        self._expected = True
        self.hold()

    def hold(self) -> None:
        """Keeps a connection: the file's side files stay in being, without which even reading would need room on the disk."""
        if self._held is None and self.is_made():
            with self.told():
                held = self._connect()
                self._held = weakref.finalize(self, held.close)
                held.execute("SELECT count(*) FROM songs").fetchone()

    def rest(self) -> None:
        """Lets go of that connection and its handles; nothing else changes."""
        if self._held is not None:
            self._held()
            self._held = None

    def forget(self) -> None:
        """It was given up with all that it knew: from now on it is empty."""
        self.rest()
        self._expected = False

    def is_made(self) -> bool:
        """Whether there is a file, or must be one."""
        return self._expected or (self.root / CATALOGUE).exists()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        with self.told(), closing(self._connect() if self.is_made() else _empty()) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction, and nobody else's meanwhile; closing undoes what was not committed."""
        if not self.is_made():
            raise LibraryError("this is no longer in the library; add it again")
        with self.reading() as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")

    @contextmanager
    def told(self) -> Iterator[None]:
        """Puts what the disk or SQLite refuses into one sentence."""
        try:
            yield
        except UnicodeEncodeError as error:  # half a letter, in the id of a link that somebody made up
            raise LibraryError("there is nothing with such an id in the library") from error
        except (OSError, sqlite3.Error) as error:
            raise LibraryError(self._sentence(error)) from error

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.root / CATALOGUE, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        connection.row_factory = _named
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")  # what was said to be saved survives a power cut
        connection.execute("PRAGMA wal_autocheckpoint = 1")  # its log never grows, which a full disk would not allow
        return connection

    def _migrate(self, connection: sqlite3.Connection) -> None:
        if _version(connection) == len(MIGRATIONS):
            return
        _switch_to_wal(connection)
        connection.execute("BEGIN IMMEDIATE")
        version = _version(connection)
        if version > len(MIGRATIONS):
            raise LibraryError(f"{self.root} was made by a newer version of this program; update it, or choose another folder")
        if not version and any(
            ID.fullmatch(folder.name) for folder in (self.root / "songs").iterdir()
        ):  # an empty catalogue would take them for orphans
            raise LibraryError(f"the catalogue of {self.root} is missing; put a copy of it back, or move the folder away to begin anew")
        for statement in (statement for step in MIGRATIONS[version:] for statement in step):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        connection.execute("COMMIT")

    def _sentence(self, error: OSError | sqlite3.Error) -> str:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        is_full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        if is_full or code == sqlite3.SQLITE_FULL or (code in UNWRITTEN and _free(self.root) < ROOM):
            where = "try again later" if self._of_visitor else f"free some space for {self.root} and try again"
            return f"the disk is full: {where}; what was kept is still there"
        if isinstance(error, OSError) or code in UNWRITTEN:
            return unusable(self.root, error, of_visitor=self._of_visitor)
        called = "your library" if self._of_visitor else f"the library {self.root}"
        if code == sqlite3.SQLITE_BUSY:
            return f"{called} has been busy for {BUSY_SECONDS:g} s; try again"
        if self._of_visitor:
            LOG.error("the catalogue of %s is damaged: %s", self.root, error)
            return "the catalogue of your library is damaged; whoever runs this app can put a copy of it back"
        return f"the catalogue of {self.root} is damaged ({error}); put a copy of it back, or move the folder away to begin anew"


def unusable(root: Path, error: Exception, *, of_visitor: bool = False) -> str:
    """The sentence for a folder that does not take a library."""
    reason = getattr(error, "strerror", None) or error
    if of_visitor:
        LOG.error("the library %s cannot be written: %s", root, reason)
        return f"your library cannot be written at the moment ({reason}); try again later, and what was kept is still there"
    return f"the library {root} cannot be written ({reason}); allow it, or choose another folder with TRAJECTORY_HOME"


def _free(root: Path) -> int:
    """Bytes of the disk that a library lies on, or would."""
    return shutil.disk_usage(next(folder for folder in (root, *root.parents) if folder.exists())).free


def _empty() -> sqlite3.Connection:
    """What a library reads before it is made."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.row_factory = _named
    for statement in (statement for step in MIGRATIONS for statement in step):
        connection.execute(statement)
    return connection


def _named(cursor: sqlite3.Cursor, values: tuple[Any, ...]) -> dict[str, Any]:
    return {column[0]: value for column, value in zip(cursor.description, values, strict=True)}


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()["user_version"])


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    """Waits by itself: SQLite refuses at once where two make the same new catalogue."""
    until = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return


def song_entry(connection: sqlite3.Connection, song_id: str) -> SongEntry:
    """The song, unless it is deleted or was never there."""
    row = connection.execute(SONGS + " AND id = ?", (song_id,)).fetchone()
    if row is None:
        raise LibraryError("this song is no longer in the library; add it again")
    return SongEntry(**row)


def usage(connection: sqlite3.Connection) -> Usage:
    """What the library holds now."""
    return Usage(**connection.execute(USAGE).fetchone())


def run_entry(connection: sqlite3.Connection, run_id: str) -> RunEntry:
    """The run, unless it or its song is deleted or was never there."""
    row = connection.execute(RUNS + " AND runs.id = ?", (run_id,)).fetchone()
    if row is None:
        raise LibraryError("this run is no longer in the library; train it again")
    return RunEntry(**row)
