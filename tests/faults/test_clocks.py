"""The clock of the machine is set back by an hour, and forward by a year, while everything runs."""

import struct
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.faults.killing import Victim, until
from tests.faults.promises import Promises
from tests.test_library import run_with, song_bytes
from tests.test_runs import make_run
from trajectory import library
from trajectory.library import Library, LibraryError
from trajectory.settings import WindowSettings

HOUR, YEAR = 3_600.0, 365 * 86_400.0
JUMPING = Path(__file__).parent / "jumping"


@pytest.fixture
def ahead(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets the clock that everything here reads."""
    now = time.time
    return lambda seconds: monkeypatch.setattr(time, "time", lambda: now() + seconds)


def test_what_came_last_stands_first_though_the_clock_went_back(tmp_path: Path, ahead: Callable[[float], None]) -> None:
    shelf, songs, runs = Library(tmp_path), [], []
    for number, seconds in enumerate((0, -HOUR, YEAR, 0, -HOUR)):
        ahead(seconds)
        songs.insert(0, shelf.add_song(song_bytes(number), name=f"{number}.wav").id)
        runs.insert(0, shelf.add_run(songs[-1], run_with(window=WindowSettings(seconds=0.5 + number / 4))).id)
    assert [song.id for song in shelf.songs()] == songs
    assert [run.id for run in shelf.runs_of(songs[-1])] == runs
    shelf.delete_song(songs[-1])
    shelf.add_song(song_bytes(0), name="again.wav")
    assert shelf.songs()[0].id == songs[-1]


@pytest.mark.parametrize("seconds", [-HOUR, YEAR])
def test_what_was_deleted_can_be_brought_back_for_as_long_as_was_said(
    tmp_path: Path, ahead: Callable[[float], None], monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    shelf = Library(tmp_path)
    song = shelf.add_song(song_bytes(), name="a.wav")
    run = shelf.add_run(song.id, make_run())
    shelf.delete_run(run.id)
    shelf.delete_song(song.id)
    ahead(seconds)
    shelf.purge()
    assert shelf.restore_song(song.id).id == song.id
    assert shelf.restore_run(run.id).id == run.id
    shelf.delete_song(song.id)
    real = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: real() + library.UNDO_SECONDS)
    shelf.purge()
    with pytest.raises(LibraryError, match="no longer in the library"):
        shelf.restore_song(song.id)


def test_what_was_deleted_by_a_clock_far_ahead_does_not_stay_for_a_year(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = Library(tmp_path)
    song = shelf.add_song(song_bytes(), name="a.wav")
    with monkeypatch.context() as patch:
        patch.setattr(library, "steady", lambda: time.time() + YEAR)
        shelf.delete_song(song.id)
    shelf.purge()
    assert (tmp_path / "songs" / song.id).exists()
    monkeypatch.setattr(library, "steady", lambda: time.time() + library.UNDO_SECONDS + 1)
    shelf.purge()
    assert not (tmp_path / "songs" / song.id).exists()


def test_a_file_that_is_being_written_outlives_a_sweep_a_year_later(tmp_path: Path, ahead: Callable[[float], None]) -> None:
    shelf = Library(tmp_path)

    class Slow:
        """A file on its way, in the middle of which the clock is set and another process starts."""

        def __init__(self) -> None:
            self.left = [song_bytes()]

        def seekable(self) -> bool:
            return False

        def read(self, _: int) -> bytes:
            ahead(YEAR)
            Library(tmp_path).purge()
            return self.left.pop() if self.left else b""

    assert shelf.add_song(Slow(), name="slow.wav").name == "slow.wav"  # type: ignore[arg-type]


def test_jobs_and_their_progress_go_on_whatever_the_clock_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = tmp_path / "clock"
    clock.write_bytes(struct.pack("<d", 0.0))
    monkeypatch.setenv("CLOCK_AHEAD", str(clock))
    monkeypatch.setenv("PYTHONPATH", str(JUMPING))

    def set_ahead(seconds: float) -> None:
        with clock.open("r+b") as file:
            file.write(struct.pack("<d", seconds))

    victim, choose, said = Victim(tmp_path / "home", Promises()), np.random.default_rng(0), []
    victim.start_an_app(0)
    victim.hear_until("ready")
    for _ in range(60):
        set_ahead(float(choose.choice([0, -HOUR, YEAR, -2 * HOUR, 60])))
        time.sleep(choose.uniform(0, 0.1))
        said += victim.said()
    set_ahead(-3 * HOUR)
    before = len(said)
    until(lambda: said.extend(victim.said()) or sum(line.startswith("run") for line in said[before:]) > 4, seconds=60)
    assert not [line for line in said if line.startswith(("failed", "stuck"))]
    victim.kill()
    victim.promises.hold(tmp_path / "home")
