import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, re.DOTALL)
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def run_in(folder: Path, *command: str) -> None:
    """In a folder that has the songs but takes the results."""
    if not (folder / "assets").exists():
        (folder / "assets").symlink_to(ROOT / "assets")
    done = subprocess.run(
        command,
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "", "TRAJECTORY_HOME": str(folder / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_every_command_of_the_first_song_runs_as_written(tmp_path: Path) -> None:
    commands = [line for kind, text in BLOCKS for line in text.splitlines() if kind == "" and line.startswith(".venv/bin/python ")]
    assert len(commands) == 9
    for command in commands:
        run_in(tmp_path, sys.executable, *shlex.split(command)[1:])


def test_the_python_example_runs_as_written(tmp_path: Path) -> None:
    (example,) = [text for kind, text in BLOCKS if kind == "python"]
    run_in(tmp_path, sys.executable, "-c", example)
    assert (tmp_path / "runs/rock-smooth/trajectory.npz").is_file()


@pytest.mark.parametrize("target", sorted(set(re.findall(r"make (\w+)", README))))
def test_every_make_target_it_names_exists(target: str) -> None:
    assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(([^)h#][^)]*)\)", README))))
def test_every_file_it_links_to_is_there(path: str) -> None:
    assert (ROOT / path).is_file()
