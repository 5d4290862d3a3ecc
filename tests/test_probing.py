"""Files that kill or hang whoever reads them: the app's own process lives on, and says so in one sentence."""

import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.songs import ROOT
from trajectory import audio, probing
from trajectory.audio import AudioError
from trajectory.library import Library
from trajectory.probing import Prober
from trajectory.settings import AudioLimits

LOOP = ROOT / "assets/songs/07_cc0_loop_120bpm.ogg"
HOSTILE = """
import os, signal, time
from trajectory import audio
_probe = audio.probe

def probe(path, limits):
    name = os.path.basename(path)
    if "hangs" in name:
        time.sleep(1_000)
    if "crashes" in name:
        os.kill(os.getpid(), signal.SIGSEGV)
    if "swells" in name:
        bytearray(1 << 36)
    if "writes" in name:
        open(path + ".new", "wb").write(b"x")
    return _probe(path, limits)

audio.probe = probe
"""


@pytest.fixture
def prober(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Prober]:
    """One whose processes fall for files by their names."""
    (tmp_path / "python").mkdir()
    (tmp_path / "python/sitecustomize.py").write_text(HOSTILE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "python"))
    monkeypatch.setattr(probing, "ANSWER_SECONDS", 2.0)
    made = Prober()
    yield made
    made.close()


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children() if "trajectory.probing" in child.cmdline()}


def song(tmp_path: Path, name: str) -> Path:
    place = tmp_path / name
    place.write_bytes(LOOP.read_bytes())
    return place


def test_what_is_found_is_what_the_reader_finds(prober: Prober) -> None:
    assert prober.probe(LOOP) == audio.probe(LOOP)
    with pytest.raises(AudioError) as there:
        prober.probe(ROOT / "README.md")
    with pytest.raises(AudioError) as here:
        audio.probe(ROOT / "README.md")
    assert str(there.value) == str(here.value)
    with pytest.raises(AudioError, match="MB"):
        prober.probe(LOOP, AudioLimits(bytes=1_000))


@pytest.mark.parametrize(
    ("name", "why"), [("crashes.ogg", probing.FATAL), ("hangs.ogg", "could not be read within"), ("swells.ogg", "more memory than a song")]
)
def test_a_file_that_kills_or_hangs_its_reader_is_refused_and_the_next_one_read(
    name: str, why: str, prober: Prober, tmp_path: Path
) -> None:
    before = children()
    prober.warm()
    first = children() - before
    assert len(first) == 1
    with pytest.raises(AudioError) as refused:
        prober.probe(song(tmp_path, name))
    assert why in str(refused.value)
    assert str(refused.value).startswith(name)
    assert "\n" not in str(refused.value)
    assert prober.probe(LOOP).channels > 0
    if name != "swells.ogg":
        assert not first & children()


def test_who_reads_a_file_cannot_write_one(prober: Prober, tmp_path: Path) -> None:
    prober.probe(song(tmp_path, "writes.ogg"))
    assert (tmp_path / "writes.ogg.new").stat().st_size == 0


def test_a_library_calls_such_a_file_by_the_name_that_its_owner_knows(prober: Prober, tmp_path: Path) -> None:
    shelf = Library(tmp_path / "home", look=prober.probe)
    assert shelf.add_song(LOOP, name="loop.ogg").seconds
    (tmp_path / "crashing").mkdir()
    fallen = Library(tmp_path / "crashes", look=lambda path, limits: prober.probe(song(path.parent, "crashes.ogg"), limits))
    with pytest.raises(AudioError, match=r"^mine.ogg: this file ended|^crashes.ogg: this file ended"):
        fallen.add_song(LOOP, name="mine.ogg")
    assert fallen.songs() == []


def test_a_process_that_has_looked_at_many_files_is_replaced_and_none_is_left(prober: Prober, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "FILES", 2)
    before, seen = children(), set()
    for _ in range(5):
        prober.probe(LOOP)
        seen |= children() - before
    assert len(seen) >= 2
    prober.close()
    assert children() == before
    assert os.getpid() not in seen
