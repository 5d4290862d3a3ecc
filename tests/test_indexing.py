"""A folder of songs into a library's index, by real workers."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.songs import ROOT
from tests.test_jobs import no_practice
from trajectory import indexing, workers
from trajectory.collection import Collection, keep_trained
from trajectory.indexing import CatchingUp, IndexingError, Tally
from trajectory.jobs import Jobs
from trajectory.library import Library
from trajectory.workers import Weights

LOOP = ROOT / "assets/songs/07_cc0_loop_120bpm.ogg"
PIANO = ROOT / "assets/songs/05_solo_piano.ogg"
MUSICNN = Weights(encoder="musicnn")


@pytest.fixture(scope="module")
def jobs() -> Iterator[Jobs]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workers, "warm", no_practice)
        started = Jobs.start(workers=1)
        yield started
        started.close()


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path / "home")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two songs, one of them twice, and what is none."""
    place = tmp_path / "songs"
    (place / "below").mkdir(parents=True)
    shutil.copy(LOOP, place / "loop.ogg")
    shutil.copy(LOOP, place / "the same again.ogg")
    shutil.copy(PIANO, place / "below/piano.ogg")
    (place / "broken.mp3").write_bytes(b"not music at all" * 99)
    (place / "empty.wav").touch()
    (place / "cover.jpg").write_bytes(b"\xff\xd8")
    (place / ".hidden.ogg").write_bytes(b"left alone")
    (place / "round").symlink_to(place)
    return place


def test_a_folder_is_heard_once_and_what_fails_is_told(jobs: Jobs, library: Library, folder: Path) -> None:
    seen: list[int] = []
    tally = indexing.index(library, jobs, folder, MUSICNN, report=lambda tally: seen.append(tally.heard))
    assert (tally.heard, tally.known, tally.passed_over) == (2, 1, 1)
    assert sorted(name for name, _ in tally.failed) == ["broken.mp3", "empty.wav"]
    assert all(sentence for _, sentence in tally.failed)
    assert seen[-1] == 2
    collection = Collection(library, indexing.ear_of(jobs, MUSICNN))
    assert len(collection.songs()) == 2
    loop = next(song for song in library.songs() if song.name == "loop.ogg")
    heard = collection.heard(loop.id)
    assert heard is not None
    assert heard.tags[0][1] > 0.3
    assert heard.bpm == pytest.approx(120, rel=0.01)
    again = indexing.index(library, jobs, folder, MUSICNN)
    assert (again.heard, again.known) == (0, 3)


def test_a_library_catches_up_in_the_background_and_goes_on_after_a_stop(jobs: Jobs, library: Library) -> None:
    for song in (LOOP, PIANO):
        library.add_song(song, name=song.name)
    ear = indexing.ear_of(jobs, MUSICNN)
    stopped = CatchingUp(library, jobs, ear, MUSICNN, owner="somebody")
    stopped.stop()
    stopped.start()
    stopped.join(60)
    assert stopped.tally.heard == 0
    whole = CatchingUp(library, jobs, ear, MUSICNN, owner="somebody")
    whole.start()
    whole.join(60)
    assert (whole.tally.heard, whole.tally.failed) == (2, [])
    assert not Collection(library, ear).missing()


def test_a_song_that_is_deleted_while_it_is_heard_is_one_sentence(jobs: Jobs, library: Library) -> None:
    song = library.add_song(LOOP, name="loop.ogg")
    job = indexing.begin(library, jobs, song, indexing.ear_of(jobs, MUSICNN), MUSICNN)
    library.delete_song(song.id)
    assert job.wait(60)
    assert job.state == "failed"
    assert job.error is not None
    assert "no longer in the library" in job.error


def test_rhythm_trains_a_path_where_there_is_none(jobs: Jobs, library: Library) -> None:
    song = library.add_song(LOOP, name="loop.ogg")
    for name in ("rhythm", "rhythm-at-any-tempo"):
        weights = Weights(encoder=name)
        ear = indexing.ear_of(jobs, weights)
        job = indexing.begin(library, jobs, song, ear, weights)
        assert job.wait(90)
        assert job.error is None
        assert song.id in Collection(library, ear).songs()
    assert len(library.runs_of(song.id)) == 1


def test_an_encoder_is_trained_on_the_librarys_songs_and_then_hears_them(jobs: Jobs, library: Library) -> None:
    songs = [library.add_song(song, name=song.name) for song in (LOOP, PIANO)]
    sounds = tuple((song.name, library.sound(song.id).read_bytes()) for song in songs)
    job = jobs.submit(workers.train_encoder, sounds, 3, key="train", done=lambda files: keep_trained(library, files))
    assert job.wait(90)
    assert job.error is None
    weights = indexing.weights(library, "logmel-cnn", None)
    ear = indexing.ear_of(jobs, weights)
    heard = indexing.begin(library, jobs, songs[0], ear, weights)
    assert heard.wait(60)
    assert songs[0].id in Collection(library, ear).songs()


@pytest.mark.parametrize(
    ("encoder", "part"),
    [("wav2vec2", "folder"), ("logmel-cnn", "train one first")],
)
def test_an_encoder_that_is_not_there_is_one_sentence(jobs: Jobs, library: Library, encoder: str, part: str) -> None:
    with pytest.raises(Exception, match=part) as refused:
        indexing.ear_of(jobs, indexing.weights(library, encoder, None))
    assert "\n" not in str(refused.value)


def test_a_folder_that_is_not_there_is_refused(jobs: Jobs, library: Library, tmp_path: Path) -> None:
    with pytest.raises(IndexingError, match="there is no folder"):
        indexing.index(library, jobs, tmp_path / "none", MUSICNN)
    assert Tally().failed == []
