import io
import itertools
import json
import math
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import silhouette_score

from trajectory.records import Floats, Trajectory
from trajectory.settings import Likeness
from trajectory.similarity import (
    Index,
    SimilarityError,
    Space,
    Stretch,
    VectorLimits,
    agreement,
    cells,
    clustering,
    clusters,
    exact,
    index,
    maps,
    moment_at,
    moment_id,
    moments,
    nearest,
    neighbours,
    plane,
    read_vectors,
)

ROOT = Path(__file__).parents[1]
BOTH: tuple[Likeness, ...] = ("cosine", "euclidean")


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def space(dims: int, **changes: Any) -> Space:
    return Space(**{"encoder": "musicnn", "version": "0123456789abcdef", "dims": dims, **changes})


def names(count: int, start: int = 0) -> list[str]:
    return [f"song{i}" for i in range(start, start + count)]


def mixture(count: int, *, kinds: int = 8, dims: int = 16, apart: float = 2.0, seed: int = 0) -> Floats:
    centres = random(99).normal(size=(kinds, dims))
    noise = random(seed)
    return (apart * centres[noise.integers(kinds, size=count)] + noise.normal(size=(count, dims))).astype(np.float32)


def made(vectors: NDArray[Any], likeness: Likeness = "cosine") -> Index:
    return Index.build(names(len(vectors)), vectors, space(vectors.shape[1], likeness=likeness))


def compass() -> Index:
    """Four directions of different lengths."""
    return Index.build(["east", "north", "west", "north-east"], [[3, 0], [0, 1], [-1, 0], [2, 2]], space(2))


def walk(points: Any, step: float = 0.5, start: float = 0.25) -> Trajectory:
    values = np.asarray(points, np.float32)
    return Trajectory(points=values, times=start + step * np.arange(len(values)))


@pytest.fixture
def small_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "LARGE", 8_000)


# --- Searching


def test_cosines_ignore_length() -> None:
    scores, rows = compass().search([[5, 0]], 4)
    assert rows.tolist() == [[0, 3, 1, 2]]
    np.testing.assert_allclose(scores, [[1, math.sqrt(0.5), 0, -1]], atol=1e-6)


def test_distances_do_not() -> None:
    found = Index.build(["a", "b", "c"], [[3, 0], [0, 1], [1, 1]], space(2, likeness="euclidean"))
    scores, rows = found.search([[1, 0], [0, 3]], 2)
    assert rows.tolist() == [[2, 1], [1, 2]]
    np.testing.assert_allclose(scores, [[1, math.sqrt(2)], [2, math.sqrt(5)]], rtol=1e-6)


@pytest.mark.parametrize("likeness", BOTH)
def test_the_search_finds_what_comparing_every_pair_finds(likeness: Likeness) -> None:
    vectors, queries = random(1).normal(size=(300, 7)).astype(np.float32), random(2).normal(size=(40, 7)).astype(np.float32)
    scores, rows = made(vectors, likeness).search(queries, 12)
    cosines = queries @ vectors.T / np.linalg.norm(queries, axis=1)[:, None] / np.linalg.norm(vectors, axis=1)
    worse = -cosines if likeness == "cosine" else np.linalg.norm(queries[:, None] - vectors, axis=2)
    assert (rows == np.argsort(worse, axis=1)[:, :12]).all()
    np.testing.assert_allclose(-scores if likeness == "cosine" else scores, np.sort(worse, axis=1)[:, :12], atol=1e-5)


def test_many_queries_give_what_each_gives_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    found = made(mixture(100))
    whole = found.search(mixture(30, seed=1), 5)
    monkeypatch.setattr(exact, "PRODUCTS", 250)
    assert (found.search(mixture(30, seed=1), 5)[1] == whole[1]).all()


def test_distances_far_from_the_origin_are_still_told_apart() -> None:
    vectors = 10_000 + random(3).normal(size=(500, 32))
    _, rows = made(vectors, "euclidean").search(vectors[:50], 1)
    assert rows[:, 0].tolist() == list(range(50))


def test_equals_come_in_the_order_of_their_rows() -> None:
    assert made(np.ones((10, 4))).search([[1, 1, 1, 1]], 5)[1].tolist() == [[0, 1, 2, 3, 4]]
    assert exact.best(UNITS[0], np.repeat(UNITS, 5, axis=0), np.array([7, 3, 9, 1]), "euclidean")[1].tolist() == [1, 3, 7, 9]


def test_a_silent_song_is_like_nothing_and_stops_nobody() -> None:
    found = Index.build(["silence", "east", "west"], [[0, 0], [1, 0], [-1, 0]], space(2))
    assert [(match.id, match.score) for match in neighbours(found, "silence")] == [("east", 0), ("west", 0)]
    assert [match.id for match in neighbours(found, "east")] == ["silence", "west"]


def test_an_index_of_nothing_finds_nothing() -> None:
    empty = Index.build([], np.empty((0, 3)), space(3))
    assert len(empty) == 0
    assert empty.search([[1, 2, 3]], 5)[1].shape == (1, 0)
    assert nearest(empty, np.ones(3, np.float32)) == []
    assert len(empty.add(["a"], [[1, 2, 3]])) == 1


def test_more_neighbours_than_there_are_gives_all() -> None:
    assert compass().search([[1, 0], [0, 1]], 100)[1].shape == (2, 4)


def test_very_large_and_very_small_values_keep_their_directions() -> None:
    found = Index.build(["large", "small"], [[1e14, 1e14], [1e-30, -1e-30]], space(2))
    np.testing.assert_allclose(found.search([[1, 1]], 2)[0], [[1, 0]], atol=1e-6)


def test_an_index_keeps_its_own_copy_of_what_it_was_given() -> None:
    vectors = np.eye(3, dtype=np.float32)
    found = made(vectors, "euclidean")
    vectors[:] = 7
    assert found.search([[1, 0, 0]], 1)[0] == 0


