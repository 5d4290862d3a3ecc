import dataclasses
import errno
import hashlib
import io
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests import audio_files
from tests.children import line_of
from tests.test_runs import assert_equal, make_run
from trajectory import audio, catalogue, filing, holding, library, runs
from trajectory.library import Library, LibraryError, home, run_id
from trajectory.runs import Run
from trajectory.settings import AudioLimits, SectionSettings, Settings, SpectrogramSettings, TrainingSettings, WindowSettings, preset

ROOT = Path(__file__).parents[1]
HOSTILE = {
    "../../x": "../../x",
    "a\0b\n.mp3": "a b .mp3",
    "x" * 10_000: "x" * 199 + "…",
    "\u202egnp.exe": "\u202egnp.exe",
    "🎵👩‍🚀.wav": "🎵👩‍🚀.wav",
    "<script>alert(1)</script>": "<script>alert(1)</script>",
    "'; DROP TABLE songs; --": "'; DROP TABLE songs; --",
    "half a letter \udcff.wav": "half a letter .wav",
    "/etc/passwd": "/etc/passwd",
    " \t ": "untitled",
}


def song_bytes(seed: int = 0, **tags: str) -> bytes:
    buffer = io.BytesIO()
    with soundfile.SoundFile(buffer, "w", 8_000, 1, format="WAV", subtype="PCM_16") as file:
        for name, text in tags.items():
            setattr(file, name, text)
        file.write(audio_files.noise(8_000, 0.5, seed))
    return buffer.getvalue()


def run_with(seed: int = 0, **stages: Any) -> Run:
    return dataclasses.replace(make_run(seed), settings=preset("conditioned", **stages))


def files(root: Path) -> list[str]:
    """All that lies below songs/ and temporary/."""
    return sorted(str(path.relative_to(root)) for place in ("songs", "temporary") for path in (root / place).rglob("*"))


def assert_consistent(root: Path) -> None:
    """What is listed is whole, and nothing else is there."""
    shelf = Library(root)
    shelf.sweep(older_than_seconds=-1)
    expected = set()
    for song in shelf.songs():
        assert hashlib.sha256(shelf.sound(song.id).read_bytes()).hexdigest()[:16] == song.id
        expected |= {song.id} | {run.id for run in shelf.runs_of(song.id)}
        for entry in shelf.runs_of(song.id):
            assert run_id(song.id, shelf.run(entry.id).settings) == entry.id
    with sqlite3.connect(root / catalogue.CATALOGUE) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        hidden = {row[0] for row in connection.execute("SELECT id FROM songs UNION SELECT id FROM runs")}
    connection.close()
    folders = {Path(name).name for name in files(root) if catalogue.ID.fullmatch(Path(name).name)}
    assert expected <= folders == hidden
    assert not list((root / "temporary").iterdir())


def test_a_song_comes_back_as_it_was_given(tmp_path: Path) -> None:
    data = song_bytes(title="Ärger", artist="Müller")
    before = time.time()
    song = Library(tmp_path).add_song(data, name="track 1.wav")
    again = Library(tmp_path)
    assert song.id == hashlib.sha256(data).hexdigest()[:16]
    assert (song.name, song.title, song.artist, song.seconds, song.bytes, song.runs) == (
        "track 1.wav",
        "Ärger",
        "Müller",
        0.5,
        len(data),
        0,
    )
    assert before <= song.added <= time.time()
    assert again.songs() == [song] == [again.song(song.id)]
    assert again.sound(song.id).read_bytes() == data
    assert files(tmp_path) == ["songs/" + song.id, f"songs/{song.id}/sound.wav"]


def test_a_path_a_stream_and_bytes_are_one_song(tmp_path: Path) -> None:
    shelf = Library(tmp_path / "library")
    (tmp_path / "a.wav").write_bytes(song_bytes())
    stream = io.BytesIO(song_bytes())
    stream.read()  # as a page does before it hands it over
    entries = [shelf.add_song(source, name="a.wav") for source in (tmp_path / "a.wav", stream, song_bytes())]
    assert entries[0] == entries[1] == entries[2]
    assert len(shelf.songs()) == 1


