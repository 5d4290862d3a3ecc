"""What this is: its version, and under which licences it, its songs and all that it stands on may be used."""

import functools
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import streamlit as st
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LONGEST_LICENCE = 80  # letters: some packages put the whole text there
CLASSIFIER = "License :: "


@dataclass(frozen=True, kw_only=True)
class Package:
    """A package that the app stands on."""

    name: str
    version: str
    licence: str


@functools.cache
def packages(requirements: Path) -> tuple[Package, ...]:
    """Those that a requirements file names and all that these need, as they are installed here."""
    lines = requirements.read_text(encoding="utf-8").splitlines()
    waiting = [Requirement(line) for line in lines if line and not line.startswith(("#", "-"))]
    found: dict[tuple[str, frozenset[str]], Package] = {}
    while waiting:
        wanted = waiting.pop()
        key = canonicalize_name(wanted.name), frozenset(wanted.extras)
        if key in found:
            continue
        try:
            installed = metadata.distribution(wanted.name)
        except metadata.PackageNotFoundError:  # only some other system or Python needs it
            continue
        found[key] = Package(name=key[0], version=installed.version, licence=_licence(installed))
        waiting += [needed for line in installed.requires or () if _applies(needed := Requirement(line), wanted.extras)]
    return tuple(sorted(set(found.values()), key=lambda package: package.name))


def _applies(needed: Requirement, extras: set[str]) -> bool:
    return needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in ("", *extras))


def _licence(installed: metadata.Distribution) -> str:
    """What a package says of itself, in one of the three places in which packages do."""
    about = installed.metadata
    classified = [text.rpartition(" :: ")[2] for text in about.get_all("Classifier") or () if text.startswith(CLASSIFIER)]
    stated = [*(about.get_all("License-Expression") or ()), ", ".join(classified), *(about.get_all("License") or ())]
    for text in map(str.strip, stated):
        if 0 < len(text) <= LONGEST_LICENCE and "\n" not in text:
            return text
    return "see the package's own files"


def licences(root: Path) -> None:
    """The code's, the songs', the weights' and the packages'."""
    code, songs, weights, others = st.tabs(["The code", "Sample songs", "musicnn's weights", "Packages"])
    code.code((root / "LICENSE").read_text(encoding="utf-8"), language=None, wrap_lines=True)
    songs.markdown((root / "assets/songs/LICENSES.md").read_text(encoding="utf-8").partition("\n")[2])
    weights.code((root / "assets/musicnn/LICENSE").read_text(encoding="utf-8"), language=None, wrap_lines=True)
    others.dataframe(
        [vars(package) for package in packages(root / "requirements.txt")],
        column_config={"name": "Package", "version": "Version", "licence": "Licence, as it states it"},
        hide_index=True,
    )