@pytest.mark.parametrize(
    ("ids", "vectors", "words"),
    [
        (["a"], [[1, 2]], "2 dimensions do not fit those of 3"),
        (["a", "b"], [[1, 2, 3]], "2 names for 1 vectors"),
        (["a", "a"], [[1, 2, 3], [4, 5, 6]], "'a' names two vectors"),
        ([""], [[1, 2, 3]], "'' cannot name a vector"),
        ([7], [[1, 2, 3]], "7 cannot name a vector"),
        (["a"], [[1, 2, math.nan]], "not numbers"),
        (["a"], [[1, 2, math.inf]], "not numbers"),
        (["a"], [[1, 2, 1e16]], "beyond 1e\\+15"),
        (["a"], [1, 2, 3], "shape \\(3,\\)"),
        (["a"], [["x", "y", "z"]], "must be numbers"),
        (["a"], [[1, None, 3]], "must be numbers"),
        (["a", "b"], [[1, 2, 3], [1, 2]], "one length"),
    ],
)
def test_what_is_no_vector_is_refused_in_one_sentence(ids: Any, vectors: Any, words: str) -> None:
    for give in (lambda: Index.build(ids, vectors, space(3)), lambda: Index.build([], np.empty((0, 3)), space(3)).add(ids, vectors)):
        with pytest.raises(SimilarityError, match=words) as caught:
            give()
        assert "\n" not in str(caught.value)


def test_a_query_must_fit_the_index() -> None:
    for query in ([[1, 2, 3]], [[math.nan, 0]], [1, 2]):
        with pytest.raises(SimilarityError, match="queries"):
            compass().search(query, 1)
    with pytest.raises(SimilarityError, match="ask for 1 or more"):
        compass().search([[1, 2]], 0)


@pytest.mark.parametrize(
    "changes", [{"dims": 0}, {"dims": 2.0}, {"encoder": ""}, {"version": 7}, {"pooling": "sum"}, {"likeness": "taste"}]
)
def test_a_space_that_makes_no_sense_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(SimilarityError, match="no space to compare vectors in"):
        space(**{"dims": 2, **changes})


# --- Adding and removing


steps = st.lists(st.one_of(st.tuples(st.just("add"), st.integers(1, 9)), st.tuples(st.just("remove"), st.integers(0, 10**6))), max_size=8)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(steps=steps, likeness=st.sampled_from(BOTH), large=st.sampled_from([150, 10_000_000]))
def test_adding_and_removing_gives_what_a_fresh_build_gives(steps: list[tuple[str, int]], likeness: Likeness, large: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index, "LARGE", large)
        patch.setattr(cells, "RECALL", 1.0)
        vectors = mixture(200, dims=6)
        held = list(range(30))
        grown = Index.build(names(30), vectors[:30], space(6, likeness=likeness))
        used = 30
        for what, number in steps:
            if what == "add":
                grown = grown.add(names(number, used), vectors[used : used + number])
                held += range(used, used + number)
                used += number
            elif held:
                gone = held.pop(number % len(held))
                grown = grown.remove([f"song{gone}", "nobody"])
        fresh = Index.build([f"song{i}" for i in held], vectors[held], space(6, likeness=likeness))
        assert grown.ids == fresh.ids
        assert (grown.vectors == fresh.vectors).all()
        assert (grown.cells is None) == (fresh.cells is None)
        if held and grown.cells is None:
            for one, other in zip(grown.search(vectors[150:], 5), fresh.search(vectors[150:], 5), strict=True):
                assert (one == other).all()


def test_an_index_that_was_added_to_stays_as_it_was() -> None:
    before = compass()
    after = before.add(["south"], [[0, -2]]).remove(["east"])
    assert before.ids == ("east", "north", "west", "north-east")
    assert after.ids == ("north", "west", "north-east", "south")
    assert "east" in before
    assert "east" not in after
    assert nearest(after, np.array([0, -9], np.float32), 1)[0].id == "south"


def test_what_is_there_already_is_not_added_again() -> None:
    with pytest.raises(SimilarityError, match="'north' is in the index already"):
        compass().add(["north"], [[1, 1]])


# --- Cells


@pytest.mark.usefixtures("small_is_large")
@pytest.mark.parametrize("likeness", BOTH)
def test_cells_find_nearly_all_of_the_nearest_with_exact_scores(likeness: Likeness) -> None:
    vectors, queries = mixture(3_000, kinds=40), mixture(200, kinds=40, seed=5)
    large = made(vectors, likeness)
    assert large.cells is not None
    assert large.cells.probes < len(large.cells.centres) / 2
    truth_scores, truth = SimpleIndex(vectors, likeness).search(queries, 10)
    scores, rows = large.search(queries, 10)
    assert np.mean([len({*one} & {*other}) for one, other in zip(rows, truth, strict=True)]) >= 9.5
    same = rows == truth
    np.testing.assert_array_equal(scores[same], truth_scores[same])


class SimpleIndex:
    """The same without cells."""

    def __init__(self, vectors: Floats, likeness: Likeness) -> None:
        whole = Index.build([], vectors[:0], space(vectors.shape[1], likeness=likeness))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(index, "LARGE", math.inf)
            self.search = whole.add(names(len(vectors)), vectors).search


@pytest.mark.usefixtures("small_is_large")
@pytest.mark.parametrize("likeness", BOTH)
def test_cells_take_in_and_let_go(likeness: Likeness) -> None:
    vectors = mixture(1_500)
    large = made(vectors[:1_000], likeness).add(names(500, 1_000), vectors[1_000:]).remove(names(300))
    assert large.cells is not None
    assert large.cells.cut_at == 1_000
    assert large.cells.cell_of.shape == (1_200,)
    scores, rows = large.search(vectors, 1)
    found = np.array([large.ids[row] for row in rows[:, 0]])
    assert (found[300:] == names(1_200, 300)).mean() > 0.99
    assert not set(found) & set(names(300))
    truth = SimpleIndex(vectors[300:], likeness).search(vectors, 1)[0]
    assert (np.abs(scores - truth) < 1e-6).mean() > 0.97


@pytest.mark.usefixtures("small_is_large")
def test_an_index_that_outgrew_its_cells_is_cut_anew_and_a_small_one_has_none() -> None:
    large = made(mixture(600))
    assert large.cells is not None
    grown = large.add(names(700, 600), mixture(700, seed=1))
    assert grown.cells is not None
    assert (large.cells.cut_at, grown.cells.cut_at) == (600, 1_300)
    assert grown.remove(names(1_000)).cells is None