@pytest.mark.parametrize("kind", audio_files.KINDS)
def test_the_suffix_says_what_the_file_is_and_not_what_it_is_called(tmp_path: Path, kind: str) -> None:
    source = audio_files.write(tmp_path / f"x.{kind}", audio_files.click(48_000), 48_000)
    shelf = Library(tmp_path / "library")
    song = shelf.add_song(source, name="tune.exe")
    assert song.suffix == {"opus": ".ogg", "mp4": ".m4a", "mov": ".m4a"}.get(kind, f".{kind}")
    assert audio_files.moment(audio.load(shelf.sound(song.id)).samples) == pytest.approx(1.0, abs=0.06)


@pytest.mark.parametrize(("name", "shown"), HOSTILE.items(), ids=range(len(HOSTILE)))
def test_a_hostile_name_is_text_and_no_path(tmp_path: Path, name: str, shown: str) -> None:
    shelf = Library(tmp_path / "library")
    song = shelf.add_song(song_bytes(title=shown), name=name)
    assert shelf.song(song.id).name == shown
    assert files(tmp_path / "library") == ["songs/" + song.id, f"songs/{song.id}/sound.wav"]
    assert [path.name for path in tmp_path.iterdir()] == ["library"]


@pytest.mark.parametrize("data", [b"", b"no music", b"RIFF" + bytes(100), song_bytes()[:30]])
def test_what_is_no_music_leaves_no_trace_and_is_called_by_its_name(tmp_path: Path, data: bytes) -> None:
    shelf = Library(tmp_path)
    with pytest.raises(audio.AudioError, match=r"^my <b>thesis</b>\.doc "):
        shelf.add_song(data, name="my <b>thesis</b>.doc")
    assert not files(tmp_path)
    assert not shelf.songs()


def test_a_song_that_is_too_large_is_refused_while_it_comes_in(tmp_path: Path) -> None:
    class Endless(io.RawIOBase):
        given = 0

        def seekable(self) -> bool:
            return False

        def read(self, size: int = -1) -> bytes:
            self.given += size
            return bytes(size)

    stream = Endless()
    with pytest.raises(LibraryError, match="more than 2 MB"):
        Library(tmp_path).add_song(stream, name="endless.wav", limits=AudioLimits(bytes=2_000_000))  # type: ignore[arg-type]
    assert stream.given < 4_000_000
    assert not files(tmp_path)


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for source in (tmp_path / "none.wav", tmp_path, tmp_path / "pipe", tmp_path / ("x" * 300)):
        with pytest.raises(LibraryError, match=re.escape(str(source)[:80])):
            Library(tmp_path / "library").add_song(source, name="x")


def test_songs_are_found_by_words_of_any_script_and_case(tmp_path: Path) -> None:
    shelf = Library(tmp_path)
    first = shelf.add_song(song_bytes(0, title="Straße nach Süden", artist="Ärger"), name="100%_a.wav")
    second = shelf.add_song(song_bytes(1, title="音の道", artist="Ärger"), name="two.wav")
    found = {
        words: [song.id for song in shelf.songs(words)] for words in ("", "ärger", "STRASSE a\u0308rger", "音", "%", "_", "\\", "two süden")
    }
    assert found == {
        "": [second.id, first.id],
        "ärger": [second.id, first.id],
        "STRASSE a\u0308rger": [first.id],
        "音": [second.id],
        "%": [first.id],
        "_": [first.id],
        "\\": [],
        "two süden": [],
    }


def test_a_title_can_be_changed_within_reason(tmp_path: Path) -> None:
    shelf = Library(tmp_path)
    song = shelf.add_song(song_bytes(), name="some/where/tune.old.wav")
    assert song.title == "tune.old"
    assert shelf.rename(song.id, "  The\nShape  ").title == "The Shape" == shelf.song(song.id).title
    for title, sentence in (("", "needs a title"), (" \0 ", "needs a title"), ("x" * 201, "of 201 letters is too long")):
        with pytest.raises(LibraryError, match=sentence):
            shelf.rename(song.id, title)
    assert shelf.rename(song.id, "x" * 200).title == "x" * 200
    assert shelf.add_song(song_bytes(), name="another name.wav") == shelf.song(song.id)


