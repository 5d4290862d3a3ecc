"""What a visitor does and sees, in a real browser."""

import re
import shutil
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.serving import served
from tests.songs import ROOT

SONG = ROOT / "assets/songs/07_cc0_loop_120bpm.ogg"


def settled(page: Page) -> None:
    """The script has run to its end: before, a click may be lost."""
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()


def player(page: Page, key: str, expression: str) -> Any:
    """Asks the player on the page."""
    return page.evaluate(f"(() => {{ const player = window.__trajectoryPlayers?.get('{key}'); return {expression}; }})()")


def ready(page: Page, key: str) -> None:
    page.wait_for_function(f"window.__trajectoryPlayers?.get('{key}')?.ready() === true")


def opened(page: Page, where: str, key: str) -> None:
    page.goto(where)
    ready(page, key)
    settled(page)


def test_a_song_is_dropped_forms_and_is_there_again_after_a_refresh(page: Page) -> None:
    page.goto("/")
    settled(page)
    page.locator("input[type=file]").set_input_files(str(ROOT / "assets/songs/05_solo_piano.ogg"))
    expect(page.get_by_text(re.compile("Preview: principal components|conditioned, forming"))).to_be_visible()
    expect(page.get_by_text("conditioned, forming")).to_be_visible()
    expect(page.get_by_text(re.compile(r"conditioned: step \d+ of 120"))).to_be_visible()
    first = player(page, "listen", "Array.from(player.points(0).points.slice(0, 30))")
    changed = "first => Array.from(window.__trajectoryPlayers.get('listen').points(0).points.slice(0, 30)).some((x, i) => x !== first[i])"
    page.wait_for_function(changed, arg=first)
    page.reload()  # in the middle: the job goes on, and this page follows it again
    expect(page.get_by_role("link", name="Explore it")).to_be_visible()
    expect(page).to_have_url(re.compile("run="))
    page.reload()
    expect(page.get_by_role("link", name="Explore it")).to_be_visible()
    ready(page, "listen")
    assert player(page, "listen", "player.points(0).points.length") > 3 * 1_000


def test_the_first_song_finds_its_player_ready(page: Page) -> None:
    page.goto("/")
    page.wait_for_function("window.Plotly && !document.querySelector('.js-plotly-plot')")  # practised with, and taken away again
    asked: list[str] = []
    page.on("request", lambda request: asked.append(urlsplit(request.url).path))
    page.get_by_role("button", name="Cc0 loop 120bpm").click()
    ready(page, "listen")
    assert not [path for path in asked if "/app/static/" in path]


def test_the_comet_is_where_the_sound_is(page: Page, trained: str) -> None:
    opened(page, f"/explore?{trained}", "explore")
    page.get_by_role("button", name="Play").first.click()
    page.wait_for_function("window.__trajectoryPlayers.get('explore').audio.currentTime > 0.5")
    seen = page.evaluate(
        """async () => {
          const player = window.__trajectoryPlayers.get("explore"), seen = [];
          for (const until = performance.now() + 3000; performance.now() < until;) {
            await new Promise(requestAnimationFrame);
            const head = player.head(0), place = player.project(player.drawn(), 0);
            seen.push([player.audio.currentTime, player.time(), Math.hypot(head[0] - place[0], head[1] - place[1])]);
          }
          return seen;
        }"""
    )
    heard, drawn, apart = np.array(seen).T
    assert len(seen) > 10
    assert heard[-1] - heard[0] > 2
    assert np.median(np.abs(heard - drawn)) < 0.01
    assert np.median(apart) < 1


