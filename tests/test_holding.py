import multiprocessing
import os
import time
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from trajectory import holding


def hold(above: str, told: Event) -> None:
    with holding.held(Path(above), prefix="x-") as folder:
        (folder / "half").write_bytes(b"half")
        told.set()
        time.sleep(60)


def test_a_held_folder_is_ones_own_and_gone_afterwards(tmp_path: Path) -> None:
    with holding.held(tmp_path) as one, holding.held(tmp_path) as other:
        assert one != other
        assert one.parent == tmp_path
        assert one.stat().st_mode & 0o077 == 0
        (one / "deep").mkdir()
        holding.sweep(tmp_path, stale_seconds=-1)
        assert (one / "deep").is_dir()
    assert not list(tmp_path.iterdir())


def test_the_folder_of_one_who_was_killed_is_swept_and_not_before(tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    told = context.Event()
    holder = context.Process(target=hold, args=(str(tmp_path), told))
    holder.start()
    assert told.wait(30)
    holding.sweep(tmp_path, prefix="x-", stale_seconds=-1)
    assert list(tmp_path.glob("x-*/half"))
    holder.kill()
    holder.join()
    holding.sweep(tmp_path, prefix="y-", stale_seconds=-1)
    assert list(tmp_path.glob("x-*/half"))
    holding.sweep(tmp_path, prefix="x-")  # young as it is
    assert not list(tmp_path.iterdir())


def test_a_folder_that_never_was_locked_goes_when_it_is_old(tmp_path: Path) -> None:
    for name, age in (("old", 4_000), ("young", 3_000)):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    holding.sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["young"]


def test_what_belongs_to_others_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs.held").touch()
    monkeypatch.setattr(os, "getuid", lambda: 12_345)
    holding.sweep(tmp_path, stale_seconds=-1)
    assert len(list(tmp_path.iterdir())) == 2


def test_what_only_looks_like_ours_among_everybodys_temporary_files_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "trajectory-backup").mkdir()
    (tmp_path / "trajectory-1.held").touch()
    os.utime(tmp_path / "trajectory-backup", (0, 0))
    with holding.apart() as folder:
        holding.sweep_apart()
        assert {path.name for path in tmp_path.iterdir()} == {"trajectory-backup", folder.name, f"{folder.name}.held"}