@pytest.mark.usefixtures("small_is_large")
def test_asking_for_more_than_the_cells_hold_still_gives_as_many() -> None:
    large = made(mixture(600))
    _, rows = large.search(mixture(3, seed=1), 590)
    assert rows.min() == 0
    assert all(len(set(row)) == 590 for row in rows.tolist())


@pytest.mark.usefixtures("small_is_large")
@pytest.mark.parametrize("likeness", BOTH)
def test_a_large_index_of_one_repeated_vector_or_with_a_far_one_is_searched(likeness: Likeness) -> None:
    same = made(np.ones((900, 12)), likeness)
    np.testing.assert_allclose(same.search(np.ones((1, 12)), 3)[0], 1 if likeness == "cosine" else 0, atol=1e-6)
    vectors = mixture(900)
    far = made(vectors, likeness).add(["far"], np.full((1, 16), 1e14))
    assert far.ids[far.search(np.full((1, 16), 1e14), 1)[1][0, 0]] == "far"
    assert (far.search(vectors[:50], 1)[1][:, 0] == range(50)).all()


@pytest.mark.usefixtures("small_is_large")
def test_without_faiss_every_search_is_exact(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    vectors = mixture(600)
    made(vectors).save(tmp_path)
    monkeypatch.setitem(sys.modules, "faiss", None)
    assert made(vectors).cells is None
    truth = SimpleIndex(vectors, "cosine").search(vectors[:20], 10)[1]
    for one in (made(vectors), Index.open(tmp_path), Index.open(tmp_path).remove(["song599"]).add(["song599"], vectors[-1:])):
        assert (one.search(vectors[:20], 10)[1] == truth).all()


def test_the_module_brings_nothing_heavy_along() -> None:
    heavy = {"torch", "streamlit", "faiss", "sklearn", "umap", "trajectory.library", "trajectory.audio"}
    code = f"import sys, trajectory.similarity; sys.exit(str({heavy!r} & set(sys.modules)) if {heavy!r} & set(sys.modules) else 0)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


# --- On disk


@pytest.mark.parametrize("likeness", BOTH)
@pytest.mark.parametrize("large", [8_000, 10_000_000])
def test_an_index_comes_back_from_disk_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, likeness: Likeness, large: int) -> None:
    monkeypatch.setattr(index, "LARGE", large)
    kept = Index.build([f"sång {i}\n" for i in range(700)], mixture(700), space(16, likeness=likeness))
    kept.save(tmp_path / "new" / "place")
    back = Index.open(tmp_path / "new" / "place", kept.space)
    assert (back.ids, back.space) == (kept.ids, kept.space)
    assert (back.vectors == kept.vectors).all()
    for one, other in zip(back.search(mixture(40, seed=2), 10), kept.search(mixture(40, seed=2), 10), strict=True):
        assert (one == other).all()
    assert [file.name for file in (tmp_path / "new" / "place").iterdir()] == ["index.npz"]


def test_an_index_of_more_than_two_gigabytes_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 1_000)  # from there on a zip has another end
    made(mixture(60)).save(tmp_path)
    assert b"PK\6\7" in (tmp_path / "index.npz").read_bytes()[-42:]
    assert Index.open(tmp_path).ids == tuple(names(60))


def test_an_empty_index_comes_back(tmp_path: Path) -> None:
    Index.build([], np.empty((0, 3)), space(3)).save(tmp_path)
    assert len(Index.open(tmp_path)) == 0


@pytest.mark.parametrize(
    "changes", [{"encoder": "hubert"}, {"version": "fedcba9876543210"}, {"dims": 3}, {"pooling": "max"}, {"likeness": "euclidean"}]
)
def test_an_index_of_another_space_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    compass().save(tmp_path)
    other = space(**{"dims": 2, **changes})
    with pytest.raises(SimilarityError, match="it is of musicnn 0123456789abcdef") as caught:
        Index.open(tmp_path, other)
    assert str(other) in str(caught.value)


@pytest.mark.parametrize("moment", ["written", "half", "moving"])
def test_a_kill_while_saving_leaves_the_old_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    compass().save(tmp_path)
    with monkeypatch.context() as patch:
        if moment == "half":
            patch.setattr("numpy.savez", lambda file, **_: (file.write(b"PK half"), killed()))
        else:
            patch.setattr("os.fsync" if moment == "written" else "os.replace", killed)
        with pytest.raises(KeyboardInterrupt):
            compass().add(["south"], [[0, -1]]).save(tmp_path)
    assert Index.open(tmp_path).ids == compass().ids
    assert [file.name for file in tmp_path.iterdir()] == ["index.npz"]
    compass().add(["south"], [[0, -1]]).save(tmp_path)
    assert "south" in Index.open(tmp_path)


def killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_process_killed_while_saving_leaves_an_index_and_the_rest_is_cleared(tmp_path: Path) -> None:
    compass().save(tmp_path)
    code = (
        "import os, sys, numpy as np; from trajectory.similarity import Index\n"
        "old = Index.open(sys.argv[1]); np.savez = lambda file, **_: (file.write(b'PK'), file.flush(), os.kill(os.getpid(), 9))\n"
        "old.add(['south'], [[0, -1]]).save(sys.argv[1])"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, check=False).returncode == -9
    left = [file for file in tmp_path.iterdir() if file.name != "index.npz"]
    assert len(left) == 1
    assert Index.open(tmp_path).ids == compass().ids
    age(left[0], 30)
    compass().save(tmp_path)
    assert left[0].exists()  # another process may be writing it
    age(left[0], 7_200)
    compass().save(tmp_path)
    assert not left[0].exists()


def age(file: Path, seconds: float) -> None:
    os.utime(file, (time.time() - seconds,) * 2)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SimilarityError, match="cannot be written"):
        compass().save(tmp_path / "file")


def test_no_index_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SimilarityError, match=r"index.npz cannot be read: No such file"):
        Index.open(tmp_path / "nowhere")