def test_a_click_on_the_path_is_heard(page: Page, trained: str) -> None:
    opened(page, f"/explore?{trained}&t=1.00", "explore")
    box = page.locator(".scenes").bounding_box()
    assert box is not None
    x, y = player(page, "explore", "player.project(20, 0)")[:2]
    page.evaluate("""const { audio } = window.__trajectoryPlayers.get("explore");
      audio.addEventListener("seeking", () => (window.sought ??= audio.currentTime));""")
    page.mouse.click(box["x"] + x, box["y"] + y)
    page.wait_for_function("window.sought !== undefined && window.__trajectoryPlayers.get('explore').playing()")
    there = player(page, "explore", "player.project(window.sought, 0)")
    assert np.hypot(there[0] - x, there[1] - y) < 15  # the path may pass here several times: it is the place that counts


def test_space_and_arrows_play_and_seek(page: Page, trained: str) -> None:
    opened(page, f"/explore?{trained}", "explore")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("Math.abs(window.__trajectoryPlayers.get('explore').time() - 5) < 0.3")
    page.keyboard.press("Space")
    page.wait_for_function("window.__trajectoryPlayers.get('explore').playing()")
    page.keyboard.press("Space")
    page.wait_for_function("!window.__trajectoryPlayers.get('explore').playing()")
    page.wait_for_url(re.compile(r"t=\d"))
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys and gestures")).to_be_visible()


def test_a_link_opens_the_same_moment_and_loop(page: Page, trained: str) -> None:
    opened(page, f"/explore?{trained}&t=12.50&loop=12.00,14.00", "explore")
    assert player(page, "explore", "player.time()") == pytest.approx(12.5, abs=0.05)
    assert player(page, "explore", "player.loop()") == [12, 14]


def test_the_sound_goes_on_while_another_widget_reruns_the_page(page: Page, trained: str) -> None:
    opened(page, f"/explore?{trained}", "explore")
    page.get_by_role("button", name="Play").first.click()
    page.wait_for_function("window.__trajectoryPlayers.get('explore').audio.currentTime > 0.3")
    page.evaluate("""window.gaps = 0; for (const kind of ["pause", "waiting", "emptied"])
      window.__trajectoryPlayers.get("explore").audio.addEventListener(kind, () => (window.gaps += 1));""")
    for hue in ("loudness", "speed", "section", "time"):
        page.get_by_role("radio", name=hue, exact=True).or_(page.get_by_role("button", name=hue, exact=True)).first.click()
        page.wait_for_timeout(200)
        settled(page)
    assert page.evaluate("window.gaps") == 0
    assert player(page, "explore", "player.playing()")


def test_two_runs_are_compared_with_one_camera(page: Page, trained: str) -> None:
    opened(page, f"/compare?{trained}", "compare")
    expect(page.get_by_text("Smoothness (mean cosine")).to_be_visible()
    box = page.locator(".scenes").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 200, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + 320, box["y"] + 240, steps=5)
    page.mouse.up()
    page.wait_for_timeout(500)
    one, other = (player(page, "compare", f"player.camera({i}).eye") for i in (0, 1))
    assert one == pytest.approx(other, abs=1e-3)
    expect(page.get_by_text("default: distance to the truth")).to_be_visible()


def test_forecasts_are_drawn_and_judged(page: Page, trained: str) -> None:
    opened(page, f"/forecast?{trained}", "forecast")
    expect(page.get_by_text("what came").first).to_be_visible()
    expect(page.get_by_text("stays nearest to the truth")).to_be_visible()
    expect(page.locator(".js-plotly-plot").last).to_be_visible()


def test_a_training_is_cancelled_at_once(page: Page) -> None:
    page.goto("/")
    settled(page)
    page.get_by_role("button", name="Ambient").click()
    button = page.get_by_role("button", name="Cancel").first
    button.wait_for()
    expect(page.get_by_text(re.compile(r"conditioned: step \d+ of"))).to_be_visible()
    button.click()
    expect(page.get_by_text("conditioned: cancelled")).to_be_visible()
    expect(page.get_by_role("button", name="Try again").first).to_be_visible()


def test_nothing_is_asked_of_any_other_machine(page: Page, trained: str, address: str) -> None:
    asked: set[str] = set()
    page.on("request", lambda request: asked.add(urlsplit(request.url).netloc))
    for where, key in (("explore", "explore"), ("compare", "compare"), ("forecast", "forecast")):
        opened(page, f"/{where}?{trained}", key)
    assert asked <= {urlsplit(address).netloc, ""}  # blob: and data: have none


