"""The rules of the house, read from the imports themselves."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ORDER = [
    *(
        "errors",
        "logs",
        "clocks",
        "holding",
        "deployment",
        "settings",
        "records",
        "containers",
        "resampling",
        "audio",
        "probing",
        "spectrogram",
        "model",
        "training",
        "rhythm",
        "features",
    ),
    *(
        "geometry",
        "structure",
        "colouring",
        "forecasting",
        "kernels",
        "blending",
        "networks",
        "divergence",
        "figures",
        "video",
        "runs",
        "bundles",
        "export",
    ),
    *(
        "filming",
        "report",
        "encoders",
        "similarity",
        "catalogue",
        "naming",
        "filing",
        "library",
        "sources",
        "collection",
        "pipeline",
        "workers",
        "launcher",
        "turns",
        "queueing",
        "jobs",
        "desk",
        "sharing",
        "visitor_secrets",
        "visitors",
        "indexing",
        "options",
        "ui",
        "__main__",
    ),
]
REACH_INSIDE_FUNCTIONS = {"__init__", "encoders", "pipeline", "workers", "launcher", "jobs", "__main__"}
FILES = sorted((ROOT / "trajectory").rglob("*.py"))
PAGES = [ROOT / "app.py", *(ROOT / "pages").glob("*.py")]


def room(path: Path) -> str:
    return path.relative_to(ROOT / "trajectory").parts[0].removesuffix(".py")


def imports(node: ast.AST, inside: bool = False) -> Iterator[tuple[str, bool]]:
    """Every imported name below a node, and whether a function holds the import; what only a type checker reads is left out."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.Import):
            yield from ((alias.name, inside) for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and child.module:
            yield child.module, inside
            yield from ((f"{child.module}.{alias.name}", inside) for alias in child.names)
        else:
            yield from imports(child, inside or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda))


def read(path: Path) -> list[tuple[str, bool]]:
    return list(imports(ast.parse(path.read_text(encoding="utf-8"))))


def rooms(path: Path, *, inside: bool) -> set[str]:
    names = [name.split(".") for name, deep in read(path) if deep == inside and name.startswith("trajectory.")]
    return {parts[1] for parts in names if parts[1] in ORDER}


@pytest.mark.parametrize("path", FILES, ids=room)
def test_a_module_imports_only_modules_above_it(path: Path) -> None:
    own = room(path)
    above = set(ORDER) if own not in ORDER else set(ORDER[: ORDER.index(own)]) | {own}
    assert rooms(path, inside=False) <= above


@pytest.mark.parametrize("path", FILES, ids=room)
def test_only_the_joining_modules_import_inside_functions(path: Path) -> None:
    if room(path) not in REACH_INSIDE_FUNCTIONS:
        assert not rooms(path, inside=True)


@pytest.mark.parametrize("path", FILES, ids=room)
def test_every_module_has_its_place_in_the_order(path: Path) -> None:
    assert room(path) in {*ORDER, "__init__"}


def test_streamlit_is_imported_only_where_pages_are_drawn() -> None:
    users = {path for path in [*FILES, *PAGES] if any(name.split(".")[0] == "streamlit" for name, _ in read(path))}
    assert users
    assert all(path in PAGES or room(path) == "ui" for path in users)


def test_parts_of_a_page_look_again_in_one_way() -> None:
    users = [path for path in [*FILES, *PAGES] if "run_every" in path.read_text(encoding="utf-8")]
    assert [path.name for path in users] == ["looking.py"]


def test_what_a_page_loads_does_not_bring_torch_along() -> None:
    code = "import sys, trajectory, trajectory.pipeline, trajectory.audio, trajectory.__main__; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
