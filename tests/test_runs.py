import dataclasses
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trajectory import runs
from trajectory.errors import TrajectoryError
from trajectory.records import Forming, TrainingLog, Trajectory
from trajectory.rhythm import Beat
from trajectory.settings import preset


def make_run(seed: int = 0) -> runs.Run:
    random = np.random.default_rng(seed)
    times = np.arange(50) * 0.0232 + 0.26
    return runs.Run(
        settings=preset("conditioned"),
        song=runs.Song(name="ärger 音.mp3", seconds=2.0, title="Ärger", artist=None, beat=Beat(bpm=120.0, confidence=0.8, first=0.1)),
        scaling=runs.Scaling(bin_seconds=1024 / 44_100, frequencies=(0.0, 43.066), low=0.0, high=0.123456789),
        weights={
            "encoder.mean": random.normal(size=2).astype(np.float32),
            "steps": np.array(7),
            "lies.otherwise": random.normal(size=(4, 3, 1, 2)).astype(np.float32).transpose(0, 3, 2, 1),
        },
        trajectory=Trajectory(points=random.normal(size=(50, 3)).astype(np.float32), times=times),
        training=TrainingLog(
            losses={"total": random.random(5).astype(np.float32)},
            seconds=1.5,
            device="cpu",
            versions={"torch": "2.11.0"},
            reconstruction=0.125,
            mean_reconstruction=0.25,
        ),
        forming=Forming(steps=np.array([1, 5]), points=random.normal(size=(2, 50, 3)).astype(np.float32), times=times),
    )


def assert_equal(one: Any, other: Any) -> None:
    if dataclasses.is_dataclass(one):
        for field in dataclasses.fields(one):
            assert_equal(getattr(one, field.name), getattr(other, field.name))
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for name, value in one.items():
            assert_equal(value, other[name])
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    else:
        assert one == other


def test_a_run_comes_back_to_the_last_bit(tmp_path: Path) -> None:
    run = make_run()
    folder = runs.save(run, tmp_path / "deep" / "run")
    assert sorted(path.name for path in folder.iterdir()) == sorted(runs.FILES)
    assert_equal(runs.load(folder), run)
    assert runs.load(folder).training.gain == 0.125


def test_nothing_is_pickled(tmp_path: Path) -> None:
    folder = runs.save(make_run(), tmp_path / "run")
    for name in ("trajectory.npz", "forming.npz"):
        with zipfile.ZipFile(folder / name) as archive:
            assert all(b"descr" in archive.read(member)[:80] and b"|O" not in archive.read(member)[:80] for member in archive.namelist())


def test_saving_again_replaces_the_run_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    runs.save(make_run(0), tmp_path / "run")
    runs.save(make_run(1), tmp_path / "run")
    assert_equal(runs.load(tmp_path / "run"), make_run(1))
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_folder_that_is_no_run_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(runs.RunError, match="exists and is not a run"):
        runs.save(make_run(), tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_failed_save_leaves_the_old_run_and_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs.save(make_run(0), tmp_path / "run")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(runs.RunError, match="No space left on device"):
        runs.save(make_run(1), tmp_path / "run")
    assert_equal(runs.load(tmp_path / "run"), make_run(0))
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_run_that_holds_anything_else_is_never_replaced(tmp_path: Path) -> None:
    folder = runs.save(make_run(0), tmp_path / "run")
    (folder / "my notes.txt").write_text("about it")
    with pytest.raises(runs.RunError, match="not a run"):
        runs.save(make_run(1), folder)
    assert (folder / "my notes.txt").read_text() == "about it"


def test_an_old_run_comes_back_where_the_new_one_cannot_take_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs.save(make_run(0), tmp_path / "run")
    rename = Path.rename

    def fail(path: Path, target: Path) -> Path:
        if path.name.endswith(".new"):
            raise OSError(5, "Input/output error")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(runs.RunError, match="Input/output error"):
        runs.save(make_run(1), tmp_path / "run")
    assert_equal(runs.load(tmp_path / "run"), make_run(0))
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_link_to_a_run_stays_a_link(tmp_path: Path) -> None:
    runs.save(make_run(0), tmp_path / "run")
    (tmp_path / "link").symlink_to(tmp_path / "run")
    runs.save(make_run(1), tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert_equal(runs.load(tmp_path / "run"), make_run(1))


@pytest.mark.parametrize("place", ["x" * 300, "a\0b"])
def test_a_place_that_cannot_be_is_refused_in_one_sentence(place: str) -> None:
    with pytest.raises(runs.RunError, match="cannot be written"):
        runs.check_place(place)
    with pytest.raises(runs.RunError, match="there is no run"):
        runs.load(place)


def test_a_songs_name_in_no_known_script_is_kept(tmp_path: Path) -> None:
    run = dataclasses.replace(make_run(), song=dataclasses.replace(make_run().song, name="bad\udcff name.wav"))
    assert runs.load(runs.save(run, tmp_path / "run")).song.name == "bad\udcff name.wav"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_place_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(runs.RunError, match="cannot be written"):
        runs.save(make_run(), tmp_path / "run")


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a note")
    with pytest.raises(runs.RunError, match="not a run"):
        runs.save(make_run(), tmp_path / "run")
    with pytest.raises(runs.RunError, match="cannot be written"):
        runs.save(make_run(), tmp_path / "run" / "below")


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(runs.RunError, match="there is no run"):
        runs.load(tmp_path / "none")
    (tmp_path / "settings.json").write_text("{}")
    with pytest.raises(runs.RunError, match=r"model.safetensors, .* missing"):
        runs.load(tmp_path)


@pytest.mark.parametrize("name", runs.FILES)
@pytest.mark.parametrize("harm", ["empty", "cut", "other"])
def test_a_damaged_run_is_refused_in_one_sentence(tmp_path: Path, name: str, harm: str) -> None:
    folder = runs.save(make_run(), tmp_path / "run")
    path = folder / name
    whole = path.read_bytes()
    path.write_bytes({"empty": b"", "cut": whole[: len(whole) // 2], "other": b'{"a": [1]}'}[harm])
    with pytest.raises(TrajectoryError) as caught:
        runs.load(folder)
    assert "\n" not in str(caught.value)


def test_numbers_that_do_not_fit_together_are_refused(tmp_path: Path) -> None:
    folder = runs.save(make_run(), tmp_path / "run")
    np.savez(folder / "trajectory.npz", points=np.zeros((4, 3), np.float32), times=np.zeros(5))
    with pytest.raises(TrajectoryError, match="do not make a trajectory"):
        runs.load(folder)


def test_settings_json_says_everything_in_plain_json(tmp_path: Path) -> None:
    folder = runs.save(make_run(), tmp_path / "run")
    about = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    assert about["settings"]["window"] == {"seconds": 0.5}
    assert about["song"]["name"] == "ärger 音.mp3"
