import errno
import inspect
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.songs import ROOT
from trajectory import pipeline
from trajectory.deployment import Deployment
from trajectory.library import Library
from trajectory.runs import Run
from trajectory.settings import SectionSettings, TrainingSettings, preset
from trajectory.sharing import MOST, READ_ONLY, SharedLibrary, SharingError
from trajectory.visitors import VisitorLibrary, Visitors

LOOP = ROOT / "assets/songs/07_cc0_loop_120bpm.ogg"
PIANO = ROOT / "assets/songs/05_solo_piano.ogg"
QUICK = {"section": SectionSettings(start=2, stop=6), "training": TrainingSettings(steps=2, device="cpu")}
READS = {"songs", "song", "sound", "kept", "kept_file", "kept_files", "holders", "run", "run_entry", "place", "runs_of", "find_run"}
ALLOWED = {"keep", "training_refused"}  # derived data may be written


@pytest.fixture
def visitors(tmp_path: Path) -> Visitors:
    return Visitors(tmp_path, Deployment(kind="shared", free_bytes=1))


@pytest.fixture(scope="module")
def runs() -> list[Run]:
    return [pipeline.fit(LOOP, preset(name, **QUICK)) for name in ("conditioned", "pure")]


@pytest.fixture
def owner(visitors: Visitors, runs: list[Run]) -> VisitorLibrary:
    """With two songs, one of which has two runs."""
    own = visitors.library("owner")
    own.add_song(PIANO, name="piano.ogg")
    song = own.add_song(LOOP, name="loop.ogg")
    for run in runs:
        own.add_run(song.id, run)
    return own


def parts(owner: VisitorLibrary) -> tuple[str, str, list[str]]:
    song, other = owner.songs()
    return song.id, other.id, [run.id for run in owner.runs_of(song.id)]


def shared(visitors: Visitors, owner: VisitorLibrary, run: str | None = None) -> SharedLibrary:
    return visitors.shared(visitors.shares.make(owner.name, parts(owner)[0], run))


def test_a_link_shows_one_song_with_its_runs_and_sound(visitors: Visitors, owner: VisitorLibrary) -> None:
    song, _, runs = parts(owner)
    seen = shared(visitors, owner)
    assert [each.id for each in seen.songs()] == [song]
    assert [run.id for run in seen.runs_of(song)] == runs
    assert seen.sound(song).read_bytes() == LOOP.read_bytes()
    assert len(seen.run(runs[0]).trajectory.points) > 10
    assert seen.find_run(song, preset("pure", **QUICK)) is not None


def test_a_link_shows_nothing_else_of_its_owners(visitors: Visitors, owner: VisitorLibrary) -> None:
    song, other, _ = parts(owner)
    owner.keep(other, "private.npz", b"x")
    seen = shared(visitors, owner)
    asks: list[Callable[[], object]] = [
        lambda: seen.song(other),
        lambda: seen.sound(other),
        lambda: seen.kept(other, "private.npz"),
        lambda: seen.kept_file(other, "private.npz"),
        lambda: seen.kept_files(other, ""),
        lambda: seen.runs_of(other),
        lambda: seen.find_run(other, preset("pure")),
        lambda: seen.keep(other, "mine.npz", b"x"),
    ]
    for ask in asks:
        with pytest.raises(SharingError):
            ask()
    assert seen.holders("private.npz") == []
    assert seen.songs("piano") == []
    assert [each.id for each in seen.songs("loop")] == [song]


def test_a_link_to_one_run_hides_the_others(visitors: Visitors, owner: VisitorLibrary) -> None:
    song, _, (first, second) = parts(owner)
    seen = shared(visitors, owner, second)
    assert [run.id for run in seen.runs_of(song)] == [second]
    for ask in (seen.run_entry, seen.run, seen.place):
        with pytest.raises(SharingError):
            ask(first)
    hidden = owner.run(first).settings
    assert seen.find_run(song, hidden) is None


def test_nothing_is_changed_through_a_link(visitors: Visitors, owner: VisitorLibrary) -> None:
    song, _, (run, _) = parts(owner)
    seen = shared(visitors, owner)
    changes: list[Callable[[], object]] = [
        lambda: seen.rename(song, "mine"),
        lambda: seen.add_song(LOOP, name="loop.ogg"),
        lambda: seen.add_run(song, owner.run(run)),
        lambda: seen.delete_song(song),
        lambda: seen.delete_run(run),
        lambda: seen.restore_song(song),
        lambda: seen.restore_run(run),
        lambda: seen.drop(song, "heard.npz"),
        lambda: seen.purge(0),
        lambda: seen.may_export(),
    ]
    for change in changes:
        with pytest.raises(SharingError, match="ask its owner"):
            change()
    assert seen.training_refused() == READ_ONLY
    assert owner.song(song).title == "CC0 loop, 120 BPM"
    seen.keep(song, "heard-0-end.npz", b"worked out")
    assert owner.kept(song, "heard-0-end.npz") == b"worked out"
    for name in ("film-0123456789ab.mp4", "heard-by-musicnn-1.bin", "note.txt", "sound.ogg"):
        with pytest.raises(SharingError, match="ask its owner"):
            seen.keep(song, name, b"somebody else's")


