"""The rules of the house, read from the imports themselves."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ORDER = [
    *("errors", "settings", "records", "containers", "resampling", "audio", "spectrogram", "model", "training", "rhythm", "geometry"),
    *("forecasting", "divergence", "figures", "video", "export", "runs", "library", "pipeline", "jobs", "similarity", "encoders"),
    *("ui", "__main__"),
]
REACH_INSIDE_FUNCTIONS = {"__init__", "pipeline", "jobs", "__main__"}
FILES = sorted((ROOT / "trajectory").rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(ROOT / "trajectory").parts[0].removesuffix(".py")


def imported(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        yield node.module
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def rooms(names: Iterator[str]) -> set[str]:
    return {name.split(".")[1] for name in names if name.startswith("trajectory.") and name.split(".")[1] in ORDER}


def module_level(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        yield from imported(node)


def in_functions(tree: ast.Module) -> Iterator[str]:
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            for node in ast.walk(function):
                yield from imported(node)


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", FILES, ids=room)
def test_a_module_imports_only_modules_above_it(path: Path) -> None:
    own = room(path)
    above = set(ORDER) if own not in ORDER else set(ORDER[: ORDER.index(own)]) | ({"ui"} if own == "ui" else set())
    assert rooms(module_level(parse(path))) <= above


@pytest.mark.parametrize("path", FILES, ids=room)
def test_only_the_joining_modules_import_inside_functions(path: Path) -> None:
    if room(path) not in REACH_INSIDE_FUNCTIONS:
        assert not rooms(in_functions(parse(path)))


def test_streamlit_is_imported_only_where_pages_are_drawn() -> None:
    users = [path for path in FILES if any(name.split(".")[0] == "streamlit" for name in module_level(parse(path)))]
    assert {room(path) for path in users} <= {"ui"}


def test_what_a_page_loads_does_not_bring_torch_along() -> None:
    code = "import sys, trajectory, trajectory.pipeline, trajectory.geometry, trajectory.__main__; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
