"""Songs and runs on disk: a SQLite catalogue, and one folder a song.

Files are written aside and moved to their place while the catalogue's write lock is held, and the row is committed last. So a kill at
any moment leaves whole entries, or folders without a row: nobody sees them, and `sweep` removes them. Names given by people are text
in the catalogue and never part of a path.
"""

import errno
import hashlib
import os
import re
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from trajectory import audio, filing, holding, naming, runs
from trajectory.catalogue import (
    ADD_RUN,
    ADD_SONG,
    ID,
    RUNS,
    SONGS,
    Catalogue,
    LibraryError,
    RunEntry,
    SongEntry,
    Usage,
    run_entry,
    song_entry,
    unusable,
    usage,
)
from trajectory.clocks import steady
from trajectory.errors import TrajectoryError
from trajectory.runs import Run, RunError
from trajectory.settings import AudioLimits, Settings

UNDO_SECONDS = 600.0  # that a deleted song or run can be brought back
RESERVE = 1 << 18  # bytes held back, so that on a full disk a library still opens and songs can be deleted

KEPT_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,60}(\.[a-z0-9]{1,8})?")


def home() -> Path:
    """Where the library lies unless told otherwise: TRAJECTORY_HOME, or this platform's folder for a user's data."""
    chosen = os.environ.get("TRAJECTORY_HOME")
    try:
        if chosen:
            return Path(chosen).expanduser().absolute()
        if sys.platform == "win32":
            folder = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
        elif sys.platform == "darwin":
            folder = Path.home() / "Library" / "Application Support"
        else:
            stated = Path(os.environ.get("XDG_DATA_HOME", ""))
            folder = stated if stated.is_absolute() else Path.home() / ".local" / "share"
    except RuntimeError as error:  # a user without a home, as in many containers
        raise LibraryError("there is no home folder to keep songs in; name a folder in TRAJECTORY_HOME") from error
    return folder / "trajectory"


def run_id(song_id: str, settings: Settings) -> str:
    """The id that a song's run with these settings has or will have."""
    return hashlib.sha256(f"{song_id} {settings.fingerprint()}".encode()).hexdigest()[:16]


