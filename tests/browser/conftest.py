from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.serving import chromium_drawing_in_software, served

expect.set_options(timeout=60_000)


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the app is served, its workers warm."""
    with served(tmp_path_factory.mktemp("home")) as app:
        yield app.address


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    with chromium_drawing_in_software() as browser:
        yield browser


@pytest.fixture
def page(chromium: Browser, address: str) -> Iterator[Page]:
    """A visitor's own window; what goes wrong in its scripts fails the test."""
    context = chromium.new_context(base_url=address, viewport={"width": 1440, "height": 900}, color_scheme="dark")
    context.set_default_timeout(60_000)
    opened = context.new_page()
    problems: list[str] = []
    opened.on("pageerror", lambda error: problems.append(str(error.stack)))
    yield opened
    context.close()
    assert not problems, problems