def test_a_run_comes_back_and_is_found_by_its_settings(tmp_path: Path) -> None:
    shelf = Library(tmp_path)
    song = shelf.add_song(song_bytes(), name="a.wav")
    run = make_run()
    assert shelf.find_run(song.id, run.settings) is None
    entry = shelf.add_run(song.id, run)
    assert entry.id == run_id(song.id, run.settings)
    assert (entry.song_id, entry.preset, entry.window_seconds, entry.dims, entry.scale) == (song.id, "conditioned", 0.5, 3, "linear")
    assert (entry.points, entry.trained_seconds, entry.label) == (50, 1.5, "conditioned · 0.5 s · linear · 3D")
    assert_equal(shelf.run(entry.id), run)
    assert shelf.runs_of(song.id) == [entry] == [shelf.run_entry(entry.id)] == [shelf.find_run(song.id, run.settings)]
    assert {path.name for path in shelf.place(entry.id).iterdir()} == set(runs.FILES)
    assert entry.bytes == sum(path.stat().st_size for path in shelf.place(entry.id).iterdir())
    assert (shelf.song(song.id).runs, shelf.song(song.id).bytes) == (1, len(song_bytes()) + entry.bytes)


def test_each_settings_make_a_run_of_their_own_with_a_label_of_its_own(tmp_path: Path) -> None:
    shelf = Library(tmp_path)
    song = shelf.add_song(song_bytes(), name="a.wav")
    made = [
        make_run(),
        run_with(window=WindowSettings(seconds=2.0)),
        run_with(section=SectionSettings(start=1.5, stop=90.0)),
        run_with(section=SectionSettings(start=1.5)),
        run_with(spectrogram=SpectrogramSettings(scale="mel")),
        run_with(training=TrainingSettings(seed=1)),
    ]
    entries = [shelf.add_run(song.id, run) for run in made]
    assert shelf.runs_of(song.id) == entries[::-1]
    assert len({entry.id for entry in entries}) == len({entry.label for entry in entries}) == len(made)
    assert entries[2].label == "conditioned · 0.5 s · linear · 3D · 1.5 s to 1:30"
    assert entries[5].label == f"conditioned · 0.5 s · linear · 3D · {entries[5].id[:4]}"
    other = shelf.add_song(song_bytes(1), name="b.wav")
    assert run_id(other.id, make_run().settings) != entries[0].id
    assert not shelf.runs_of(other.id)


def test_where_a_run_was_computed_does_not_make_it_another(tmp_path: Path) -> None:
    shelf = Library(tmp_path)
    song = shelf.add_song(song_bytes(), name="a.wav")
    first = shelf.add_run(song.id, make_run(0))
    again = shelf.add_run(song.id, run_with(1, training=TrainingSettings(device="cpu")))
    assert again == first
    assert_equal(shelf.run(first.id), make_run(0))


def test_a_damaged_run_is_replaced_when_it_is_made_again(tmp_path: Path) -> None:
    shelf = Library(tmp_path)
    song = shelf.add_song(song_bytes(), name="a.wav")
    entry = shelf.add_run(song.id, make_run())
    (shelf.place(entry.id) / "model.safetensors").write_bytes(b"")
    with pytest.raises(runs.RunError, match="train it again"):
        shelf.run(entry.id)
    shelf.add_run(song.id, make_run(1))
    assert_equal(shelf.run(entry.id), make_run(1))
    shutil.rmtree(shelf.place(entry.id))
    assert shelf.add_run(song.id, make_run()) == entry
    assert_consistent(tmp_path)


def test_small_files_are_kept_beside_their_song(tmp_path: Path) -> None:
    shelf = Library(tmp_path)
    song = shelf.add_song(song_bytes(), name="a.wav")
    assert shelf.kept(song.id, "features.npz") is None
    shelf.keep(song.id, "features.npz", b"12345")
    shelf.keep(song.id, "features.npz", b"123")
    assert shelf.kept(song.id, "features.npz") == b"123"
    assert shelf.kept_file(song.id, "features.npz").read_bytes() == b"123"
    assert shelf.kept_file(song.id, "other.npz") is None
    assert [file.name for file in shelf.kept_files(song.id, "feat")] == ["features.npz"]
    assert shelf.song(song.id).bytes == len(song_bytes()) + 3 == shelf.disk_use()
    shelf.drop(song.id, "features.npz")
    shelf.drop(song.id, "features.npz")
    assert shelf.kept_files(song.id, "feat") == []
    assert shelf.song(song.id).bytes == len(song_bytes()) == shelf.disk_use()
    shelf.keep(song.id, "features.npz", b"123")
    for name in ("../sound.wav", "a/b", "", ".", "..", "a\0", "A", "x" * 100, "a.b.c/", "features.npz\n"):
        with pytest.raises(LibraryError, match="no name for a kept file"):
            shelf.keep(song.id, name, b"")
    shelf.delete_song(song.id)
    with pytest.raises(LibraryError, match="no longer in the library"):
        shelf.kept(song.id, "features.npz")
    with pytest.raises(LibraryError, match="no longer in the library"):
        shelf.keep(song.id, "features.npz", b"late")
    assert shelf.restore_song(song.id).bytes == len(song_bytes()) + 3