class Library:
    """Songs and their runs under one folder, shared by any number of threads and processes."""

    of_visitor = False  # whether sentences go to somebody who is not to know the server's folders

    def __init__(self, root: str | Path, *, look: filing.Look = audio.probe) -> None:
        """`look` says what a new file is: an app that takes strangers' files lets another process do so."""
        self._begin(root, look)
        self.make()

    def _begin(self, root: str | Path, look: filing.Look) -> None:
        self._look = look
        self.root = Path(root).absolute()
        self._temporary = self.root / "temporary"
        self._catalogue = Catalogue(self.root, of_visitor=self.of_visitor)

    def make(self) -> None:
        """Makes what is not there yet of its folders and its catalogue; before anything is added."""
        try:
            for folder in (self.root, self.root / "songs", self._temporary):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                if not os.access(folder, os.W_OK | os.X_OK):
                    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except (OSError, ValueError) as error:
            raise LibraryError(unusable(self.root, error, of_visitor=self.of_visitor)) from error
        with self._reserve():
            self._catalogue.make()

    def add_song(self, source: Path | BinaryIO | bytes, *, name: str, limits: AudioLimits = audio.LIMITS) -> SongEntry:
        """Keeps a file that is music; a song that is here already stays as it is, and a deleted one comes back."""
        name = naming.short(name) or "untitled"
        with filing.opened(source) as stream, self._catalogue.told(), holding.held(self._temporary) as spool:
            file = spool / spool.name  # a name that can be found in a refusal
            sha256 = filing.write(file, filing.blocks(stream, name, limits))
            probe, suffix = filing.probed(file, name, limits, self._look)
            values = {
                "id": sha256[:16],
                "sha256": sha256,
                "name": name,
                "title": naming.short(probe.title) or PurePosixPath(name).stem or name,
                "artist": naming.short(probe.artist) or None,
                "seconds": probe.seconds,
                "suffix": suffix,
                "bytes": file.stat().st_size,
                "added": time.time(),
            }
            with self._catalogue.writing() as connection:
                is_live = connection.execute("SELECT 1 FROM songs WHERE sha256 = ? AND deleted_at IS NULL", (sha256,)).fetchone()
                if not is_live:
                    self._admit(connection, size=file.stat().st_size, seconds=probe.seconds)
                connection.execute(ADD_SONG, values)
                if not is_live:
                    self._readmit(connection)  # the runs that a deleted song had come back with it
                song = song_entry(connection, sha256[:16])
                filing.move(file, self._song_folder(song.id) / f"sound{suffix}")
                return song

    def songs(self, search: str = "") -> list[SongEntry]:
        """The newest first; `search` gives words that title, artist and name must hold between them."""
        words = naming.folded(search).split()
        with self._catalogue.reading() as connection:
            entries = [SongEntry(**row) for row in connection.execute(SONGS + " ORDER BY added DESC, rowid DESC")]
        texts = (naming.folded(f"{song.title}\n{song.artist or ''}\n{song.name}") for song in entries)
        return [song for song, text in zip(entries, texts, strict=True) if all(word in text for word in words)]

    def song(self, song_id: str) -> SongEntry:
        with self._catalogue.reading() as connection:
            return song_entry(connection, song_id)

    def sound(self, song_id: str) -> Path:
        """The song's file, as it was given."""
        song = self.song(song_id)
        return self._song_folder(song.id) / f"sound{song.suffix}"

    def rename(self, song_id: str, title: str) -> SongEntry:
        line = naming.line(title)
        if not line:
            raise LibraryError("a song needs a title; write at least one letter")
        if len(line) > naming.LONGEST_TITLE:
            raise LibraryError(f"a title of {len(line)} letters is too long; {naming.LONGEST_TITLE} are the most")
        with self._catalogue.writing() as connection:
            connection.execute("UPDATE songs SET title = ? WHERE id = ?", (line, song_id))
            return song_entry(connection, song_id)

    def keep(self, song_id: str, name: str, data: bytes) -> None:
        """Keeps what was worked out from a song beside it, under a name of the program's own."""
        _check_kept(name)
        with self._catalogue.told(), holding.held(self._temporary) as spool:
            filing.write(spool / name, [data])
            with self._catalogue.writing() as connection:
                folder = self._song_folder(song_entry(connection, song_id).id)
                self._admit(connection, size=len(data))
                filing.move(spool / name, folder / "kept" / name)
                connection.execute("UPDATE songs SET bytes = ? WHERE id = ?", (self._song_size(song_id), song_id))

    def kept(self, song_id: str, name: str) -> bytes | None:
        _check_kept(name)
        with self._catalogue.told(), suppress(FileNotFoundError):
            return (self._song_folder(self.song(song_id).id) / "kept" / name).read_bytes()
        return None

    def kept_file(self, song_id: str, name: str) -> Path | None:
        """Where it lies, for reading."""
        _check_kept(name)
        place = self._song_folder(self.song(song_id).id) / "kept" / name
        return place if place.is_file() else None

    def kept_files(self, song_id: str, prefix: str) -> list[Path]:
        """Those whose names begin so, the newest first."""
        folder = self._song_folder(self.song(song_id).id) / "kept"
        return sorted(folder.glob(f"{prefix}*"), key=lambda file: -file.stat().st_mtime)

    def holders(self, name: str) -> list[str]:
        """The songs that have a kept file of this name."""
        _check_kept(name)
        return [song.id for song in self.songs() if (self._song_folder(song.id) / "kept" / name).is_file()]

    def drop(self, song_id: str, name: str) -> None:
        """Gives up a kept file; one that is gone already is no error."""
        place = self.kept_file(song_id, name)
        if place is not None:
            place.unlink(missing_ok=True)
            with self._catalogue.writing() as connection:
                connection.execute("UPDATE songs SET bytes = ? WHERE id = ?", (self._song_size(song_id), song_id))

    def add_run(self, song_id: str, run: Run) -> RunEntry:
        """Keeps a run of a song; one with the same settings that still loads stays in its place, since others may be reading it."""
        with self._catalogue.told(), holding.held(self._temporary) as spool:
            fresh = _save(run, spool / "run")
            with self._catalogue.writing() as connection:
                name = run_id(song_entry(connection, song_id).id, run.settings)
                place = self._run_folder(song_id, name)
                there = _whole(place)
                if there is None:
                    self._admit(connection, size=filing.size_of(fresh))
                values = _described(there or run) | {"id": name, "song_id": song_id, "label": naming.label(run.settings, name)}
                connection.execute(ADD_RUN, {**values, "bytes": filing.size_of(place if there else fresh), "added": time.time()})
                if there is None:
                    with suppress(FileNotFoundError):
                        place.rename(spool / "damaged")
                    filing.move(fresh, place)
                return run_entry(connection, name)

    def run(self, run_id: str) -> Run:
        return runs.load(self.place(run_id))

    def run_entry(self, run_id: str) -> RunEntry:
        with self._catalogue.reading() as connection:
            return run_entry(connection, run_id)

    def place(self, run_id: str) -> Path:
        """The run's folder, for reading."""
        entry = self.run_entry(run_id)
        return self._run_folder(entry.song_id, entry.id)

    def runs_of(self, song_id: str) -> list[RunEntry]:
        """The newest first."""
        with self._catalogue.reading() as connection:
            song_entry(connection, song_id)
            rows = connection.execute(RUNS + " AND song_id = ? ORDER BY runs.added DESC, runs.rowid DESC", (song_id,))
            return [RunEntry(**row) for row in rows]

    def find_run(self, song_id: str, settings: Settings) -> RunEntry | None:
        with self._catalogue.reading() as connection:
            row = connection.execute(RUNS + " AND runs.id = ?", (run_id(song_id, settings),)).fetchone()
        return RunEntry(**row) if row else None

    def delete_song(self, song_id: str) -> None:
        """Hides a song and its runs until they are restored or purged; to delete what is gone is no error."""
        with self._reserve(), self._catalogue.writing() as connection:
            connection.execute("UPDATE songs SET deleted_at = ? WHERE id = ? AND deleted_at IS NULL", (steady(), song_id))

    def restore_song(self, song_id: str) -> SongEntry:
        """Brings back a deleted song, with the runs that it had."""
        with self._catalogue.writing() as connection:
            connection.execute("UPDATE songs SET deleted_at = NULL WHERE id = ?", (song_id,))
            self._readmit(connection)
            return song_entry(connection, song_id)

    def delete_run(self, run_id: str) -> None:
        with self._reserve(), self._catalogue.writing() as connection:
            connection.execute("UPDATE runs SET deleted_at = ? WHERE id = ? AND deleted_at IS NULL", (steady(), run_id))

    def restore_run(self, run_id: str) -> RunEntry:
        with self._catalogue.writing() as connection:
            connection.execute("UPDATE runs SET deleted_at = NULL WHERE id = ?", (run_id,))
            self._readmit(connection)
            return run_entry(connection, run_id)

    def purge(self, older_than_seconds: float = UNDO_SECONDS) -> None:
        """Gives up what was deleted so long ago: rows first, so that nothing half removed can be restored."""
        now = steady()
        with self._reserve():
            with self._catalogue.writing() as connection:
                for table in ("runs", "songs"):
                    connection.execute(f"DELETE FROM {table} WHERE deleted_at <= ?", (now - older_than_seconds,))  # noqa: S608
                    connection.execute(f"UPDATE {table} SET deleted_at = ? WHERE deleted_at > ?", (now, now))  # noqa: S608 - by a clock that was ahead
            self.sweep()

    def sweep(self, older_than_seconds: float = holding.STALE_SECONDS) -> None:
        """Removes the folders that no row knows, and what was left unfinished by who was killed; things that it did not make stay."""
        with self._catalogue.told(), holding.held(self._temporary) as spool:
            with self._catalogue.writing() as connection:  # nobody can be between moving files to their place and committing their row
                songs = {row["id"]: row["bytes"] for row in connection.execute("SELECT id, bytes FROM songs")}
                known = {row["id"] for row in connection.execute("SELECT id FROM runs")}
                orphans = [folder for folder in self._folders("songs/*/runs/*") if folder.name not in known]
                orphans += [folder for folder in self._folders("songs/*") if folder.name not in songs]
                for number, folder in enumerate(orphans):
                    folder.rename(spool / str(number))
                grown = [(size, song) for song, told in songs.items() if (size := self._song_size(song)) != told]
                connection.executemany("UPDATE songs SET bytes = ? WHERE id = ?", grown)  # killed between a kept file and its row
            holding.sweep(self._temporary, stale_seconds=older_than_seconds)

    def usage(self) -> Usage:
        with self._catalogue.reading() as connection:
            return usage(connection)

    def disk_use(self) -> int:
        """Bytes of all songs and runs, also of the deleted ones that can still be brought back."""
        return self.usage().bytes

    def training_refused(self) -> str | None:
        """Why nothing can be trained or made here now, if so; on one's own machine everything can."""
        return None

    def may_export(self) -> None:
        """Asked before a film or a file is made of a run; likewise."""

    def _admit(self, connection: sqlite3.Connection, *, size: int, seconds: float | None = 0.0) -> None:
        """Asked before anything is added, so that a library with quotas can refuse; nobody else adds meanwhile."""

    def _readmit(self, connection: sqlite3.Connection) -> None:
        """Asked once something deleted has come back, likewise."""

    def _song_folder(self, song_id: str) -> Path:
        return self.root / "songs" / song_id

    def _song_size(self, song_id: str) -> int:
        """Bytes of the song and of what is kept beside it, its runs apart."""
        return filing.size_of(self._song_folder(song_id)) + filing.size_of(self._song_folder(song_id) / "kept")

    def _run_folder(self, song_id: str, run_id: str) -> Path:
        return self._song_folder(song_id) / "runs" / run_id

    def _folders(self, pattern: str) -> list[Path]:
        return [folder for folder in self.root.glob(pattern) if ID.fullmatch(folder.name)]

    @contextmanager
    def _reserve(self) -> Iterator[None]:
        """Gives up the bytes held back for as long as a full disk must take a little; holds them back again as far as there is room."""
        held = self.root / "reserve"
        with suppress(OSError):
            held.unlink()
        try:
            yield
        finally:
            with suppress(OSError):
                held.write_bytes(os.urandom(RESERVE))


def _check_kept(name: str) -> None:
    if not KEPT_NAME.fullmatch(name):
        raise LibraryError(f"{name[:80]!r} is no name for a kept file; use small letters, digits, '-', '_' and one ending")


def _save(run: Run, folder: Path) -> Path:
    try:
        return runs.save(run, folder)
    except RunError as error:
        if isinstance(error.__cause__, OSError):  # said of the library, not of a folder that nobody knows
            raise error.__cause__ from None
        raise


def _whole(folder: Path) -> Run | None:
    try:
        return runs.load(folder)
    except TrajectoryError:
        return None


def _described(run: Run) -> dict[str, Any]:
    settings = run.settings
    return {
        "preset": settings.preset,
        "window_seconds": settings.window.seconds,
        "dims": settings.model.dims,
        "scale": settings.spectrogram.scale,
        "points": len(run.trajectory.points),
        "trained_seconds": run.training.seconds,
    }