ABOUT = {
    "format": 1,
    "space": {"encoder": "musicnn", "version": "v", "dims": 2, "pooling": "mean", "likeness": "cosine"},
    "ids": ["a", "b"],
}
UNITS = np.eye(2, dtype=np.float32)
CELLS = {
    "centres": UNITS,
    "cell_of": np.array([0, 1], np.int32),
    "origin": np.zeros(2, np.float32),
    "numbers": np.array([1.0, 1, 2]),
}


def about(**changes: Any) -> NDArray[np.uint8]:
    return np.frombuffer(json.dumps({**ABOUT, **changes}).encode(), np.uint8)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"vectors": UNITS}, "about"),
        ({"about": about()}, "vectors"),
        ({"about": np.frombuffer(b"{", np.uint8), "vectors": UNITS}, "property name"),
        ({"about": np.frombuffer(b"[1]", np.uint8), "vectors": UNITS}, "list indices"),
        ({"about": np.frombuffer(b"[" * 100_000, np.uint8), "vectors": UNITS}, "recursion"),
        ({"about": about(format=2), "vectors": UNITS}, "format 2, and this program reads 1"),
        ({"about": about(space={**ABOUT["space"], "dims": 3}), "vectors": UNITS}, "2 dimensions do not fit those of 3"),
        ({"about": about(space={**ABOUT["space"], "more": 3}), "vectors": UNITS}, "more"),
        ({"about": about(space={**ABOUT["space"], "dims": "2"}), "vectors": UNITS}, "no space"),
        ({"about": about(ids=["a"]), "vectors": UNITS}, "1 names for 2 vectors"),
        ({"about": about(ids=["a", "a"]), "vectors": UNITS}, "names two"),
        ({"about": about(ids=["a", 7]), "vectors": UNITS}, "cannot name"),
        ({"about": about(ids=7), "vectors": UNITS}, "iterable"),
        ({"about": about(), "vectors": UNITS[0]}, "shape"),
        ({"about": about(), "vectors": UNITS + np.nan}, "not numbers"),
        ({"about": about(), "vectors": UNITS * 2}, "at length 1"),
        ({"about": about(), "vectors": np.array([["a", "b"]] * 2)}, "must be numbers"),
        ({"about": about(), "vectors": UNITS, "cell_of": CELLS["cell_of"]}, "centres"),
        ({"about": about(), "vectors": UNITS, **CELLS, "cell_of": np.array([0, 2], np.int32)}, "make no sense"),
        ({"about": about(), "vectors": UNITS, **CELLS, "cell_of": np.array([0, -1], np.int32)}, "make no sense"),
        ({"about": about(), "vectors": UNITS, **CELLS, "cell_of": np.array([0], np.int32)}, "do not fit"),
        ({"about": about(), "vectors": UNITS, **CELLS, "cell_of": np.array([0, 1])}, "do not fit"),
        ({"about": about(), "vectors": UNITS, **CELLS, "centres": UNITS[:0]}, "do not fit"),
        ({"about": about(), "vectors": UNITS, **CELLS, "centres": UNITS[:, :1]}, "do not fit"),
        ({"about": about(), "vectors": UNITS, **CELLS, "centres": UNITS + np.inf}, "make no sense"),
        ({"about": about(), "vectors": UNITS, **CELLS, "origin": np.zeros(3, np.float32)}, "do not fit"),
        ({"about": about(), "vectors": UNITS, **CELLS, "numbers": np.array([1.0, 3, 2])}, "make no sense"),
        ({"about": about(), "vectors": UNITS, **CELLS, "numbers": np.array([0.0, 1, 2])}, "make no sense"),
        ({"about": about(), "vectors": UNITS, **CELLS, "numbers": np.array([np.nan, 1, 2])}, "make no sense"),
    ],
)
def test_an_index_that_makes_no_sense_is_refused(tmp_path: Path, arrays: dict[str, Any], words: str) -> None:
    np.savez(tmp_path / "index.npz", **arrays)
    with pytest.raises(SimilarityError, match=words) as caught:
        Index.open(tmp_path)
    assert "\n" not in str(caught.value)


def test_an_index_that_makes_sense_is_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "index.npz", about=about(), vectors=UNITS, **CELLS)
    assert Index.open(tmp_path).search([[1, 0]], 1)[1].tolist() == [[0]]


class Trap:
    sprung = False

    def __reduce__(self) -> Any:
        return (setattr, (Trap, "sprung", True))


def pickled() -> NDArray[Any]:
    return np.array([[Trap()] * 2] * 2, dtype=object)


def test_pickles_are_never_opened(tmp_path: Path) -> None:
    for arrays in ({"about": about(), "vectors": pickled()}, {"about": pickled(), "vectors": UNITS}):
        np.savez(tmp_path / "index.npz", **arrays)
        with pytest.raises(SimilarityError, match="pickled objects are never opened"):
            Index.open(tmp_path)
    np.savez(tmp_path / "own.npz", names=pickled()[0], vectors=UNITS)
    with pytest.raises(SimilarityError, match="pickled objects are never opened"):
        read_vectors(tmp_path / "own.npz")
    assert not Trap.sprung