def test_a_browser_without_webgl_is_told_so(address: str, trained: str, chromium: Browser) -> None:
    bare = chromium.browser_type.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-3d-apis"])
    page = bare.new_page(base_url=address)
    page.goto(f"/explore?{trained}")
    expect(page.get_by_text(re.compile("cannot draw in 3D"))).to_be_visible(timeout=60_000)
    bare.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_phone_shows_it_all_without_scrolling_sideways(theme: Any, chromium: Browser, address: str, trained: str) -> None:
    context = chromium.new_context(base_url=address, viewport={"width": 390, "height": 844}, color_scheme=theme)
    page = context.new_page()
    page.set_default_timeout(60_000)
    for where, key in (("explore", "explore"), ("compare", "compare")):
        opened(page, f"/{where}?{trained}", key)
        assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth") <= 390
        play = page.get_by_role("button", name="Play").first.bounding_box()
        assert play is not None
        assert 0 <= play["x"] <= 390 - play["width"]
    context.close()


def test_a_songs_sound_is_served_in_parts_and_nothing_else_is(page: Page, trained: str) -> None:
    song = trained.split("song=")[1].split("&")[0]
    part = page.request.get(f"/sound/{song}", headers={"Range": "bytes=0-3"})
    assert (part.status, part.body(), part.headers["content-type"]) == (206, b"OggS", "audio/ogg")
    assert page.request.get("/sound/0123456789abcdef").status == 404
    assert page.request.get("/sound/..%2f..%2fcatalogue.sqlite3").status in (400, 404)


def test_a_link_may_be_the_first_visit_of_all(chromium: Browser, tmp_path: Path) -> None:
    with served(tmp_path, warm=False) as app:
        page = chromium.new_page(base_url=app.address)
        page.goto("/library")
        expect(page.get_by_role("heading", name="Library")).to_be_visible()
        expect(page.get_by_role("link", name="Listen", exact=True)).to_be_visible()
        page.close()


def test_pages_are_switched_quickly(page: Page, trained: str) -> None:
    opened(page, f"/explore?{trained}", "explore")
    page.get_by_role("link", name="Library").click()
    began = time.monotonic()
    expect(page.get_by_role("heading", name="Library")).to_be_visible()
    assert time.monotonic() - began < 5  # that it comes at all; `make bench` measures how fast


def test_songs_are_heard_and_laid_on_a_map(page: Page, trained: str) -> None:
    page.goto(f"/alike?{trained}")
    settled(page)
    page.get_by_role("button", name=re.compile("^Hear (it|them)$")).click()
    page.get_by_role("radio", name="Inside").click()
    expect(page.get_by_text(re.compile("^Tags .*techno"))).to_be_visible()  # an electronic loop
    page.get_by_role("radio", name="Map").click()
    expect(page.locator(".trajectory-songmap canvas").first).to_be_visible()


def test_no_other_site_may_frame_the_app_or_play_a_song_of_it(page: Page, address: str, trained: str) -> None:
    song = trained.partition("song=")[2].partition("&")[0]
    seen: dict[str, int] = {}
    page.on("response", lambda answer: seen.update({answer.url: answer.status}))
    foreign = "http://foreign.test/"
    page.route(
        foreign,
        lambda route: route.fulfill(
            body=f"""<iframe src="{address}/library"></iframe>
        <audio src="{address}/sound/{song}" onerror="document.title='refused'" onloadedmetadata="document.title='played'"></audio>""",
            content_type="text/html",
        ),
    )
    page.goto(foreign)
    page.wait_for_function("document.title !== ''")
    assert page.title() == "refused"
    assert "Library" not in "".join(frame.content() for frame in page.frames[1:])
    assert 200 not in {status for url, status in seen.items() if url.startswith(address)}