def test_what_is_deleted_is_hidden_at_once_and_comes_back_whole(tmp_path: Path) -> None:
    shelf = Library(tmp_path)
    song = shelf.add_song(song_bytes(), name="a.wav")
    kept, dropped = shelf.add_run(song.id, make_run()), shelf.add_run(song.id, run_with(window=WindowSettings(seconds=2.0)))
    whole = shelf.song(song.id)
    shelf.delete_run(dropped.id)
    assert shelf.runs_of(song.id) == [kept]
    assert shelf.song(song.id).bytes == whole.bytes - dropped.bytes
    shelf.delete_song(song.id)
    shelf.delete_song(song.id)  # from another tab
    assert not shelf.songs()
    for ask in (shelf.song, shelf.sound, shelf.runs_of, lambda of: shelf.rename(of, "x"), lambda of: shelf.add_run(of, make_run())):
        with pytest.raises(LibraryError, match="this song is no longer in the library"):
            ask(song.id)
    for ask in (shelf.run, shelf.run_entry, shelf.place, shelf.restore_run):
        with pytest.raises(LibraryError, match="this run is no longer in the library"):
            ask(kept.id)
    assert shelf.find_run(song.id, make_run().settings) is None
    assert shelf.disk_use() == whole.bytes
    assert shelf.restore_song(song.id).runs == 1
    assert shelf.restore_run(dropped.id) == dropped
    assert shelf.songs() == [whole]


def test_what_is_added_again_comes_back_from_the_deleted(tmp_path: Path) -> None:
    shelf = Library(tmp_path)
    song, other = shelf.add_song(song_bytes(0), name="a.wav"), shelf.add_song(song_bytes(1), name="b.wav")
    entry = shelf.add_run(song.id, make_run())
    shelf.delete_run(entry.id)
    shelf.delete_song(song.id)
    assert shelf.add_song(song_bytes(0), name="c.wav").name == "a.wav"
    assert [found.id for found in shelf.songs()] == [song.id, other.id]
    assert not shelf.runs_of(song.id)
    assert shelf.add_run(song.id, make_run()).id == entry.id