def test_a_link_that_was_taken_back_shows_nothing_to_who_is_still_looking(visitors: Visitors, owner: VisitorLibrary) -> None:
    song, _, (run, _) = parts(owner)
    seen = shared(visitors, owner)
    assert seen.songs()
    visitors.shares.end(owner.name)
    assert seen.songs() == []
    reads: list[Callable[[], object]] = [
        lambda: seen.song(song),
        lambda: seen.sound(song),
        lambda: seen.kept(song, "heard-0-end.npz"),
        lambda: seen.kept_files(song, "film-"),
        lambda: seen.run(run),
        lambda: seen.place(run),
        lambda: seen.runs_of(song),
        lambda: seen.find_run(song, preset("pure", **QUICK)),
        lambda: seen.keep(song, "heard-0-end.npz", b"x"),
    ]
    for read in reads:
        with pytest.raises(SharingError, match="took it back"):
            read()


def test_whatever_a_library_learns_to_do_is_decided_for_links_too() -> None:
    """A method that nobody thought of here would let a stranger do it."""
    methods = {name for name, _ in inspect.getmembers(Library, inspect.isfunction) if not name.startswith("_")}
    refused = {name for name in methods if getattr(SharedLibrary, name) is SharedLibrary._refuse}
    assert methods == READS | ALLOWED | refused | {"disk_use"}
    assert "usage" in refused  # which disk_use asks


def test_a_link_cannot_be_guessed_and_is_not_on_the_disk(visitors: Visitors, owner: VisitorLibrary, tmp_path: Path) -> None:
    song, _, _ = parts(owner)
    one, other = visitors.shares.make(owner.name, song), visitors.shares.make(owner.name, song)
    assert one != other
    assert len(one) == 32
    for file in tmp_path.rglob("*"):
        assert one not in file.name
        assert not file.is_file() or one.encode() not in file.read_bytes()
    digest = next(iter((tmp_path / "shares").iterdir())).name.split(".")[0]
    for guess in (digest, "", "*", "../x", one[:-1] + "*", one.swapcase(), "none", one + "\n"):
        with pytest.raises(SharingError, match="leads to nothing"):
            visitors.shared(guess)


def test_an_owner_takes_a_link_back(visitors: Visitors, owner: VisitorLibrary) -> None:
    song, _, _ = parts(owner)
    first, second = visitors.shares.make(owner.name, song), visitors.shares.make(owner.name, song)
    newest, _ = visitors.shares.of(owner.name)
    visitors.shares.end("somebody else", digest=newest.digest)
    assert visitors.shared(second).songs()
    visitors.shares.end(owner.name, digest=newest.digest)
    with pytest.raises(SharingError):
        visitors.shared(second)
    assert visitors.shared(first).songs()


def test_deleting_ends_the_links_for_good(visitors: Visitors, owner: VisitorLibrary) -> None:
    song, _, (run, other) = parts(owner)
    of_run, of_other = visitors.shares.make(owner.name, song, run), visitors.shares.make(owner.name, song, other)
    owner.delete_run(run)
    owner.restore_run(run)
    with pytest.raises(SharingError):
        visitors.shared(of_run)
    assert visitors.shared(of_other).songs()
    owner.delete_song(song)
    owner.restore_song(song)
    with pytest.raises(SharingError):
        visitors.shared(of_other)


def test_a_song_that_is_deleted_while_somebody_looks_is_gone_for_them(visitors: Visitors, owner: VisitorLibrary) -> None:
    song, _, _ = parts(owner)
    seen = shared(visitors, owner)
    owner.delete_song(song)
    assert seen.songs() == []
    with pytest.raises(SharingError, match="was deleted"):
        seen.sound(song)


def test_links_are_not_made_without_end(visitors: Visitors, owner: VisitorLibrary) -> None:
    song, _, _ = parts(owner)
    for _ in range(MOST):
        visitors.shares.make(owner.name, song)
    with pytest.raises(SharingError, match="take one back first"):
        visitors.shares.make(owner.name, song)
    assert len(visitors.shares.of(owner.name)) == MOST


def test_a_damaged_link_leads_to_nothing(visitors: Visitors, owner: VisitorLibrary, tmp_path: Path) -> None:
    token = visitors.shares.make(owner.name, parts(owner)[0])
    (file,) = (tmp_path / "shares").iterdir()
    file.write_text('{"song": ')
    with pytest.raises(SharingError):
        visitors.shared(token)
    assert visitors.shares.of(owner.name) == []


def test_a_link_that_cannot_be_looked_up_now_is_not_said_to_lead_to_nothing(
    visitors: Visitors, owner: VisitorLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = visitors.shares.make(owner.name, parts(owner)[0])

    def refuse(*_: object, **__: object) -> str:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_text", refuse)
        with pytest.raises(SharingError, match="cannot be looked up at the moment"):
            visitors.shared(token)
        with pytest.raises(SharingError, match="at the moment"):
            visitors.shares.end(owner.name)
    assert visitors.shared(token).songs()
