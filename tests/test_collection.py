import dataclasses
from pathlib import Path

import numpy as np
import pytest

from tests.songs import ROOT
from trajectory import similarity
from trajectory.collection import Collection, CollectionError, Ear, Heard, ears, keep_trained, thinned, trained
from trajectory.library import Library
from trajectory.records import Trajectory

EAR = Ear(encoder="musicnn", version="0123456789abcdef")
SONGS = sorted((ROOT / "assets/songs").glob("*.ogg"))[:4]


def heard(seed: int, frames: int = 20) -> Heard:
    points = np.random.default_rng(seed).normal(size=(frames, 8)).astype(np.float32)
    return Heard(frames=Trajectory(points=points, times=np.arange(frames) + 1.5), tags=(("beat", 0.5),), bpm=120.0)


@pytest.fixture
def library(tmp_path: Path) -> Library:
    made = Library(tmp_path / "home")
    for song in SONGS:
        made.add_song(song, name=song.name)
    return made


@pytest.fixture
def collection(library: Library) -> Collection:
    made = Collection(library, EAR)
    for i, song in enumerate(library.songs()):
        made.keep(song.id, heard(i))
    return made


def test_what_was_heard_comes_back_as_it_was() -> None:
    one = heard(0)
    again = Heard.from_bytes(one.to_bytes())
    assert np.array_equal(again.frames.points, one.frames.points)
    assert np.array_equal(again.frames.times, one.frames.times)
    assert (again.tags, again.bpm) == (one.tags, one.bpm)


@pytest.mark.parametrize("data", [b"", b"no archive", heard(0).to_bytes()[:-40]])
def test_what_cannot_be_read_back_is_one_sentence(data: bytes) -> None:
    with pytest.raises(CollectionError, match="cannot be read back"):
        Heard.from_bytes(data)


def test_fine_frames_are_joined_and_stay_in_their_place() -> None:
    times = 0.02 * np.arange(1_000) + 0.01
    frames = Trajectory(points=np.stack([times, np.ones(1_000)], axis=1).astype(np.float32), times=times)
    fewer = thinned(frames)
    assert fewer.step_seconds == pytest.approx(0.24, abs=0.03)
    assert np.abs(fewer.points[:, 0] - fewer.times).max() < 1e-4  # the mean of the moments, at the middle of them
    assert thinned(fewer) is fewer


def test_an_index_follows_what_the_library_holds(library: Library, collection: Collection) -> None:
    first, *others = library.songs()
    assert len(collection.songs()) == len(SONGS)
    library.delete_song(first.id)
    assert {*collection.songs().ids} == {song.id for song in others}
    library.restore_song(first.id)
    assert first.id in collection.songs()
    assert {name.partition("@")[0] for name in collection.moments().ids} == {song.id for song in library.songs()}


def test_an_index_that_was_kept_equals_one_that_is_made_anew(library: Library, collection: Collection) -> None:
    kept = collection.songs()
    collection.rebuild()
    fresh = Collection(library, EAR).songs()
    order = [fresh.row(name) for name in kept.ids]
    assert np.array_equal(kept.vectors, fresh.vectors[order])


def test_a_damaged_index_and_a_damaged_song_are_made_and_heard_again(library: Library, collection: Collection) -> None:
    collection.songs()
    (file,) = (library.root / "indexes").glob("musicnn-songs-*/index.npz")
    file.write_bytes(file.read_bytes()[:50])
    assert len(collection.songs()) == len(SONGS)
    song = library.songs()[0].id
    library.keep(song, EAR.file, b"damaged")
    assert collection.heard(song) is None
    assert [missing.id for missing in collection.missing()] == [song]


def test_who_has_heard_how_many_songs_is_told(library: Library, collection: Collection) -> None:
    first = library.songs()[0].id
    other = Ear(encoder="rhythm-at-any-tempo", version="1")
    Collection(library, other).keep(first, heard(0))
    assert ears(library) == {collection.ear: len(SONGS), other: 1}
    library.delete_song(first)
    assert ears(library) == {collection.ear: len(SONGS) - 1}


def test_another_version_hears_everything_again_and_the_old_one_is_given_up(library: Library, collection: Collection) -> None:
    collection.songs()
    newer = Collection(library, dataclasses.replace(EAR, version="fedcba9876543210"))
    assert len(newer.missing()) == len(SONGS)
    with pytest.raises(CollectionError, match="let it listen first"):
        newer.songs()
    song = library.songs()[0].id
    newer.keep(song, heard(9))
    assert newer.songs().ids == (song,)
    assert collection.heard(song) is None


def test_songs_and_moments_like_one_are_found(library: Library, collection: Collection) -> None:
    one, two, *_ = library.songs()
    collection.keep(two.id, dataclasses.replace(heard(0), tags=()))
    collection.rebuild()
    collection.keep(one.id, heard(0))
    assert similarity.neighbours(collection.songs(), one.id)[0].id == two.id
    moments = collection.moments()
    best = similarity.moments(moments, similarity.moment_at(moments, one.id, 9.0), 1, apart_seconds=float("inf"))[0]
    assert best.song == two.id
    assert best.score == pytest.approx(1, abs=1e-5)


def test_a_trained_encoder_is_kept_whole_and_replaces_the_one_before(library: Library) -> None:
    with pytest.raises(CollectionError, match="train one first"):
        trained(library)
    for content in (b"one", b"two"):
        files = (("model.safetensors", content), ("settings.json", b"{}"))
        keep_trained(library, files)
        assert trained(library) == files
    assert len(list((library.root / "encoders").iterdir())) == 1