def test_a_purge_takes_what_was_deleted_long_enough_ago(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = Library(tmp_path)
    old, new, stays = (shelf.add_song(song_bytes(seed), name=f"{seed}.wav") for seed in range(3))
    old_run, stays_run = shelf.add_run(old.id, make_run()), shelf.add_run(stays.id, make_run())
    gone_run = shelf.add_run(stays.id, run_with(window=WindowSettings(seconds=2.0)))
    now = time.time()
    for age, delete, entry in ((601, shelf.delete_song, old), (601, shelf.delete_run, gone_run), (599, shelf.delete_song, new)):
        monkeypatch.setattr(library, "steady", lambda age=age: now - age)
        delete(entry.id)
    monkeypatch.setattr(library, "steady", lambda: now)
    shelf.delete_song(old.id)  # in another tab, which does not begin its time anew
    shelf.purge()
    assert {path.name for path in (tmp_path / "songs").iterdir()} == {new.id, stays.id}
    assert (
        [run.id for run in shelf.runs_of(stays.id)] == [stays_run.id] == [path.name for path in shelf.place(stays_run.id).parent.iterdir()]
    )
    for restore, entry in ((shelf.restore_song, old), (shelf.restore_run, old_run), (shelf.restore_run, gone_run)):
        with pytest.raises(LibraryError, match="no longer in the library"):
            restore(entry.id)
    assert shelf.restore_song(new.id) == new
    assert shelf.disk_use() == sum(song.bytes for song in shelf.songs())
    assert_consistent(tmp_path)


@pytest.mark.parametrize("made_up", ["", "../..", "0" * 16, "%", "\0", "half \udcff", "x" * 10_000])
def test_an_id_that_somebody_made_up_gives_a_sentence(tmp_path: Path, made_up: str) -> None:
    shelf = Library(tmp_path)
    shelf.add_song(song_bytes(), name="a.wav")
    for ask in (shelf.song, shelf.sound, shelf.run, shelf.place, shelf.runs_of, shelf.restore_song, shelf.restore_run):
        with pytest.raises(LibraryError, match="in the library"):
            ask(made_up)
    assert len(shelf.songs()) == 1


def test_a_sweep_takes_its_own_orphans_and_nothing_else(tmp_path: Path) -> None:
    shelf = Library(tmp_path)
    song = shelf.add_song(song_bytes(), name="a.wav")
    entry = shelf.add_run(song.id, make_run())
    notes = [tmp_path / "notes.txt", tmp_path / "songs" / "my notes.txt", tmp_path / "songs" / song.id / "runs" / "notes"]
    for path in notes:
        path.write_text("about it")
    orphans = [
        tmp_path / "songs" / ("a" * 16),
        shelf.place(entry.id).parent / ("b" * 16),
        tmp_path / "songs" / ("a" * 16) / "runs" / ("c" * 16),
    ]
    stale, fresh = tmp_path / "temporary" / "stale", tmp_path / "temporary" / "fresh"
    for folder in (*orphans, stale, fresh):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "sound.wav").write_bytes(b"half")
    os.utime(stale, (time.time() - 4_000, time.time() - 4_000))
    shelf.sweep()
    assert not any(folder.exists() for folder in (*orphans, stale))
    assert fresh.exists()
    assert all(path.exists() for path in notes)
    assert shelf.songs()[0].runs == 1
    assert_equal(shelf.run(entry.id), make_run())


FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("place", ["write", "fsync", "savez", "mkstemp", "replace"])
def test_a_full_disk_is_one_sentence_and_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    shelf = Library(tmp_path)
    song = shelf.add_song(song_bytes(), name="a.wav")
    before = files(tmp_path)

    def full(*_: object, **__: object) -> None:
        raise FULL

    holder, name = {
        "write": (filing, "write"),
        "fsync": (filing.os, "fsync"),
        "savez": (np, "savez"),
        "mkstemp": (holding.tempfile, "mkstemp"),
        "replace": (Path, "replace"),
    }[place]
    monkeypatch.setattr(holder, name, full)
    actions = {
        "song": lambda: shelf.add_song(song_bytes(1), name="b.wav"),
        "run": lambda: shelf.add_run(song.id, make_run()),
        "kept": lambda: shelf.keep(song.id, "features.npz", b"123"),
    }
    for action in {"write": ["song", "kept"], "savez": ["run"]}.get(place, list(actions)):
        with pytest.raises(LibraryError, match="the disk is full"):
            actions[action]()
    monkeypatch.undo()
    assert [found.id for found in shelf.songs()] == [song.id]
    shelf.sweep(older_than_seconds=-1)
    assert [name for name in files(tmp_path) if not name.endswith(("runs", "kept"))] == before


def test_a_catalogue_that_cannot_grow_leaves_the_songs_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = Library(tmp_path)
    connect = sqlite3.connect

    def small(*args: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*args, **options)
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")
        return connection

    monkeypatch.setattr(catalogue.sqlite3, "connect", small)
    added: list[str] = []

    def fill() -> None:
        for seed in range(50):
            added.append(shelf.add_song(song_bytes(seed), name="x" * 200).id)  # noqa: PERF401 - it ends by raising

    with pytest.raises(LibraryError, match="the disk is full"):
        fill()
    monkeypatch.undo()
    assert 0 < len(added) < 50
    assert [song.id for song in shelf.songs()] == added[::-1]
    assert_consistent(tmp_path)


