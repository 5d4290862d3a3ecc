"""The app as it stands on the open web: each visitor has songs of their own, links show one, and a stranger's words stay words."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import soundfile
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.serving import served
from tests.browser.test_visit import ready, settled
from tests.songs import ROOT

TITLE = (
    "<img src=x onerror=alert(1)><script>alert(2)</script>[link](javascript:alert(3)) $x^2$ :red[no] "
    "\"q\" 'p' **b** `c` \u202edesrever &lt;i&gt; <a href='javascript:alert(4)'>a</a>"
)
ARTIST = "</script><svg onload=alert(5)>|=HYPERLINK(1)"
SEEN = "<img src=x onerror=alert(1)><script>alert(2)</script>[link](javascript:alert(3)) $x^2$ :red[no]"
FOUND = """said => {
    const roots = [document];
    const bad = [];
    const words = [document.body.innerText];
    for (const root of roots) {
        for (const element of root.querySelectorAll('*')) {
            if (element.shadowRoot) { roots.push(element.shadowRoot); words.push(element.shadowRoot.textContent); }
            if (element.value !== undefined) words.push(String(element.value));
            const names = element.getAttributeNames();
            const link = element.getAttribute('href') || element.getAttribute('src') || element.getAttribute('action') || '';
            if (names.some(name => name.startsWith('on')) || /^\\s*javascript:/i.test(link) || link === 'x'
                || (element.tagName === 'SCRIPT' && /alert/.test(element.textContent)) || element.classList.contains('katex'))
                bad.push(element.outerHTML.slice(0, 200));
        }
    }
    return words.some(each => each.includes(said)) && {bad};
}"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the app is served to visitors who do not know each other; what it logs names no song."""
    home = tmp_path_factory.mktemp("shared")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRAJECTORY_DEPLOYMENT", "shared")
        patch.setenv("TRAJECTORY_LOG", "json")
        with served(home) as app:
            yield app.address
    log = (home / "log.txt").read_text()
    said = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    ended = [each for each in said if each.get("outcome") == "done"]
    assert {"fit", "preview", "listen"} <= {each["task"] for each in ended}
    assert all(each["job"] and each["seconds"] > 0 for each in ended)
    assert not [line for line in log.splitlines() if line and line[0] not in "{ "]  # but for the words with which Streamlit greets
    assert not [each for each in said if "trace" in each]
    for word in ("alert", "120 BPM", "120bpm", ".ogg", "shared="):
        assert word not in log


@pytest.fixture
def browsers(chromium: Browser, shared: str) -> Iterator[list[BrowserContext]]:
    """Two people's; what goes wrong in their scripts fails the test."""
    contexts = [chromium.new_context(base_url=shared, viewport={"width": 1440, "height": 900}) for _ in range(2)]
    problems: list[str] = []
    for context in contexts:
        context.set_default_timeout(60_000)
        context.on("weberror", lambda error: problems.append(str(error.error)))
        context.on("dialog", lambda dialog: (problems.append(f"a dialog: {dialog.message}"), dialog.dismiss()))
    yield contexts
    for context in contexts:
        context.close()
    assert not problems, problems


def trained_song(page: Page) -> str:
    """The id of a sample with its run."""
    page.goto("/")
    page.get_by_role("button", name="Cc0 loop 120bpm").click()
    expect(page.get_by_role("link", name="Explore it")).to_be_visible(timeout=90_000)
    (found,) = re.findall(r"song=([0-9a-f]{16})", page.url)
    return found


