import json
from pathlib import Path

import pytest

from tests import javascript
from trajectory.ui.songmap import Place, Selection, SongmapError, payload, selection

ROOT = Path(__file__).parents[1]
LEGEND = [("calm", "#0072b2")]


def place(name: str, **changes: object) -> Place:
    return Place(**{"id": name, "label": name.title(), "x": 1.0, "y": -2.0, "colour": "#e69f00"} | changes)


def sent(*songs: Place, legend: list[tuple[str, str]] = LEGEND) -> dict:
    return payload(songs, key="m", height=400, colour_title="cluster", legend=legend)


def test_the_maps_javascript_passes_its_tests() -> None:
    javascript.passes("songmap")


def test_songs_travel_as_columns_in_their_order() -> None:
    table = sent(place("a", z=0.5, sound="/a.ogg", start=9.5, note="80 BPM"), place("b", z=0.0, own=True))["songs"]
    assert table.to_pydict() == {
        "x": [1, 1],
        "y": [-2, -2],
        "z": [0.5, 0],
        "start": [9.5, 0],
        "id": ["a", "b"],
        "label": ["A", "B"],
        "note": ["80 BPM", ""],
        "colour": ["#e69f00", "#e69f00"],
        "sound": ["/a.ogg", None],
        "own": [False, True],
    }


def test_a_map_is_flat_where_no_song_has_a_depth() -> None:
    assert sent(place("a"), place("b"))["meta"]["flat"] is True
    assert sent(place("a", z=0.0), place("b", z=1.0))["meta"]["flat"] is False


def test_all_but_the_table_is_plain_json_and_names_every_module() -> None:
    meta = sent(place("a"))["meta"]
    assert json.loads(json.dumps(meta))["legend"] == [["calm", "#0072b2"]]
    assert meta["code"]["base"] == "/app/static/songmap/"
    assert set(meta["code"]["files"]) == {path.name for path in (ROOT / "static/songmap").glob("*.js")} >= {"mount.js", "songmap.js"}


def test_a_map_has_another_version_only_where_its_songs_are_others() -> None:
    version = sent(place("a"))["meta"]["version"]
    assert sent(place("a"), legend=[])["meta"]["version"] == version
    assert sent(place("a", x=2.0))["meta"]["version"] != version
    assert sent(place("a", label="B"))["meta"]["version"] != version


def test_a_map_without_songs_can_be_sent() -> None:
    assert sent(legend=[])["songs"].num_rows == 0


def test_a_name_that_is_no_utf8_travels_and_is_known_again() -> None:
    song = place("caf\udce9")
    (name,) = sent(song)["songs"].column("id").to_pylist()
    assert selection({"lassoed": [name], "opened": name, "serial": 1}, [song]) == Selection(lassoed=(song.id,), opened=song.id, serial=1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"id": ""}, "has no id"),
        ({"x": float("nan")}, "no place on a map"),
        ({"z": float("inf")}, "no place on a map"),
        ({"colour": "red"}, "has the colour 'red'"),
        ({"colour": "#e69f00;"}, "has the colour"),
        ({"start": -1.0}, "from -1.0 s"),
        ({"own": True, "sound": "/a.ogg"}, "cannot have the sound"),
    ],
)
def test_a_place_that_cannot_be_drawn_is_refused(changes: dict, words: str) -> None:
    with pytest.raises(SongmapError, match=words):
        place("a", **changes)


def test_places_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(SongmapError, match="two places on the map have the id 'a'"):
        sent(place("b"), place("a"), place("a"))
    with pytest.raises(SongmapError, match="'B' has no z"):
        sent(place("a", z=1.0), place("b"))
    with pytest.raises(SongmapError, match="the legend has the colour 'blue'"):
        sent(place("a"), legend=[("calm", "blue")])


def test_what_was_chosen_is_told_in_the_order_of_the_map_and_only_what_is_on_it() -> None:
    songs = [place("a"), place("b"), place("c")]
    seen = {"lassoed": ["c", "gone", "a", "c", 7, None], "opened": "b", "serial": 1_790_000_000_000}
    assert selection(seen, songs) == Selection(lassoed=("a", "c"), opened="b", serial=1_790_000_000_000)
    assert selection(seen | {"opened": "gone"}, songs).opened is None
    assert selection(seen | {"opened": ["b"]}, songs).opened is None


@pytest.mark.parametrize(
    "seen",
    [None, 3, [1], {}, {"lassoed": 5, "opened": None, "serial": 1}, {"lassoed": [], "opened": "a", "serial": True}]
    + [{"lassoed": ["a"], "opened": "a", "serial": serial} for serial in ("1", None, float("nan"), float("inf"), -1)],
)
def test_before_the_browser_has_said_anything_of_sense_nothing_is_chosen(seen: object) -> None:
    assert selection(seen, [place("a")]) == Selection()