def test_room_is_held_back_for_what_frees_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = Library(tmp_path)
    song = shelf.add_song(song_bytes(), name="a.wav")
    reserve = tmp_path / "reserve"
    assert reserve.stat().st_size == library.RESERVE
    held = []
    writing = catalogue.Catalogue.writing

    def watched(watched: catalogue.Catalogue) -> Any:
        held.append(reserve.exists())
        return writing(watched)

    monkeypatch.setattr(catalogue.Catalogue, "writing", watched)
    shelf.rename(song.id, "New")
    shelf.delete_run("0" * 16)
    shelf.delete_song(song.id)
    shelf.purge(-1)
    assert held == [True, False, False, False, False]  # a purge deletes rows, then sweeps
    assert reserve.stat().st_size == library.RESERVE
    assert not files(tmp_path)


def test_a_root_that_takes_nothing_is_refused_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("a note")
    for root in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/nothing"), "a\0b", tmp_path / ("x" * 300)):
        with pytest.raises(LibraryError, match=r"the library .* cannot be written .* TRAJECTORY_HOME"):
            Library(root)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(LibraryError, match="Permission denied"):
        Library(tmp_path / "read-only")


@pytest.mark.parametrize("harm", ["text", "cut", "holes"])
def test_a_damaged_catalogue_is_told_and_touches_no_song(tmp_path: Path, harm: str) -> None:
    shelf = Library(tmp_path / "made")
    for seed in range(3):
        shelf.add_song(song_bytes(seed), name="a.wav")
    shutil.copytree(tmp_path / "made", tmp_path / "harmed", ignore=shutil.ignore_patterns("*-wal", "*-shm"))
    path = tmp_path / "harmed" / catalogue.CATALOGUE
    whole = path.read_bytes()
    path.write_bytes({"text": b"not a database" * 1000, "cut": whole[:5000], "holes": whole[:100] + bytes(len(whole) - 100)}[harm])
    with pytest.raises(LibraryError, match=r"catalogue of .*harmed is damaged .* put a copy of it back"):
        Library(tmp_path / "harmed").songs()
    assert files(tmp_path / "harmed") == files(tmp_path / "made")


def test_songs_without_their_catalogue_are_not_taken_for_orphans(tmp_path: Path) -> None:
    Library(tmp_path / "made").add_song(song_bytes(), name="a.wav")
    shutil.copytree(tmp_path / "made" / "songs", tmp_path / "lost" / "songs")
    for _ in range(2):
        with pytest.raises(LibraryError, match=r"catalogue of .* is missing"):
            Library(tmp_path / "lost")
    assert files(tmp_path / "lost") == files(tmp_path / "made")


def test_a_catalogue_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    Library(tmp_path)
    with sqlite3.connect(tmp_path / catalogue.CATALOGUE) as connection:
        connection.execute(f"PRAGMA user_version = {len(catalogue.MIGRATIONS) + 1}")
    connection.close()
    with pytest.raises(LibraryError, match="newer version of this program"):
        Library(tmp_path)


def test_a_catalogue_is_taken_to_the_newest_version_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    song = Library(tmp_path).add_song(song_bytes(), name="a.wav")
    monkeypatch.setattr(
        catalogue, "MIGRATIONS", (*catalogue.MIGRATIONS, ("ALTER TABLE songs ADD COLUMN owner TEXT", "UPDATE songs SET owner = 'me'"))
    )
    for _ in range(2):
        assert Library(tmp_path).songs() == [song]
    with sqlite3.connect(tmp_path / catalogue.CATALOGUE) as connection:
        assert connection.execute("SELECT owner FROM songs").fetchall() == [("me",)]
    connection.close()


def test_a_library_that_somebody_holds_for_too_long_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = Library(tmp_path)
    song = shelf.add_song(song_bytes(), name="a.wav")
    monkeypatch.setattr(catalogue, "BUSY_SECONDS", 0.05)
    with sqlite3.connect(tmp_path / catalogue.CATALOGUE, isolation_level=None) as holder:
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(LibraryError, match="busy"):
            shelf.delete_song(song.id)
        assert shelf.songs() == [song]
    holder.close()


def test_the_home_follows_the_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TRAJECTORY_HOME", "XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/me")
    found = {}
    for platform in ("linux", "darwin", "win32"):
        monkeypatch.setattr(sys, "platform", platform)
        found[platform] = home().as_posix()
    assert found == {
        "linux": "/home/me/.local/share/trajectory",
        "darwin": "/home/me/Library/Application Support/trajectory",
        "win32": "/home/me/AppData/Local/trajectory",
    }
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_DATA_HOME", "relative")  # which the standard says to ignore
    assert home() == Path("/home/me/.local/share/trajectory")
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert home() == Path("/data/trajectory")
    monkeypatch.setenv("TRAJECTORY_HOME", "~/songs")
    assert home() == Path("/home/me/songs")