def test_a_damaged_index_is_always_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "LARGE", 100)
    found = made(mixture(60))
    whole = found.save(tmp_path).read_bytes()
    noise = random(4)
    damaged = [whole[:size] for size in (0, 1, 21, 22, 100, len(whole) // 2, len(whole) - 1)]
    for _ in range(300):
        flipped = bytearray(whole)
        flipped[noise.integers(len(whole))] ^= 1 << int(noise.integers(8))
        damaged.append(bytes(flipped))
    said = []
    for data in damaged:
        (tmp_path / "index.npz").write_bytes(data)
        back, words = attempt(lambda: Index.open(tmp_path))
        said.append(words)
        if back is not None:
            assert back.ids == found.ids
            assert (back.vectors == found.vectors).all()
    assert sum(map(bool, said)) > 250
    assert not any("\n" in words for words in said)


def attempt(read: Callable[[], Any]) -> tuple[Any, str]:
    """What was read, or what was said instead."""
    try:
        return read(), ""
    except SimilarityError as error:
        return None, str(error)


# --- Songs and moments like this


def test_neighbours_leave_out_the_song_itself() -> None:
    assert [match.id for match in neighbours(compass(), "east", 2)] == ["north-east", "north"]
    assert neighbours(compass(), "east", 2)[0].score == pytest.approx(math.sqrt(0.5))
    assert len(neighbours(compass(), "east", 100)) == 3
    with pytest.raises(SimilarityError, match="'south' is not in the index"):
        neighbours(compass(), "south")


def test_of_two_songs_that_are_the_same_each_is_the_others_neighbour() -> None:
    twins = Index.build(["a", "b", "c"], [[1, 0], [1, 0], [0, 1]], space(2))
    assert neighbours(twins, "a", 1)[0].id == "b"
    assert neighbours(twins, "b", 1)[0].id == "a"


def rounds(songs: int = 3, seconds: int = 60) -> Index:
    """Songs that each go round the same circle once in 20 s, one moment a second; the second starts 5 s later."""
    ids, vectors = [], []
    for song in range(songs):
        for second in range(seconds):
            angle = 2 * math.pi * (second + 5 * song) / 20
            ids.append(moment_id(f"s{song}", second + 0.5))
            vectors.append([math.cos(angle), math.sin(angle), 0.01 * song])
    return Index.build(ids, vectors, space(3))


def test_moments_come_from_everywhere_but_where_the_moment_itself_is() -> None:
    found = moments(rounds(), "s0@20.500", 8, apart_seconds=8)
    assert {(moment.song, moment.seconds) for moment in found} == {
        *(("s0", seconds) for seconds in (0.5, 40.5)),
        *(("s1", seconds) for seconds in (15.5, 35.5, 55.5)),
        *(("s2", seconds) for seconds in (10.5, 30.5, 50.5)),
    }
    assert [moment.song for moment in found] == ["s0"] * 2 + ["s1"] * 3 + ["s2"] * 3
    assert all(moment.score > 0.999 for moment in found)


def test_two_moments_of_one_song_are_never_nearer_than_asked() -> None:
    found = moments(rounds(), "s1@3.500", 30, apart_seconds=6)
    for song in ("s0", "s1", "s2"):
        own = sorted([moment.seconds for moment in found if moment.song == song] + ([3.5] if song == "s1" else []))
        assert np.diff(own).min() >= 6


def test_far_enough_apart_gives_one_moment_of_each_other_song() -> None:
    assert {moment.song for moment in moments(rounds(5), "s2@0.500", apart_seconds=math.inf)} == {"s0", "s1", "s3", "s4"}


def test_the_moment_at_a_time_is_the_nearest_there_is() -> None:
    assert moment_at(rounds(), "s1", 17.2) == "s1@17.500"
    assert moment_at(rounds(), "s1", 1e9) == "s1@59.500"
    with pytest.raises(SimilarityError, match="no moment of 's' is in the index"):
        moment_at(rounds(), "s", 3)


def test_an_index_of_songs_has_no_moments() -> None:
    with pytest.raises(SimilarityError, match="'east' is no moment"):
        moments(compass(), "east")


def test_songs_whose_names_hold_the_sign_are_no_trouble() -> None:
    odd = Index.build([moment_id("a@b", 1), moment_id("a@b", 30), moment_id("c", 1)], [[1, 0], [1, 0], [0, 1]], space(2))
    assert [(moment.song, moment.seconds) for moment in moments(odd, "a@b@1.000")] == [("a@b", 30), ("c", 1)]


def test_a_moments_search_goes_on_until_it_has_enough() -> None:
    crowd = [moment_id("crowd", i / 100) for i in range(500)]
    others = [moment_id(f"other{i}", 1) for i in range(6)]
    vectors = np.concatenate([np.tile([1, 0], (500, 1)), np.tile([1, 0.5], (6, 1))])
    found = moments(Index.build([*crowd, *others], vectors, space(2)), crowd[0], 5)
    assert len(found) == 5
    assert all(moment.song.startswith("other") for moment in found)


# --- Clusters


def blobs(sizes: tuple[int, ...], *, dims: int = 24, apart: float = 3.0, seed: int = 0) -> tuple[Floats, NDArray[np.int64]]:
    truth = np.repeat(np.arange(len(sizes)), sizes)
    centres = apart * random(seed + 50).normal(size=(len(sizes), dims))
    order = random(seed).permutation(len(truth))
    return (centres[truth] + random(seed + 1).normal(size=(len(truth), dims))).astype(np.float32)[order], truth[order]


@pytest.mark.parametrize("likeness", BOTH)
@pytest.mark.parametrize("sizes", [(20, 12), (30, 20, 10, 5), (12, 11, 10, 9, 8, 7)])
def test_clusters_that_are_there_are_found_largest_first(likeness: Likeness, sizes: tuple[int, ...]) -> None:
    vectors, truth = blobs(sizes)
    found = clusters(vectors, likeness=likeness)
    assert found.count == len(sizes)
    assert (found.labels == truth).all()
    assert found.score > found.chance
    assert found.says.startswith(f"{len(sizes)} clusters: the division scores {found.score:.2f}")


@pytest.mark.parametrize("likeness", BOTH)
@pytest.mark.parametrize("seed", range(2))
def test_noise_has_no_clusters_to_speak_of(likeness: Likeness, seed: int) -> None:
    long = random(seed).normal(size=(60, 32)) * np.linspace(4, 0.1, 32)
    flat = random(seed).uniform(size=(60, 3))
    for vectors in (long, flat + 1):
        found = clusters(vectors, likeness=likeness)
        assert found.count == 1
        assert not found.labels.any()
        assert found.says.startswith("no clusters to speak of")
        assert found.score <= found.chance


@pytest.mark.parametrize("songs", range(6))
def test_a_handful_of_songs_is_too_few_to_tell(songs: int) -> None:
    found = clusters(random(0).normal(size=(songs, 4)))
    assert found.labels.tolist() == [0] * songs
    assert f"{songs} song{' is' if songs == 1 else 's are'} too few to tell clusters; at least 6" in found.says


def test_songs_that_are_all_alike_have_no_clusters() -> None:
    assert "all alike" in clusters(np.full((20, 5), 0.3)).says
    assert clusters(np.zeros((20, 5))).count == 1


def test_two_sets_of_copies_are_two_clusters() -> None:
    found = clusters(np.repeat([[1, 0, 0], [0, 1, 0]], 5, axis=0))
    assert found.labels.tolist() == [0] * 5 + [1] * 5
    assert found.score == pytest.approx(1)


def test_clusters_far_from_the_origin_are_found() -> None:
    vectors, truth = blobs((15, 10))
    near, far = (clusters(vectors.round().astype(np.float64) + offset, likeness="euclidean") for offset in (0, 2**23))
    assert (far.labels == truth).all()
    assert far.score == pytest.approx(near.score, rel=1e-6)


def test_songs_beyond_those_judged_join_the_nearest_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clustering, "JUDGED", 60)
    vectors, truth = blobs((400, 250, 150))
    assert (clusters(vectors).labels == truth).all()


def test_clusters_are_the_same_every_time() -> None:
    vectors, _ = blobs((20, 12), apart=0.8)
    assert clusters(vectors).says == clusters(vectors).says


def test_the_silhouette_is_the_one_that_everybody_means() -> None:
    vectors, labels = blobs((9, 6, 1), apart=0.6)
    distances = np.linalg.norm(vectors[:, None].astype(np.float64) - vectors, axis=2)
    assert clustering.silhouette(distances, labels) == pytest.approx(silhouette_score(vectors, labels), abs=1e-5)


# --- Maps


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("how", ["pca", "tsne"])
@pytest.mark.parametrize("songs", [0, 1, 2, 3, 4, 5, 9])
def test_a_map_of_any_number_of_songs_is_finite_and_the_same_every_time(songs: int, how: maps.Plane, dims: Any) -> None:
    vectors = random(0).normal(size=(songs, 20))
    once, again = (plane(vectors, how, dims) for _ in range(2))
    assert once.shape == (songs, dims)
    assert np.isfinite(once).all()
    assert (once == again).all()


def test_a_flat_map_of_flat_vectors_keeps_every_distance() -> None:
    flat = random(1).normal(size=(40, 2)) * [5, 1]
    turn = np.linalg.qr(random(2).normal(size=(30, 2)))[0]
    laid = plane(flat @ turn.T + 7, "pca", 2)
    pairs = [np.linalg.norm(points[:, None] - points, axis=2) for points in (flat, laid)]
    np.testing.assert_allclose(*pairs, atol=1e-4)
    assert np.ptp(laid, axis=0).argmax() == 0


def test_few_long_vectors_are_laid_as_many_are() -> None:
    vectors = random(3).normal(size=(30, 200)) * np.linspace(3, 0.1, 200)
    left, sizes, _ = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(np.abs(plane(vectors, "pca", 3)), np.abs((left * sizes)[:, :3]), atol=1e-3)


def test_vectors_of_one_number_lie_on_a_line() -> None:
    laid = plane([[1.0], [2.0], [4.0], [8.0]], "pca", 3)
    np.testing.assert_allclose(np.abs(np.diff(laid[:, 0])), [1, 2, 4], rtol=1e-5)
    assert not laid[:, 1:].any()


def test_tsne_keeps_neighbours_together() -> None:
    vectors, truth = blobs((25, 25, 25))
    laid = plane(vectors, "tsne", 2)
    distances = np.linalg.norm(laid[:, None] - laid, axis=2) + 1e9 * np.eye(75)
    assert (truth[distances.argmin(axis=1)] == truth).mean() > 0.95


@pytest.mark.parametrize("how", ["pca", "tsne"])
def test_songs_that_are_all_alike_share_a_place(how: maps.Plane) -> None:
    assert not plane(np.ones((20, 5)), how, 2).any()


def test_a_map_that_would_take_too_long_is_refused() -> None:
    with pytest.raises(SimilarityError, match="tsne of 5001 songs takes too long; 5000 are the most"):
        plane(np.zeros((5_001, 2)), "tsne", 2)
    for how, dims in (("mds", 2), ("pca", 4), ("pca", 2.5)):
        with pytest.raises(SimilarityError, match="choose pca, tsne or umap"):
            plane(np.eye(3), how, dims)  # type: ignore[arg-type]


def test_umap_is_optional_and_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(SimilarityError, match="pip install umap-learn"):
        plane(random(0).normal(size=(20, 5)), "umap", 2)


@pytest.mark.parametrize("songs", [4, 8, 100])
def test_umap_is_asked_for_what_so_many_songs_allow(monkeypatch: pytest.MonkeyPatch, songs: int) -> None:
    asked: dict[str, Any] = {}

    class Umap:
        def __init__(self, **options: Any) -> None:
            asked.update(options)

        def fit_transform(self, _: Any) -> Any:
            return asked["init"]

    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=Umap))
    assert plane(random(0).normal(size=(songs, 5)), "umap", 2).shape == (songs, 2)
    assert asked["n_neighbors"] == min(15, songs - 1)
    assert asked["random_state"] == 0


