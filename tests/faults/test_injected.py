"""Handles, disk and memory that give out at every step of keeping a song, a run and a film: one sentence, and nothing lost."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.faults.injection import FAULT
from tests.faults.victims import sound
from tests.test_library import assert_consistent
from tests.test_runs import assert_equal, make_run
from trajectory import filming, video
from trajectory.errors import TrajectoryError
from trajectory.library import Library

CODES = {name: getattr(errno, name) for name in ("EMFILE", "ENOSPC", "ENOMEM", "EIO")}
STRIDE = int(os.environ.get("TRAJECTORY_FAULT_STRIDE", "1"))  # of the steps at which films fail
SIZE = {"width": 96, "height": 64, "fps": 4, "quality": "draft"}


def steps_of(act: Callable[[], object], folder: Path) -> int:
    with FAULT.at(folder, None, 0):
        act()
    return FAULT.count


def assert_refused_in_one_sentence(act: Callable[[], object], folder: Path, step: int, code: int) -> None:
    """Or done all the same, where the step does not matter."""
    with FAULT.at(folder, step, code):
        try:
            act()
        except TrajectoryError as error:
            said = str(error)
        else:
            return
    assert 0 < len(said) < 400
    assert "\n" not in said
    assert "Traceback" not in said


def shelf_with_a_song(root: Path) -> tuple[Library, str]:
    shelf = Library(root)
    song = shelf.add_song(sound(0), name="kept.wav").id
    shelf.add_run(song, make_run(0))
    return shelf, song


def assert_kept(root: Path, song: str) -> None:
    """What was there before is there, and whole, and the library takes what it did not take before."""
    again = Library(root)
    assert again.sound(song).read_bytes() == sound(0)
    (run, *_) = again.runs_of(song)[::-1]
    assert_equal(again.run(run.id), make_run(0))
    assert_consistent(root)


@pytest.mark.parametrize("code", CODES)
def test_a_song_that_cannot_be_kept_at_some_step_changes_nothing(code: str, tmp_path: Path) -> None:
    shelf, song = shelf_with_a_song(tmp_path / "home")
    steps = steps_of(lambda: shelf.add_song(sound(1), name="new.wav"), tmp_path)
    assert steps > 10
    for step in range(1, steps + 1):
        new = sound(100 + step)
        assert_refused_in_one_sentence(lambda new=new: shelf.add_song(new, name="new.wav"), tmp_path, step, CODES[code])
        assert shelf.add_song(new, name="new.wav").name == "new.wav"
    assert_kept(tmp_path / "home", song)
    assert len(shelf.songs()) == steps + 2


@pytest.mark.parametrize("code", CODES)
def test_a_run_that_cannot_be_kept_at_some_step_changes_nothing(code: str, tmp_path: Path) -> None:
    shelf, song = shelf_with_a_song(tmp_path / "home")
    songs = [shelf.add_song(sound(number), name="a.wav").id for number in range(1, 3)]
    steps = steps_of(lambda: shelf.add_run(songs[0], make_run(1)), tmp_path)
    assert steps > 15
    for step in range(1, steps + 1):
        assert_refused_in_one_sentence(lambda: shelf.add_run(songs[1], make_run(1)), tmp_path, step, CODES[code])
        for run in shelf.runs_of(songs[1]):  # where it was kept all the same, it is whole
            assert_equal(shelf.run(run.id), make_run(1))
    assert shelf.runs_of(songs[1]) or shelf.add_run(songs[1], make_run(1))
    assert_kept(tmp_path / "home", song)


@pytest.mark.parametrize("code", CODES)
def test_a_kept_file_and_a_deletion_that_fail_at_some_step_change_nothing(code: str, tmp_path: Path) -> None:
    shelf, song = shelf_with_a_song(tmp_path / "home")
    acts: list[Callable[[], object]] = [
        lambda: shelf.keep(song, "film-0123456789ab.mp4", os.urandom(500)),
        lambda: shelf.rename(song, "another title"),
        lambda: shelf.purge(0),
        lambda: shelf.drop(song, "film-0123456789ab.mp4"),
    ]
    for act in acts:
        steps = steps_of(act, tmp_path)
        for step in range(1, steps + 1):
            assert_refused_in_one_sentence(act, tmp_path, step, CODES[code])
            act()
    assert_kept(tmp_path / "home", song)


def made_shot() -> video.Shot:
    times = np.linspace(0, 1, 40)
    points = np.stack([np.sin(6 * times), np.cos(6 * times), times], axis=1).astype(np.float32)
    return video.Shot(points=points, times=times, rgb=np.full((40, 3), 0.5, np.float32))


@pytest.mark.parametrize(("ending", "code"), [(".mp4", "ENOSPC"), (".mp4", "EMFILE"), (".zip", "EIO"), (".png", "ENOMEM"), (".gif", "EIO")])
def test_a_film_that_cannot_be_made_at_some_step_leaves_the_old_one(ending: str, code: str, tmp_path: Path) -> None:
    out, settings = tmp_path / f"film{ending}", video.FilmSettings(**SIZE)  # type: ignore[arg-type]
    sounding = tmp_path / "song.wav"
    sounding.write_bytes(sound(1))
    out.write_bytes(b"the old one")

    def act() -> None:
        filming.film([made_shot()], out, settings, sound=sounding if ending == ".mp4" else None)

    steps = steps_of(act, tmp_path)
    assert steps > 2
    for step in range(1, steps + 1, STRIDE):
        out.write_bytes(b"the old one")
        assert_refused_in_one_sentence(act, tmp_path, step, CODES[code])
        assert out.read_bytes() == b"the old one" or out.stat().st_size > 100
        there = {path.name for path in tmp_path.iterdir() if not path.name.startswith(".")}  # a hidden folder that could not be removed
        assert there == {out.name, sounding.name}
