import json
from pathlib import Path

import numpy as np
import pytest

from tests import javascript
from trajectory.records import Forming
from trajectory.ui.player import Colouring, Events, Line, Panes, Pick, PlayerError, Scene, View, events, payload

ROOT = Path(__file__).parents[1]
TIMES = np.array([0.25, 0.5, 1.0])
POINTS = np.arange(9, dtype=np.float32).reshape(3, 3)
COLOURING = Colouring(title="loudness", stops=[(0.0, "#000000"), (1.0, "#ffffff")], low=-60.0, high=0.0, ends=("quiet", "loud"))
ABOUT = {"key": "p", "sound": None, "sound_start": 0.0, "span": [0.0, 2.0], "height": 400, "live": False}


def path(**changes: object) -> Line:
    return Line(**{"points": POINTS, "times": TIMES, "values": np.float32([1, 2, 3])} | changes)


def sent(*scenes: Scene, panes: Panes | None = None, forming: Forming | None = None) -> dict:
    return payload(scenes, about=ABOUT, colouring=COLOURING, panes=panes, forming=forming, view=View())


def test_the_players_javascript_passes_its_tests() -> None:
    javascript.passes("player")


def test_lines_travel_as_columns_in_the_order_of_their_scenes() -> None:
    told = path(kind="forecast", name="knn", colour="#e69f00", values=None)
    data = sent(Scene(lines=(path(), told)), Scene(lines=(path(points=POINTS + 10),)))
    table = data["lines"]
    assert table.column("x").to_pylist() == [0, 3, 6, 0, 3, 6, 10, 13, 16]
    assert table.column("z").to_pylist() == [2, 5, 8, 2, 5, 8, 12, 15, 18]
    assert table.column("time").to_pylist() == [0.25, 0.5, 1.0] * 3
    assert table.column("value").to_pylist() == [1, 2, 3, 0.25, 0.5, 1.0, 1, 2, 3]
    first, second = data["meta"]["scenes"]
    assert [(line["kind"], line["first"], line["count"]) for line in first["lines"]] == [("path", 0, 3), ("forecast", 3, 3)]
    assert second["lines"][0]["first"] == 6


def test_all_but_the_tables_is_plain_json() -> None:
    panes = Panes(window_seconds=0.5, waveform=np.float32([[-1, 1], [-2, 2]]), recurrence=np.eye(2, dtype=np.uint8))
    meta = sent(Scene(lines=(path(),)), panes=panes)["meta"]
    assert json.loads(json.dumps(meta))["colouring"]["ends"] == ["quiet", "loud"]


def test_only_what_changed_gets_another_version() -> None:
    before = sent(Scene(lines=(path(),)))["meta"]["versions"]
    after = sent(Scene(lines=(path(points=POINTS[::-1].copy()),)))["meta"]["versions"]
    assert {name for name in before if before[name] != after[name]} == {"lines"}
    assert before == sent(Scene(lines=(path(),)))["meta"]["versions"]


def test_every_module_that_the_page_imports_is_named_to_it() -> None:
    code = sent(Scene(lines=(path(),)))["meta"]["code"]
    assert code["base"] == "/app/static/player/"
    assert {"mount.js", "maths.js", "player.js"} <= set(code["files"])
    assert (ROOT / "static" / "vendor" / Path(sent(Scene(lines=(path(),)))["meta"]["plotly"]).name).is_file()


def test_a_long_songs_spectrogram_is_joined_to_its_loudest_bins() -> None:
    spectrogram = np.zeros((13_001, 2), dtype=np.uint8)
    spectrogram[[4, 5, 13_000], 1] = 9, 3, 7
    data = sent(Scene(lines=(path(),)), panes=Panes(window_seconds=0.5, spectrogram=spectrogram, bin_seconds=0.02, start=1.0))
    about = data["meta"]["panes"]["spectrogram"]
    assert about == {"bins": 4334, "frequencies": 2, "bin_seconds": 0.06, "start": 1.0}
    levels = data["spectrogram"].column("level").to_numpy().reshape(4334, 2)
    assert levels[1, 1] == 9
    assert levels[-1, 1] == 7
    assert levels.sum() == 16


def test_snapshots_travel_in_their_order() -> None:
    points = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    data = sent(Scene(lines=(path(),)), forming=Forming(steps=np.array([0, 50]), points=points, times=np.array([0.3, 0.9])))
    assert data["forming"].column("number").to_pylist() == list(range(12))
    assert data["meta"]["forming"] == {"steps": [0, 50], "times": [0.3, 0.9]}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"points": POINTS[:, :2]}, "no line in space"),
        ({"times": TIMES[:2]}, "3 points need as many rising times"),
        ({"times": TIMES[::-1]}, "rising"),
        ({"values": np.float32([1])}, "as many values"),
        ({"points": POINTS * np.float32(np.nan)}, "not numbers"),
    ],
)
def test_a_line_that_does_not_fit_together_is_refused(changes: dict, words: str) -> None:
    with pytest.raises(PlayerError, match=words):
        path(**changes)


def test_scenes_and_panes_that_cannot_be_shown_are_refused() -> None:
    with pytest.raises(PlayerError, match="no path for the comet"):
        Scene(lines=(path(kind="truth"),))
    with pytest.raises(PlayerError, match="3 scenes"):
        sent(*[Scene(lines=(path(),))] * 3)
    with pytest.raises(PlayerError, match="not square"):
        Panes(window_seconds=0.5, recurrence=np.zeros((2, 3), dtype=np.uint8))
    with pytest.raises(PlayerError, match="lowest and highest"):
        Panes(window_seconds=0.5, waveform=np.zeros(4, dtype=np.float32))
    flat = Forming(steps=np.array([0]), points=np.zeros((1, 2, 2), dtype=np.float32), times=np.array([0.3, 0.9]))
    with pytest.raises(PlayerError, match="3 shown coordinates"):
        sent(Scene(lines=(path(),)), forming=flat)


def test_events_are_what_the_browser_said() -> None:
    camera = {"eye": {"x": 1.0, "y": 0.0, "z": 0.0}, "center": {"x": 0.0, "y": 0.0, "z": 0.0}, "up": {"x": 0.0, "y": 0.0, "z": 1.0}}
    seen = {"time": 1.5, "camera": camera, "loop": [1, 2], "picked": {"scene": 1, "point": [1, 2, 3], "serial": 7}}
    expected = Events(time=1.5, camera=camera, loop=(1.0, 2.0), picked=Pick(scene=1, point=(1.0, 2.0, 3.0), serial=7))
    assert events(seen, view=View(), span=(0, 9)) == expected


@pytest.mark.parametrize("seen", [None, {}, {"time": "x", "camera": None, "loop": None, "picked": None}, [1]])
def test_before_the_browser_has_said_anything_of_sense_events_are_the_view(seen: object) -> None:
    view = View(time=99.0, loop=(1.0, 2.0))
    assert events(seen, view=view, span=(0.0, 30.0)) == Events(time=30.0, camera=None, loop=(1.0, 2.0))