# --- Two songs


def piece(seed: int, moments: int = 60, dims: int = 12) -> Floats:
    """Frames that wander: neighbours are alike, and no stretch comes again."""
    steps = random(seed).normal(size=(moments + 3, dims))
    return sum(steps[k : k + moments] for k in range(3)).astype(np.float32)


def test_a_song_agrees_with_itself_wholly_from_start_to_end() -> None:
    found = agreement(walk(piece(0)), walk(piece(0)))
    assert found.likeness == pytest.approx(1)
    np.testing.assert_allclose(np.diag(found.matrix), 1, atol=1e-6)
    assert found.stretches[0] == Stretch(a_start=0, a_stop=30, b_start=0, b_stop=30, likeness=pytest.approx(1))
    assert len(found.stretches) == 1


def test_a_part_that_both_songs_have_is_found_where_it_is_in_each() -> None:
    a, b = piece(1), piece(2)
    b[30:46] = 3 * a[8:24]
    found = agreement(walk(a), walk(b, start=100.25))
    assert found.stretches[0] == Stretch(a_start=4, a_stop=12, b_start=115, b_stop=123, likeness=pytest.approx(1))
    assert found.likeness > agreement(walk(a), walk(piece(2))).likeness


def test_a_part_at_either_end_is_found() -> None:
    a, b = piece(1), piece(2)
    b[-16:] = a[:16]
    best = agreement(walk(a), walk(b)).stretches[0]
    assert (best.a_start, best.a_stop, best.b_start, best.b_stop) == (0, 8, 22, 30)


