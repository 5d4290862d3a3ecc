"""Several processes at one library: nobody loses what another wrote, and nobody is told that it is locked."""

from multiprocessing.queues import Queue
from pathlib import Path

from tests.faults.killing import FORKS, PATIENCE
from tests.faults.victims import sound
from tests.test_library import assert_consistent
from tests.test_runs import make_run
from trajectory.errors import TrajectoryError
from trajectory.library import Library

WRITERS = 4
ROUNDS = 6


def write(root: str, number: int, shared: str, told: "Queue[str]") -> None:
    """Adds, renames, exports and deletes songs of its own, and keeps files beside one that is everybody's."""
    shelf, kept = Library(root), []
    try:
        for turn in range(ROUNDS):
            song = shelf.add_song(sound(100 * number + turn), name=f"{number}-{turn}.wav").id
            shelf.add_run(song, make_run(turn))
            shelf.rename(song, f"{number} {turn} first")
            shelf.rename(song, f"{number} {turn}")
            shelf.keep(shared, f"film-{number}-{turn}.bin", bytes([number]) * (1_000 + turn))
            if turn % 3 == 2:
                shelf.drop(shared, f"film-{number}-{turn}.bin")
                shelf.delete_song(kept.pop())
                shelf.purge(0)
            kept.append(song)
        told.put("")
    except TrajectoryError as error:
        told.put(f"writer {number}: {error}")


def test_four_writers_lose_nothing_and_never_meet_a_locked_library(tmp_path: Path) -> None:
    shelf = Library(tmp_path)
    shared = shelf.add_song(sound(9_999), name="shared.wav").id
    told: Queue[str] = FORKS.Queue()
    writers = [FORKS.Process(target=write, args=(str(tmp_path), number, shared, told)) for number in range(WRITERS)]
    for writer in writers:
        writer.start()
    said = [told.get(timeout=PATIENCE) for _ in writers]
    for writer in writers:
        writer.join(PATIENCE)
    told.close()
    assert said == [""] * WRITERS
    left = [turn for turn in range(ROUNDS) if turn % 3 != 1]  # every third turn took the song before it away
    titles = {song.title for song in shelf.songs()} - {shelf.song(shared).title}
    assert titles == {f"{number} {turn}" for number in range(WRITERS) for turn in left}
    files = {file.name: file.stat().st_size for file in shelf.kept_files(shared, "film-")}
    expected = {f"film-{number}-{turn}.bin": 1_000 + turn for number in range(WRITERS) for turn in range(ROUNDS) if turn % 3 != 2}
    assert files == expected
    assert shelf.song(shared).bytes == shelf.sound(shared).stat().st_size + sum(expected.values())
    assert shelf.disk_use() == sum(song.bytes for song in shelf.songs())
    assert_consistent(tmp_path)