def test_a_new_library_waits_for_another_that_is_just_made_there(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / catalogue.CATALOGUE, isolation_level=None, check_same_thread=False) as other:
        other.execute("BEGIN IMMEDIATE")
        threading.Timer(0.2, other.execute, ["COMMIT"]).start()
        assert Library(tmp_path).songs() == []
    other.close()


def churn(root: str, seed: int) -> None:
    """Adds, deletes and purges the same few songs from several threads; ends with a line for each failure that is none of theirs."""
    failures: list[str] = []

    def work(number: int) -> None:
        shelf, choose = Library(root), np.random.default_rng(seed * 100 + number)
        acts = (shelf.delete_song, shelf.restore_song, lambda _: shelf.purge(0), lambda _: shelf.songs())
        for _ in range(8):
            try:
                song = shelf.add_song(song_bytes(int(choose.integers(4))), name="a.wav")
                shelf.run(shelf.add_run(song.id, run_with(training=TrainingSettings(seed=int(choose.integers(2))))).id)
                acts[int(choose.integers(4))](song.id)
            except (LibraryError, runs.RunError) as error:
                if not re.search("no longer in the library|there is no run at", str(error)):  # deleted by another, purged while it was read
                    failures.append(str(error))

    with ThreadPoolExecutor(4) as pool:
        failures += [repr(job.exception()) for job in [pool.submit(work, number) for number in range(4)] if job.exception()]
    sys.exit("\n".join(failures) or 0)


def test_processes_and_threads_share_a_library(tmp_path: Path) -> None:
    code = "import sys; from tests.test_library import churn; churn(sys.argv[1], int(sys.argv[2]))"
    workers = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "shelf"), str(seed)], cwd=ROOT, stderr=subprocess.PIPE, text=True)
        for seed in range(2)
    ]
    said = [worker.communicate(timeout=60)[1] for worker in workers]
    assert said == ["", ""]
    assert_consistent(tmp_path / "shelf")


def write_forever(root: str, seed: int) -> None:
    """Says each thing after it is kept, and before it is deleted."""
    shelf, choose = Library(root), np.random.default_rng(seed)
    shelf.purge(0)
    while True:
        song = shelf.add_song(song_bytes(int(choose.integers(1 << 30))), name="a.wav").id
        print("kept", song, flush=True)
        for number in range(2):
            print("kept", shelf.add_run(song, run_with(training=TrainingSettings(seed=number))).id, song, flush=True)
        if choose.random() < 0.5:
            print("gone", song, flush=True)
            shelf.delete_song(song)
            shelf.purge(0)


def test_what_was_said_to_be_kept_outlives_a_kill_at_any_moment(tmp_path: Path) -> None:
    code = "import sys; from tests.test_library import write_forever; write_forever(sys.argv[1], int(sys.argv[2]))"
    choose = np.random.default_rng(1)
    kept: dict[str, str] = {}
    for kill in range(4):
        writer = subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(kill)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        said = [line_of(writer) for _ in range(int(choose.integers(1, 8)))]
        time.sleep(choose.uniform(0, 0.03))
        writer.kill()
        said += writer.stdout.read().splitlines()  # with what `line_of` has read ahead, which `communicate` would pass over
        writer.stdout.close()
        writer.wait(60)
        for word, *ids in (line.split() for line in said):
            if word == "kept":
                kept[ids[0]] = ids[-1]
            else:
                kept = {name: song for name, song in kept.items() if song != ids[0]}
    shelf = Library(tmp_path)
    found = {song.id for song in shelf.songs()} | {run.id for song in shelf.songs() for run in shelf.runs_of(song.id)}
    assert kept.keys() <= found
    assert kept
    assert_consistent(tmp_path)


def test_the_id_of_a_run_is_known_before_it_is_made() -> None:
    settings = preset("pure")
    assert run_id("0" * 16, settings) == run_id("0" * 16, Settings.from_dict(settings.to_dict()))
    assert run_id("0" * 16, settings) != run_id("1" + "0" * 15, settings)
    assert re.fullmatch("[0-9a-f]{16}", run_id("0" * 16, settings))
