from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.serving import chromium_drawing_in_software, served

expect.set_options(timeout=60_000)


@pytest.fixture(scope="package")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the app's library."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="package")
def address(home: Path) -> Iterator[str]:
    """Where the app is served, its workers warm."""
    with served(home) as app:
        yield app.address


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    with chromium_drawing_in_software() as browser:
        yield browser


@pytest.fixture(scope="package")
def trained(chromium: Browser, address: str) -> str:
    """The query of a song with both runs, trained through the app."""
    page = chromium.new_page(base_url=address)
    page.set_default_timeout(90_000)
    page.goto("/")
    page.get_by_role("button", name="Cc0 loop 120bpm").click()
    page.get_by_role("link", name="Explore it").wait_for()
    page.wait_for_function("document.querySelectorAll('[data-testid=stProgress]').length === 0")
    query = urlsplit(page.url).query
    page.close()
    return "&".join(part for part in query.split("&") if part.startswith(("song", "run")))


@pytest.fixture
def page(chromium: Browser, address: str) -> Iterator[Page]:
    """A visitor's own window; what goes wrong in its scripts, or is not let in by the app's policy, fails the test."""
    context = chromium.new_context(base_url=address, viewport={"width": 1440, "height": 900}, color_scheme="dark")
    context.set_default_timeout(60_000)
    opened = context.new_page()
    problems: list[str] = []
    opened.on("pageerror", lambda error: problems.append(str(error.stack)))
    opened.on("console", lambda said: problems.append(said.text) if "Content Security Policy" in said.text else None)
    yield opened
    context.close()
    assert not problems, problems