def broken_loop() -> Floats:
    frames = np.tile(random(7).normal(size=(10, 12)), (6, 1)).astype(np.float32)
    frames[20] = random(8).normal(size=12)
    return frames


@pytest.mark.parametrize(("a", "b"), [(piece(3, 90), piece(4, 70)), (np.roll(broken_loop(), 20, axis=0), broken_loop())])
def test_stretches_share_no_sound_with_each_other(a: Floats, b: Floats) -> None:
    found = agreement(walk(a), walk(b)).stretches
    assert len(found) > 1
    for side in ("a", "b"):
        spans = sorted((getattr(stretch, f"{side}_start"), getattr(stretch, f"{side}_stop")) for stretch in found)
        assert all(stop <= start + 1e-6 for (_, stop), (start, _) in itertools.pairwise(spans))


def test_agreement_is_the_mean_of_the_best_both_ways() -> None:
    a, b = walk([[1, 0], [0, 1]], step=9), walk([[1, 0], [1, 0], [-1, 0]], step=9)
    found = agreement(a, b)
    np.testing.assert_allclose(found.matrix, [[1, 1, -1], [0, 0, 0]], atol=1e-6)
    assert found.likeness == pytest.approx(((1 + 0) / 2 + (1 + 1 + 0) / 3) / 2)
    other = agreement(b, a)
    assert other.likeness == pytest.approx(found.likeness)
    assert (found.matrix == other.matrix.T).all()


def test_long_songs_are_compared_in_a_few_hundred_pieces() -> None:
    a, b = walk(np.repeat(piece(5, 300), 20, axis=0), step=0.05), walk(np.repeat(piece(5, 150), 20, axis=0), step=0.05)
    found = agreement(a, b)
    assert found.matrix.shape == (200, 100)
    assert found.a_times[0] == pytest.approx(0.25)
    assert found.a_times[-1] == pytest.approx(300, abs=1)
    assert found.matrix.max(axis=0).min() > 0.99  # all of b is in a


def test_frames_of_different_steps_are_brought_to_one() -> None:
    fine, coarse = piece(6, 80), piece(6, 80)[::2]
    found = agreement(walk(fine, step=0.5), walk(coarse, step=1.0))
    assert found.matrix.shape == (40, 40)
    assert (found.matrix.argmax(axis=1) == np.arange(40)).mean() > 0.9


def test_two_frames_or_silence_can_be_compared() -> None:
    silent = walk(np.zeros((2, 3)))
    found = agreement(silent, walk([[1, 2, 3], [3, 2, 1]]))
    assert found.likeness == 0
    assert found.stretches[0].likeness == 0


def test_songs_through_two_encoders_are_not_compared() -> None:
    with pytest.raises(SimilarityError, match="frames of 3 and of 4 dimensions"):
        agreement(walk(np.eye(3)), walk(np.eye(4)))


# --- Vectors of one's own


def text(tmp_path: Path, content: str | bytes) -> Path:
    file = tmp_path / "own.csv"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


@pytest.mark.parametrize(
    "content",
    [
        "a,1,2\nb,3,4.5\n",
        "name,x,y\na,1,2\nb,3,4.5",
        "\ufeffa;1;2\r\n\r\nb;3;4.5\r\n",
        'a\t1\t2\n"b"\t3\t4.5e0\n',
    ],
)
def test_a_csv_is_read_with_or_without_a_headline(tmp_path: Path, content: str) -> None:
    found, vectors = read_vectors(text(tmp_path, content))
    assert found == ("a", "b")
    assert vectors.tolist() == [[1, 2], [3, 4.5]]
    assert vectors.dtype == np.float32


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("key", ["names", "ids"])
def test_an_npz_is_read_and_what_else_is_in_it_left_alone(tmp_path: Path, save: Any, key: str) -> None:
    save(tmp_path / "own.npz", vectors=np.asfortranarray([[1, 2], [3, 4]]), more=np.array([object()]), **{key: np.array(["a", "ß"])})
    found, vectors = read_vectors(str(tmp_path / "own.npz"))
    assert found == ("a", "ß")
    assert vectors.tolist() == [[1, 2], [3, 4]]


