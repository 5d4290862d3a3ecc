"""What older versions left behind opens; what a newer one left is refused in one sentence.

The run and the rows were made by the first version that had them, and stay as it wrote them.
"""

import io
import json
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

import trajectory
from tests.songs import ROOT
from trajectory import bundles, catalogue, pipeline, runs
from trajectory.catalogue import CATALOGUE, MIGRATIONS, LibraryError
from trajectory.library import Library, run_id
from trajectory.runs import RunError
from trajectory.settings import preset

FIXTURES = ROOT / "tests/fixtures"
RUN = FIXTURES / "run-of-the-first-version"
SONG = ROOT / "tests/truth/loop4bar_120bpm.ogg"
SONG_ID, RUN_ID = "42f80d625058236c", "25348c0ac9205ff2"
VERSIONS = range(1, len(MIGRATIONS) + 1)


def old_library(root: Path, version: int) -> Path:
    """A song and its run as a library of that version kept them."""
    runs_folder = root / "songs" / SONG_ID / "runs"
    runs_folder.mkdir(parents=True)
    shutil.copy(SONG, runs_folder.parent / "sound.ogg")
    shutil.copytree(RUN, runs_folder / RUN_ID)
    with closing(sqlite3.connect(root / CATALOGUE)) as connection:
        connection.executescript((FIXTURES / f"library-{version}.sql").read_text(encoding="utf-8"))
    return root


def schema(root: Path) -> dict[str, str]:
    with closing(sqlite3.connect(root / CATALOGUE)) as connection:
        rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    return {name: re.sub(r"[\s\"]+", " ", sql) for name, sql in rows}


def user_version(root: Path) -> int:
    with closing(sqlite3.connect(root / CATALOGUE)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def test_every_version_of_the_library_has_its_fixture() -> None:
    assert {path.name for path in FIXTURES.glob("library-*.sql")} == {f"library-{version}.sql" for version in VERSIONS}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_library_of_an_older_version_opens_with_all_that_is_in_it(version: int, tmp_path: Path) -> None:
    shelf = Library(old_library(tmp_path, version))
    (song,) = shelf.songs("title ärger")
    assert (song.id, song.name, song.title, song.runs, song.seconds) == (SONG_ID, "ärger <b>.ogg", "A title of one's own", 1, 32.0)
    assert shelf.sound(SONG_ID).read_bytes() == SONG.read_bytes()
    (entry,) = shelf.runs_of(SONG_ID)
    assert (entry.id, entry.preset, entry.points) == (RUN_ID, "conditioned", 108)
    run = shelf.run(RUN_ID)
    assert run_id(SONG_ID, run.settings) == RUN_ID
    assert user_version(tmp_path) == len(MIGRATIONS)
    assert shelf.add_song(SONG, name="again.ogg").id == SONG_ID
    assert shelf.add_run(SONG_ID, run).id == RUN_ID
    shelf.delete_song(SONG_ID)
    assert shelf.songs() == []


@pytest.mark.parametrize("version", VERSIONS)
def test_an_older_library_becomes_what_a_new_one_is(version: int, tmp_path: Path) -> None:
    Library(old_library(tmp_path / "old", version))
    Library(tmp_path / "new")
    assert schema(tmp_path / "old") == schema(tmp_path / "new")


def test_a_step_to_the_next_version_keeps_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old_library(tmp_path, len(MIGRATIONS))
    monkeypatch.setattr(catalogue, "MIGRATIONS", (*MIGRATIONS, ("ALTER TABLE songs ADD COLUMN colour TEXT",)))
    assert [song.id for song in Library(tmp_path).songs()] == [SONG_ID]
    assert user_version(tmp_path) == len(MIGRATIONS) + 1
    assert "colour" in schema(tmp_path)["songs"]


def test_a_step_that_fails_leaves_the_library_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old_library(tmp_path, len(MIGRATIONS))
    with monkeypatch.context() as patch:
        patch.setattr(catalogue, "MIGRATIONS", (*MIGRATIONS, ("ALTER TABLE songs ADD COLUMN colour TEXT", "ALTER TABLE nowhere ADD x")))
        with pytest.raises(LibraryError):
            Library(tmp_path)
    assert user_version(tmp_path) == len(MIGRATIONS)
    assert "colour" not in schema(tmp_path)["songs"]
    assert [song.id for song in Library(tmp_path).songs()] == [SONG_ID]


def test_a_library_of_a_newer_version_is_refused_in_one_sentence(tmp_path: Path) -> None:
    old_library(tmp_path, len(MIGRATIONS))
    with closing(sqlite3.connect(tmp_path / CATALOGUE)) as connection:
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    with pytest.raises(LibraryError, match="was made by a newer version of this program; update it, or choose another folder"):
        Library(tmp_path)
    assert user_version(tmp_path) == len(MIGRATIONS) + 1


def test_a_run_of_the_first_version_opens_and_does_all_that_a_run_does(tmp_path: Path) -> None:
    run = trajectory.open(RUN)
    assert json.loads((RUN / "settings.json").read_text(encoding="utf-8"))["settings"].keys() < run.settings.to_dict().keys()
    assert run.settings.fingerprint() == "6e23b7f59c66cd2c"  # as its own version said
    assert (run.settings.preset, run.trajectory.points.shape) == ("conditioned", (108, 3))
    slice_of_sound = trajectory.decode(run, run.trajectory.points[10])
    assert (slice_of_sound.mean(), slice_of_sound[0, 10, 5]) == pytest.approx((0.024148218, 0.15963297), rel=1e-4)
    for method in ("knn", "branch"):
        found = pipeline.foretell(run, method, start=2.0, steps=5, protocol="past-only")
        assert np.isfinite(found.path).all()
    bundles.write(kept := io.BytesIO(), run, features=None, sound=None, hue="time")
    assert bundles.import_bundle(kept.getvalue()).run.settings == run.settings
    again = runs.load(runs.save(run, tmp_path / "run"))
    assert again.settings == run.settings
    np.testing.assert_array_equal(again.trajectory.points, run.trajectory.points)


def changed(folder: Path, **values: object) -> Path:
    shutil.copytree(RUN, folder)
    about = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    (folder / "settings.json").write_text(json.dumps(about | values), encoding="utf-8")
    return folder


def test_a_run_of_a_newer_version_is_refused_in_one_sentence(tmp_path: Path) -> None:
    newer = changed(tmp_path / "run", version=runs.VERSION + 1)
    with pytest.raises(RunError, match=r"run was saved by a newer version of this program; update it, or train the song again$"):
        runs.load(newer)
    wider = changed(tmp_path / "wider", settings=preset("pure").to_dict() | {"colour": "red"})
    with pytest.raises(trajectory.TrajectoryError, match="settings has no field 'colour'; it may come from another version"):
        runs.load(wider)


def test_a_run_says_of_which_version_it_is(tmp_path: Path) -> None:
    folder = runs.save(trajectory.open(RUN), tmp_path / "run")
    assert json.loads((folder / "settings.json").read_text(encoding="utf-8"))["version"] == runs.VERSION
