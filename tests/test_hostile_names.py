"""What a stranger calls a song is text in everything that is taken away."""

import csv
import io
import json
import struct
import zipfile
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.test_export import called, heard
from trajectory import filming, report, video
from trajectory.bundles import import_bundle
from trajectory.export import export
from trajectory.settings import Settings, SettingsError
from trajectory.ui import place

NAME = "<img src=x onerror=alert(1)><script>alert(2)</script>[a](javascript:alert(3)) $x$ \"q\" 'p' `c` & =1+1"


def taken(kind: str, folder: Path) -> Path:
    (path,) = export(called(NAME), [kind], folder, name=NAME, features=heard())
    return path


@pytest.mark.parametrize("kind", ["npz", "csv", "html", "gltf", "bundle"])
def test_a_file_is_named_by_letters_that_lead_nowhere(kind: str, tmp_path: Path) -> None:
    path = taken(kind, tmp_path)
    assert path.parent == tmp_path
    assert not set("<>\"'/\\:|?*`$&=[]") & set(path.name)


def test_a_curve_bears_the_name_as_text(tmp_path: Path) -> None:
    data = taken("gltf", tmp_path).read_bytes()
    (length,) = struct.unpack_from("<I", data, 12)
    assert json.loads(data[20 : 20 + length])["nodes"][0]["name"] == NAME


def test_a_table_holds_nothing_that_a_spreadsheet_would_work_out(tmp_path: Path) -> None:
    rows = list(csv.reader(io.StringIO(taken("csv", tmp_path).read_text())))
    assert not [cell for row in rows for cell in row if cell[:1] in ("=", "@", "+")]


def test_the_readme_of_a_bundle_shows_the_name_as_text_and_the_name_comes_back(tmp_path: Path) -> None:
    path = taken("bundle", tmp_path)
    with zipfile.ZipFile(path) as archive:
        first = archive.read("README.md").decode().splitlines()[0]
    assert first == "# " + "".join(f"\\{letter}" if letter in "<>[]$`&" else letter for letter in NAME)
    assert import_bundle(path).run.song.title == NAME


def test_a_poster_shows_the_name_as_text(tmp_path: Path) -> None:
    run = called(NAME)
    settings = video.FilmSettings(width=320, height=240, title=NAME, artist=NAME)
    shots = filming.shots(run, filming.Scenery(hue="time"), features=heard())
    filming.film(shots, tmp_path / "poster.svg", settings, sound=None, features=heard(), time=float(run.trajectory.times[5]))
    drawing = ET.parse(tmp_path / "poster.svg").getroot()  # noqa: S314 - our own
    assert NAME in [element.text for element in drawing.iter()]
    assert not [element for element in drawing.iter() if element.tag.rpartition("}")[2] in ("script", "img", "a", "foreignObject")]


@pytest.mark.parametrize("name", ["=HYPERLINK(1)", "+1", "-1", "@SUM(A1)", "\t=1"])
def test_a_table_of_divergences_holds_no_formula(name: str) -> None:
    assert report._cell(name) == f"'{name}"
    assert report._cell(-1.5) == -1.5
    assert report._cell("runs/rock") == "runs/rock"


@pytest.mark.parametrize("name", ["<img/src=x>", "[a](javascript:b)", "a\nb", "x" * 99, "musicnn  1", "$(id)"])
def test_an_encoder_or_a_partner_is_no_strangers_text(name: str) -> None:
    for field in ("encoder", "partner"):
        with pytest.raises(SettingsError, match=field):
            Settings(**{field: name})


def test_words_are_shown_as_they_are_and_turn_nothing_round() -> None:
    assert place.plain("a_b & [c](d) \u202egpj.exe\u2069") == "a\\_b \\& \\[c\\](d) gpj.exe"