def test_an_open_file_is_read_and_stays_open() -> None:
    packed = io.BytesIO()
    np.savez(packed, names=np.array(["a"]), vectors=np.ones((1, 2), np.float16))
    for file in (packed, io.BytesIO(b"a,1,1\n")):
        assert read_vectors(file)[1].tolist() == [[1, 1]]
        assert not file.closed


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "no vectors"),
        ("name,x,y\n", "no vectors"),
        ("a\nb\n", "vectors of 0 numbers"),
        ("a,1,2\nb,3\n", "line 2 holds 1 numbers, and the first 2"),
        ("a,1,2\nb,3,x\n", "line 2 holds 'x', which is no number"),
        ("a,1,2\nb,3,\n", "line 2 holds '', which is no number"),
        ("a,1,nan\n", "line 1 holds 'nan'"),
        ("a,nan,nan\n", "line 1 holds 'nan'"),
        ("a,1,1e999\n", "line 1 holds '1e999'"),
        ("a,1,2\na,3,4\n", "'a' names two vectors"),
        (",1,2\n", "'' cannot name a vector"),
        ("x" * 201 + ",1,2\n", "cannot name a vector"),
        (b"a,1,2\n\xff\xfe,3,4\n", "utf-8"),
        (b"\x80\x04\x95pickle", "utf-8"),
        (b"\x93NUMPY\x01\x00", "utf-8"),
        ('"a,1,2\nb,3,4\n', "unexpected end"),
        ("a,1\nb," + "7" * 500, "a line of more than"),
        ("a," + ",".join("1" * 10) + "\n", "vectors of 10 numbers; 1 to 4 are possible"),
        ("".join(f"{i},1\n" for i in range(7)), "more than 6 vectors"),
        ("a,1,2\n" * 400, "MB large"),
    ],
)
def test_a_csv_that_is_wrong_is_one_sentence(tmp_path: Path, content: str | bytes, words: str) -> None:
    with pytest.raises(SimilarityError, match=words) as caught:
        read_vectors(text(tmp_path, content), limits=VectorLimits(bytes=2_000, rows=6, dims=4))
    assert str(caught.value).startswith("'own.csv' cannot be read: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"vectors": UNITS}, "it needs two arrays"),
        ({"names": np.array(["a", "b"])}, "it needs two arrays"),
        ({"names": np.array(["a"]), "vectors": UNITS}, "1 names for 2 vectors"),
        ({"names": np.array([["a", "b"]]), "vectors": UNITS}, "one for each vector"),
        ({"names": np.array([1, 2]), "vectors": UNITS}, "must be text"),
        ({"names": np.array(["a", "a"]), "vectors": UNITS}, "names two"),
        ({"names": np.array(["a", "\ud800"]), "vectors": UNITS}, "names are no text"),
        ({"names": np.array(["a", "b"]), "vectors": np.array(["a", "b"])}, "must be numbers"),
        ({"names": np.array(["a", "b"]), "vectors": UNITS[0]}, "shape \\(2,\\)"),
        ({"names": np.array(["a", "b"]), "vectors": UNITS.astype(complex)}, "plain numbers"),
        ({"names": np.array(["a", "b"]), "vectors": np.array([[1, math.inf]] * 2)}, "not numbers"),
        ({"names": np.array([], dtype=str), "vectors": UNITS[:0]}, "no vectors"),
        ({"names": np.array(list("abcdefg")), "vectors": np.ones((7, 2))}, "more than 6 vectors"),
        ({"names": np.array(["a"]), "vectors": np.ones((1, 9))}, "9 numbers; 1 to 4"),
        ({"names": np.array(["a"]), "vectors": np.zeros((500, 500))}, "unpacks to more than 1 MB"),
    ],
)
def test_an_npz_that_is_wrong_is_one_sentence(tmp_path: Path, arrays: dict[str, Any], words: str) -> None:
    np.savez_compressed(tmp_path / "own.npz", **arrays)
    with pytest.raises(SimilarityError, match=words) as caught:
        read_vectors(tmp_path / "own.npz", limits=VectorLimits(unpacked_bytes=1_000_000, rows=6, dims=4))
    assert "\n" not in str(caught.value)


def npz(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> io.BytesIO:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return packed


def npy(shape: str, data: bytes = b"", descr: str = "'<f4'") -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


@pytest.mark.parametrize(
    "vectors",
    [
        npy("(1000000000, 1000000000)"),
        npy("(-1, 4)", b"1234"),
        npy("(1, 2)", b"1234"),
        npy("(1, 2)", b"123456789"),
        npy("(1, 2)", b"12345678", "'|O'"),
        npy("(1, 2)", b"12345678", "[('a', '<f4')]"),
        npy("(1, 2)", b"12345678", "__import__('os')"),
        npy("(" * 5_000, b"12345678"),
        b"\x93NUMPY\x03\x00",
        b"\x93NUMPY\x01\x00\xff\xff",
        b"nothing",
        b"",
    ],
)
def test_an_array_that_lies_about_itself_takes_no_memory(vectors: bytes) -> None:
    good = npy("(1,)", "a".encode("utf-32-le"), "'<U1'")
    with pytest.raises(SimilarityError, match="cannot be read"):
        read_vectors(npz({"names.npy": good, "vectors.npy": vectors}))


def test_hostile_zips_are_refused(tmp_path: Path) -> None:
    names_, good = npy("(1,)", "a".encode("utf-32-le"), "'<U1'"), npy("(1, 2)", bytes(8))
    assert read_vectors(npz({"names.npy": names_, "vectors.npy": good}))[0] == ("a",)
    many = npz({"names.npy": names_, "vectors.npy": good, **{f"{i:0100}.npy": b"" for i in range(200)}})
    with pytest.raises(SimilarityError, match="more arrays than vectors need"):
        read_vectors(many)
    end = io.BytesIO(many.getvalue()[:-22] + b"PK\6\7" + bytes(16) + many.getvalue()[-22:])
    with pytest.raises(SimilarityError, match="not as numpy writes it"):
        read_vectors(end)
    with pytest.raises(SimilarityError, match="numpy does not use"):
        read_vectors(npz({"names.npy": names_, "vectors.npy": good}, zipfile.ZIP_BZIP2))
    with pytest.raises(SimilarityError, match="cut short"):
        read_vectors(io.BytesIO(npz({"names.npy": names_, "vectors.npy": good}).getvalue()[:-1]))
    twice = npz({"names.npy": names_, "vectors.npy": good, "vectorz.npy": good}).getvalue().replace(b"vectorz", b"vectors")
    with pytest.raises(SimilarityError, match="an array twice"):
        read_vectors(io.BytesIO(twice))
    with pytest.raises(SimilarityError, match=r"'nowhere.csv' cannot be read: No such file"):
        read_vectors(tmp_path / "nowhere.csv")
    with pytest.raises(SimilarityError, match="cannot be read"):
        read_vectors(tmp_path)


def test_a_damaged_npz_of_ones_own_is_always_one_sentence() -> None:
    packed = io.BytesIO()
    np.savez_compressed(packed, names=np.array(names(20)), vectors=mixture(20))
    whole, noise = packed.getvalue(), random(6)
    said = []
    for _ in range(400):
        damaged = bytearray(whole)
        for _ in range(int(noise.integers(1, 4))):
            damaged[noise.integers(len(whole))] = noise.integers(256)
        said.append(attempt(lambda: read_vectors(io.BytesIO(bytes(damaged))))[1])  # noqa: B023 - called at once
    assert sum(map(bool, said)) > 200
    assert not any("\n" in words for words in said)
