"""The map of the library, mounted as Streamlit mounts it but without Streamlit."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.songs import ROOT
from trajectory.ui.songmap import Place, payload

HOME = "http://map.test/"
HOSTILE = "<img src=x onerror=alert(1)>"
PAGE = """<!doctype html><style>%s</style><body>%s<p style="height:3000px"></p><script type="module">
import { mount } from "/static/songmap/mount.js";
window.told = [];
window.show = ({ meta, columns }) => mount({ data: { meta, songs: { getChild: (name) => columns[name] } }, parentElement: document.body,
  setStateValue: (name, value) => window.told.push(value) });
</script>"""
MAP = "window.__trajectorySongmaps.get('m')"
TYPES = {".js": "text/javascript", ".ogg": "audio/ogg"}


def serve(route: Route) -> None:
    """The map's own files, and one sound for all songs."""
    path = route.request.url.removeprefix(HOME)
    if not path:
        css, html = ((ROOT / "assets/songmap" / name).read_text() for name in ("songmap.css", "songmap.html"))
        return route.fulfill(body=PAGE % (css, html), content_type="text/html")
    file = ROOT / ("assets/songs/05_solo_piano.ogg" if path.endswith(".ogg") else path)
    return route.fulfill(body=file.read_bytes(), content_type=TYPES[file.suffix]) if file.is_file() else route.fulfill(status=404)


def show(page: Page, *places: Place) -> None:
    data = payload(places, key="m", height=400, colour_title="cluster", legend=[("calm", "#0072b2")])
    page.evaluate("data => window.show(data)", json.loads(json.dumps({"meta": data["meta"], "columns": data["songs"].to_pydict()})))
    page.wait_for_function(f"{MAP}.settled()")


def asked(page: Page, what: str) -> Any:
    return page.evaluate(f"{MAP}.{what}")


def where(page: Page, song: str) -> tuple[float, float]:
    box = page.locator(".map").bounding_box()
    assert box
    x, y = asked(page, f"at('{song}')")
    return box["x"] + x, box["y"] + y


def corners(z: float | None = None) -> list[Place]:
    """Four songs in the corners of a square and one in its middle."""
    spots = {"nw": (-1, 1), "ne": (1, 1), "sw": (-1, -1), "se": (1, -1), "mid": (0, 0)}
    depth = None if z is None else {"nw": z, "ne": 0.0, "sw": 0.0, "se": -z, "mid": 0.0}
    return [
        Place(
            id=id_,
            label=HOSTILE if id_ == "nw" else id_,
            x=x,
            y=y,
            z=depth and depth[id_],
            colour="#e69f00",
            sound=f"{HOME}{id_}.ogg",
            start=4,
        )
        for id_, (x, y) in spots.items()
    ]


@pytest.fixture
def opened(chromium: Browser) -> Iterator[Page]:
    context = chromium.new_context(viewport={"width": 900, "height": 600}, has_touch=True)
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error.stack)))
    page.on("dialog", lambda dialog: problems.append(dialog.message))
    page.route(f"{HOME}**", serve)
    page.goto(HOME)
    page.wait_for_function("window.show !== undefined")
    yield page
    context.close()
    assert not problems, problems


@pytest.mark.parametrize("depth", [None, 1.0])
def test_a_click_opens_and_a_lasso_chooses(opened: Page, depth: float | None) -> None:
    show(opened, *corners(depth))
    opened.mouse.click(*where(opened, "mid"))
    (x, y), (right, down) = where(opened, "nw"), where(opened, "sw")
    opened.keyboard.down("Shift")
    opened.mouse.move(x - 25, y - 20)
    opened.mouse.down()
    for spot in ((x + 25, y - 20), (right + 25, down + 20), (right - 25, down + 20)):
        opened.mouse.move(*spot, steps=4)
    opened.mouse.up()
    opened.keyboard.up("Shift")
    assert asked(opened, "lassoed()") == ["nw", "sw"]
    opened.keyboard.press("Escape")
    told = opened.evaluate("window.told")
    assert [(one["opened"], one["lassoed"]) for one in told] == [("mid", []), (None, ["nw", "sw"]), (None, [])]
    assert told[0]["serial"] < told[1]["serial"] < told[2]["serial"]


def test_keys_go_from_song_to_song(opened: Page) -> None:
    show(opened, *corners())
    opened.keyboard.press("Tab")
    assert asked(opened, "pointed()") == "mid"
    opened.keyboard.press("Shift+Tab")
    assert asked(opened, "pointed()") is None
    opened.keyboard.press("Tab")
    opened.keyboard.press("ArrowLeft")
    opened.keyboard.press("ArrowUp")
    expect(opened.locator(".spoken")).to_have_text(HOSTILE)
    assert opened.locator("img").count() == 0
    opened.keyboard.press("Enter")
    assert opened.evaluate("window.told.at(-1).opened") == "nw"


def test_what_is_under_the_pointer_is_heard_until_it_leaves(opened: Page) -> None:
    show(opened, *corners())
    opened.get_by_role("button", name="Hear").click()
    opened.mouse.move(*where(opened, "se"))
    opened.wait_for_function(f"!{MAP}.audio.paused && {MAP}.audio.volume > 0.9 && {MAP}.audio.currentTime > 4")
    opened.mouse.move(2, 590)
    opened.wait_for_function(f"{MAP}.audio.paused")


def test_a_tap_points_and_a_second_one_opens(opened: Page) -> None:
    show(opened, *corners())
    opened.touchscreen.tap(*where(opened, "ne"))
    expect(opened.locator(".card")).to_be_visible()
    assert opened.evaluate("window.told") == []
    opened.touchscreen.tap(*where(opened, "ne"))
    assert opened.evaluate("window.told.at(-1).opened") == "ne"


def test_the_wheel_scrolls_the_page_until_the_map_is_in_use(opened: Page) -> None:
    show(opened, *corners())
    x, y = where(opened, "se")
    opened.mouse.move(x - 60, y - 60)
    opened.mouse.wheel(0, -100)
    assert asked(opened, "view().zoom") == 1
    opened.mouse.click(x - 60, y - 60)
    opened.mouse.move(x, y)
    opened.mouse.wheel(0, -200)
    opened.wait_for_function(f"{MAP}.view().zoom > 1.2 && {MAP}.settled()")
    assert where(opened, "se") == pytest.approx((x, y), abs=0.5)


def test_nothing_is_drawn_while_nothing_changes(opened: Page) -> None:
    show(opened, *corners(1.0))
    opened.wait_for_timeout(200)
    drawn = asked(opened, "drawn()")
    opened.wait_for_timeout(400)
    assert asked(opened, "drawn()") == drawn


def test_a_map_without_songs_says_so_and_takes_some_later(opened: Page) -> None:
    data = payload([], key="m", height=400, colour_title="cluster", legend=[])
    opened.evaluate("data => window.show(data)", {"meta": data["meta"], "columns": data["songs"].to_pydict()})
    expect(opened.get_by_text("Nothing on the map yet")).to_be_visible()
    show(opened, *corners())
    expect(opened.get_by_text("Nothing on the map yet")).to_be_hidden()
    assert set(asked(opened, "names()")) == {"nw", "ne", "sw", "se", "mid"}
