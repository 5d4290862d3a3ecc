"""Disks that are full, and folders that may only be read: a clear sentence, and nothing lost."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from multiprocessing.queues import Queue
from pathlib import Path

import pytest

from tests.browser.serving import served
from tests.faults.killing import FORKS, PATIENCE
from tests.faults.victims import sound
from tests.test_library import assert_consistent, song_bytes
from tests.test_runs import assert_equal, make_run
from tests.visitor import Visitor
from trajectory.errors import TrajectoryError
from trajectory.library import Library, LibraryError

NOBODY = 65_534
FULL = "the disk is full"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Four megabytes in memory, where this may be mounted."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    if (
        mount is None
        or subprocess.run([mount, "-t", "tmpfs", "-o", "size=4m", "tmpfs", place], capture_output=True, check=False).returncode
    ):
        pytest.skip("a small disk may not be mounted here; tests/test_library.py pretends to have one")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)  # noqa: S607


def filled(shelf: Library) -> list[str]:
    """Songs, each with its run and a film, until the disk takes no more."""
    songs: list[str] = []

    def fill() -> None:
        while len(songs) < 1_000:
            songs.append(shelf.add_song(sound(len(songs), seconds=10), name="a.wav").id)
            shelf.add_run(songs[-1], make_run())
            shelf.keep(songs[-1], "film-1.bin", os.urandom(50_000))

    with pytest.raises(LibraryError, match=FULL):
        fill()
    assert len(songs) > 5
    return songs


def test_a_full_disk_loses_nothing_and_takes_songs_again_once_some_are_deleted(small_disk: Path) -> None:
    shelf = Library(small_disk)
    songs = filled(shelf)
    for number in range(60):  # whatever else is tried fails in the same words, and changes nothing
        size = 2_000 * number
        actions: list[Callable[[], object]] = [
            lambda number=number: shelf.add_song(song_bytes(number), name="b.wav"),
            lambda size=size: shelf.keep(songs[0], f"film-{size}.bin", os.urandom(200_000 - size)),
            lambda number=number: shelf.rename(songs[0], f"Number {number}"),
        ]
        try:
            actions[number % 3]()
        except LibraryError as error:
            assert FULL in str(error)  # noqa: PT017 - it may also fit
    again = Library(small_disk)  # as after a restart
    found = {song.id for song in again.songs()}
    assert set(songs) <= found
    for song in found:
        assert again.sound(song).read_bytes()
        for run in again.runs_of(song):
            assert_equal(again.run(run.id), make_run())
    for song in songs[:3]:
        again.delete_song(song)
    again.purge(0)
    assert again.add_song(sound(5_000, seconds=10), name="new.wav").id
    assert_consistent(small_disk)


def test_a_visitor_of_an_app_with_a_full_disk_reads_why_and_can_make_room(small_disk: Path) -> None:
    songs = filled(Library(small_disk))

    async def visit(address: str) -> None:
        async with Visitor.at(address) as visitor:
            await visitor.goto("")
            await visitor.drop("song.wav", sound(9_000, seconds=10), on="Drop a song")
            assert visitor.says(FULL), visitor.words()
            for _ in range(3):
                await visitor.goto("library")
                await visitor.click("Delete the song and its runs")
                assert not visitor.says(FULL), visitor.words()
            Library(small_disk).purge(0)  # which the app does by itself after ten minutes
            await visitor.goto("")
            await visitor.drop("song.wav", sound(9_000, seconds=10), on="Drop a song")
            assert not visitor.says(FULL), visitor.words()
            assert "song=" in visitor.query

    with served(small_disk, warm=False) as app:
        asyncio.run(visit(app.address))
    assert len(Library(small_disk).songs()) == len(songs) - 2


def try_everything(root: str, song: str, as_nobody: bool, told: "Queue[list[str]]") -> None:
    """What a process says that may only read."""
    if as_nobody:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    said = []
    actions: list[Callable[[], object]] = [
        lambda: Library(root).add_song(song_bytes(7), name="b.wav"),
        lambda: Library(root).delete_song(song),
        lambda: Library(root).purge(0),
        lambda: Library(Path(root) / "songs" / "below"),
    ]
    for act in actions:
        try:
            act()
            said.append("it worked")
        except TrajectoryError as error:
            said.append(str(error))
    told.put(said)


@pytest.fixture
def open_folder(tmp_path: Path) -> Iterator[Path]:
    """One that other users reach."""
    folder = tmp_path / "data"
    folder.mkdir()
    closed = [each for each in (folder, *folder.parents) if each.stat().st_uid == os.getuid() and not each.stat().st_mode & 0o005]
    modes = {each: each.stat().st_mode for each in closed}
    for each in closed:
        each.chmod(modes[each] | 0o055)
    yield folder
    for each, mode in modes.items():
        each.chmod(mode)


def test_a_folder_that_may_only_be_read_is_told_and_left_as_it_is(open_folder: Path) -> None:
    shelf = Library(open_folder)
    song = shelf.add_song(song_bytes(), name="a.wav")
    run = shelf.add_run(song.id, make_run())
    places = [open_folder, *open_folder.rglob("*")]
    for place in places:
        place.chmod(0o555 if place.is_dir() else 0o444)
    told: Queue[list[str]] = FORKS.Queue()
    process = FORKS.Process(target=try_everything, args=(str(open_folder), song.id, os.getuid() == 0, told))
    process.start()
    said = told.get(timeout=PATIENCE)
    process.join()
    told.close()
    assert all("cannot be written (Permission denied)" in sentence and "TRAJECTORY_HOME" in sentence for sentence in said), said
    for place in places:
        place.chmod(0o755 if place.is_dir() else 0o644)
    assert Library(open_folder).songs() == shelf.songs()
    assert_equal(Library(open_folder).run(run.id), make_run())
    assert_consistent(open_folder)
