"""`.ci/install.py` and `.ci/python`: an environment from the lock files, and one sentence for what stands in the way."""

import importlib.util
import os
import platform
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.songs import ROOT

NOWHERE = "http://127.0.0.1:9/simple"  # the discard port: nobody answers


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, with an environment and lock files in a folder of the test's own; pip fetches nothing."""
    spec = importlib.util.spec_from_file_location("install", ROOT / ".ci/install.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    monkeypatch.setattr(script, "ROOT", tmp_path)
    monkeypatch.setattr(script, "ENVIRONMENT", tmp_path / ".venv")
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    return script


def lock(folder: Path, *lines: str) -> str:
    (folder / "a.lock").write_text("\n".join(lines))
    return "a.lock"


def test_what_a_lock_names_is_installed_once_and_again_when_it_changes(
    install: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed: list[str] = []
    monkeypatch.setattr(install, "install", installed.append)
    name = lock(tmp_path, "# nothing yet")
    install.main([name])
    install.main([name])
    assert installed == [name]
    lock(tmp_path, "# something else")
    install.main([name])
    assert installed == [name, name]


def test_an_environment_whose_python_is_gone_is_made_anew(install: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "install", lambda _: None)
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.symlink_to(tmp_path / "gone")
    (tmp_path / ".venv/a.lock.installed").write_text("of the old one")
    install.main([lock(tmp_path, "# nothing")])
    assert subprocess.run([python, "-c", "import pip"], check=True, capture_output=True).returncode == 0


def refusal(install: ModuleType, name: str) -> str:
    with pytest.raises(SystemExit) as ended:
        install.main([name])
    sentence = str(ended.value)
    assert "\n" not in sentence
    assert not (install.ENVIRONMENT / f"{name}.installed").exists()
    return sentence


def test_a_platform_without_a_wheel_reads_which_have_one(install: ModuleType, tmp_path: Path) -> None:
    name = lock(tmp_path, f"nowhere-to-be-had==1.0 --hash=sha256:{'0' * 64}")
    sentence = refusal(install, name)
    assert f"has no wheel for {platform.system()} on {platform.machine()} with Python" in sentence
    for place in ("x86-64", "arm64", "macOS", "WSL"):
        assert place in sentence


def test_a_machine_without_a_network_reads_that_it_has_none(install: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", NOWHERE)
    monkeypatch.setenv("PIP_RETRIES", "1")
    name = lock(tmp_path, f"nowhere-to-be-had==1.0 --hash=sha256:{'0' * 64}")
    assert "without a network" in refusal(install, name)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.\n  torch==2", "is not the one that was tested"),
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "the disk is full"),
        ("WARNING: NewConnectionError\nERROR: No matching distribution found for av==18.1.0", "without a network"),
        ("Collecting av\nERROR: something new\n\n", "could not be installed: ERROR: something new"),
        ("", "it said nothing"),
    ],
)
def test_what_pip_says_becomes_one_sentence(install: ModuleType, words: str, part: str) -> None:
    assert part in install.explanation(words)


def fake_python(folder: Path, name: str, version: str) -> Path:
    """One that only knows its version."""
    folder.mkdir(exist_ok=True)
    place = folder / name
    numbers = version.replace(".", ", ")
    place.write_text(f'#!/bin/sh\nshift\nexec {sys.executable} -c "import sys; sys.version_info = ({numbers}, 0); $1"\n')
    place.chmod(0o755)
    return place


def chosen(folder: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    own = {"PATH": f"{folder}:/usr/bin:/bin", **environment}
    return subprocess.run(["/bin/sh", ROOT / ".ci/python"], env=own, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("version", ["3.10", "3.15"])
def test_a_python_that_does_not_fit_is_passed_over_or_refused_in_one_sentence(version: str, tmp_path: Path) -> None:
    fake_python(tmp_path / "bin", "python3", version)
    for name in ("python3.11", "python3.12", "python3.13", "python3.14"):
        fake_python(tmp_path / "bin", name, version)
    refused = chosen(tmp_path / "bin")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith(f"Python 3.11 to 3.14 is needed and python3 is Python {version}:")
    assert refused.stderr.count("\n") == 1
    fake_python(tmp_path / "bin", "python3.13", "3.13")
    assert chosen(tmp_path / "bin").stdout == "python3.13\n"


def test_a_python_that_is_named_is_taken_or_refused(tmp_path: Path) -> None:
    good, old = (fake_python(tmp_path / "bin", name, version) for name, version in (("good", "3.12"), ("old", "3.9")))
    assert chosen(tmp_path / "bin", PYTHON=str(good)).stdout == f"{good}\n"
    assert f"{old} is Python 3.9" in chosen(tmp_path / "bin", PYTHON=str(old)).stderr
    assert "is none" in chosen(tmp_path / "bin", PYTHON="python-of-nobody").stderr
