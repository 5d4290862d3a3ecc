"""Every command of every document is run, or says here why not; every link leads somewhere."""

import configparser
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
TEXTS = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in DOCS}
BLOCKS = [
    (name, kind, text)
    for name, whole in TEXTS.items()
    for kind, text in re.findall(r"^```(\w*)\n(.*?)^```", whole, re.DOTALL | re.MULTILINE)
]
COMMANDS = [(name, line) for name, kind, text in BLOCKS if kind == "sh" for line in text.splitlines()]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
LIBRARY = ".venv/bin/python -m trajectory"
ELSEWHERE = {  # the beginning of a command: why it is not run here
    "make ": "its target is looked up below; test runs this, and the browser tests start what app starts",
    "docker ": "there is no daemon in a test; test_deploy reads the Dockerfile and starts what it copies",
    "ssh ": "it needs a server",
    "openssl ": "test_deploy runs it",
    "export DASK_": "test_deploy sets it",
    "PYTHONPATH=. dask ": "test_jobs and test_deploy start a cluster with these options",
    "TRAJECTORY_SCHEDULER=": "test_jobs and test_deploy connect to a cluster",
    ".venv/bin/pip ": "it needs the internet",
    ".venv/bin/pytest ": "it runs the tests that run this",
    ".venv/bin/python -m tests.": "`make bench` and `make nightly` run it; that it is there is looked up below",
}
DESCRIBED = {"text", "nginx", "yaml", "ini"}  # drawings, and what other programs read


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


def test_every_block_is_a_command_an_example_or_a_drawing() -> None:
    assert {kind for _, kind, _ in BLOCKS} == {"sh", "python"} | DESCRIBED


@pytest.mark.parametrize("name", sorted({name for name, line in COMMANDS if line.startswith(LIBRARY)}))
def test_every_command_of_a_document_runs_as_written(name: str, tmp_path: Path) -> None:
    for command in [line for where, line in COMMANDS if where == name and line.startswith(LIBRARY)]:
        run_in(tmp_path, sys.executable, *shlex.split(command)[1:])


def test_a_command_that_is_not_run_has_a_reason() -> None:
    others = [line for _, line in COMMANDS if not line.startswith(LIBRARY)]
    assert [line for line in others if not line.startswith(tuple(ELSEWHERE))] == []
    assert [beginning for beginning in ELSEWHERE if not any(line.startswith(beginning) for line in others)] == []


def test_the_documents_have_the_commands_of_a_first_song() -> None:
    assert len([line for _, line in COMMANDS if line.startswith(LIBRARY)]) >= 11


@pytest.mark.parametrize("example", [text for _, kind, text in BLOCKS if kind == "python"])
def test_every_python_example_runs_as_written(example: str, tmp_path: Path) -> None:
    run_in(tmp_path, sys.executable, "-c", example)
    assert (tmp_path / "runs/rock-smooth/trajectory.npz").is_file()


@pytest.mark.parametrize("module", sorted({word for _, line in COMMANDS for word in line.split() if word.startswith("tests.")}))
def test_every_module_it_names_is_there(module: str) -> None:
    place = ROOT / module.replace(".", "/")
    assert place.with_suffix(".py").is_file() or (place / "__main__.py").is_file()


@pytest.mark.parametrize("target", sorted(set(re.findall(r"(?:`|^|[A-Z0-9] )make (\w+)", "\n".join(TEXTS.values()), re.MULTILINE))))
def test_every_make_target_it_names_exists(target: str) -> None:
    assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE)


@pytest.mark.parametrize(
    "part", sorted({part for parts in re.findall(r'ONLY="?([^"`]+)', "\n".join(TEXTS.values())) for part in parts.split()})
)
def test_every_part_of_the_bench_it_names_exists(part: str) -> None:
    assert f'"{part}":' in (ROOT / "tests/benchmarks/__main__.py").read_text(encoding="utf-8")


LINKS = sorted({(name, link) for name, text in TEXTS.items() for link in re.findall(r"\]\(([^)h#][^)]*)\)", text)})


@pytest.mark.parametrize(("name", "link"), LINKS)
def test_every_file_it_links_to_is_there(name: str, link: str) -> None:
    assert (ROOT / name).parent.joinpath(link).is_file()


PATHS = sorted(
    {path for text in TEXTS.values() for path in re.findall(r"`((?:tests|trajectory|pages|assets|docs|static)/[\w./-]*)`", text)}
)


@pytest.mark.parametrize("path", PATHS)
def test_every_file_it_speaks_of_is_there(path: str) -> None:
    assert (ROOT / path).exists()


def test_the_service_starts_the_app_as_the_image_does() -> None:
    (unit,) = [text for _, kind, text in BLOCKS if kind == "ini"]
    parsed = configparser.ConfigParser(interpolation=None)
    parsed.optionxform = str  # type: ignore[assignment,method-assign]
    parsed.read_string(unit)
    program, *options = shlex.split(parsed["Service"]["ExecStart"])
    assert program.endswith("/.venv/bin/streamlit")
    assert options[:2] == ["run", "app.py"]
    image = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert all(option.partition("=")[0] in image for option in options[2:])
    assert "TRAJECTORY_DEPLOYMENT=shared" in parsed["Service"]["Environment"].split()


def test_every_document_is_reached_from_the_readme() -> None:
    linked = set(re.findall(r"\]\(([^)h#][^)]*\.md)\)", TEXTS["README.md"]))
    assert set(TEXTS) - {"README.md"} <= linked