def test_visitors_see_and_hear_only_their_own_and_what_a_link_shows(browsers: list[BrowserContext]) -> None:
    owner, guest = (context.new_page() for context in browsers)
    song = trained_song(owner)
    (cookie,) = [each for each in browsers[0].cookies() if each["name"] == "trajectory_visitor"]
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Lax")
    assert "trajectory_visitor" not in owner.evaluate("document.cookie")
    assert owner.request.get(f"/sound/{song}").status == 200
    ranged = owner.request.get(f"/sound/{song}", headers={"Range": "bytes=0-3"})
    assert (ranged.status, ranged.body()) == (206, b"OggS")

    guest.goto("/library")
    expect(guest.get_by_text("There is no song yet")).to_be_visible()
    guest.goto(f"/explore?song={song}")
    expect(guest.get_by_text("no longer in the library")).to_be_visible()
    assert guest.request.get(f"/sound/{song}").status == 404

    owner.goto("/library")
    settled(owner)
    owner.get_by_role("button", name="More").click()
    owner.get_by_role("button", name="Make a link").click()
    link = owner.get_by_test_id("stCode").inner_text().strip()
    token = urlsplit(link).query.partition("=")[2]

    guest.goto(link)
    ready(guest, "explore")
    settled(guest)
    expect(guest.get_by_text("Somebody shared this with you")).to_be_visible()
    assert guest.evaluate("window.__trajectoryPlayers.get('explore').audio.src").endswith(f"/sound/{song}?shared={token}")
    assert guest.request.get(f"/sound/{song}?shared={token}").status == 200
    guest.get_by_role("link", name="Library").click()
    expect(guest.get_by_text("nothing of it can be changed or trained")).to_be_visible()
    guest.get_by_role("link", name="Forecast").click()
    ready(guest, "forecast")
    assert f"shared={token}" in guest.url

    owner.get_by_role("button", name="Take back").click()
    expect(owner.get_by_role("button", name="Take back")).to_have_count(0)
    assert guest.request.get(f"/sound/{song}?shared={token}").status == 404
    guest.goto(link)
    expect(guest.get_by_text("this link leads to nothing any more")).to_be_visible()
    guest.get_by_role("button", name="Go to your own songs").click()
    expect(guest.get_by_text("There is no song yet")).to_be_visible()


def hostile_song(folder: Path, sample: str) -> Path:
    """Music whose tags mean harm."""
    samples, rate = soundfile.read(ROOT / "assets/songs" / sample, stop=8 * 44_100)
    path = folder / "song.ogg"
    with soundfile.SoundFile(path, "w", rate, samples.ndim if samples.ndim == 1 else samples.shape[1], format="OGG") as file:
        file.title, file.artist = f"{TITLE} {sample[:2]}", ARTIST
        file.write(samples)
    return path


def looks_harmless(page: Page) -> None:
    """The title is on the page as it was written, and nothing of it is anything else."""
    settled(page)
    found = page.wait_for_function(FOUND, arg=SEEN).json_value()
    assert not found["bad"], (page.url, found["bad"])


def test_a_strangers_words_stay_words_on_every_page(browsers: list[BrowserContext], tmp_path: Path) -> None:
    page = browsers[0].new_page()
    songs = []
    for sample in ("05_solo_piano.ogg", "07_cc0_loop_120bpm.ogg"):
        page.goto("/")
        settled(page)
        data = hostile_song(tmp_path, sample).read_bytes()
        page.locator("input[type=file]").set_input_files({"name": f"{TITLE[:60]}.ogg", "mimeType": "audio/ogg", "buffer": data})
        expect(page.get_by_text(SEEN).first).to_be_visible()
        page.wait_for_url(re.compile("song="))
        songs.append(re.findall(r"song=([0-9a-f]{16})", page.url)[0])
    expect(page.get_by_role("link", name="Explore it")).to_be_visible(timeout=90_000)
    looks_harmless(page)
    query = f"song={songs[1]}"
    for name in ("explore", "compare", "forecast"):
        page.goto(f"/{name}?{query}")
        ready(page, name)
        looks_harmless(page)
    page.goto(f"/export?{query}")
    expect(page.get_by_role("button", name="Make it")).to_be_visible()
    looks_harmless(page)
    page.get_by_role("tab", name="Data").click()
    page.get_by_role("button", name="Table (csv)").click()
    expect(page.get_by_role("button", name=re.compile("^Download"))).to_be_visible()
    looks_harmless(page)

    page.goto(f"/alike?{query}")
    settled(page)
    page.get_by_role("button", name="Hear them").click()
    expect(page.get_by_text(re.compile("^cosine -?[0-9]"))).to_be_visible(timeout=90_000)
    for view in ("Songs like this", "Moments like this", "Map", "Two songs", "Inside"):
        page.goto(f"/alike?{query}&show={view.replace(' ', '+')}")
        looks_harmless(page)
    page.goto(f"/alike?{query}&show=Two+songs")
    settled(page)
    page.get_by_role("button", name="Put both into one space").click()
    ready(page, "together")
    looks_harmless(page)

    page.goto("/library")
    settled(page)
    page.get_by_role("button", name="More").first.click()
    looks_harmless(page)
    page.get_by_role("button", name="Delete the song and its runs").click()
    expect(page.get_by_text("It can be brought back")).to_be_visible()
    looks_harmless(page)
