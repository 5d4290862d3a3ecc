"""The app on a port of its own, and a Chromium that draws in software."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.songs import ROOT

FLAGS = [
    "--no-sandbox",
    "--use-angle=swiftshader",  # WebGL in software
    "--enable-unsafe-swiftshader",
    "--disable-gpu-compositing",
    "--disable-accelerated-2d-canvas",
    "--autoplay-policy=no-user-gesture-required",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]

expect.set_options(timeout=60_000)


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the app is served, its workers warm."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home = tmp_path_factory.mktemp("home")
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port), "--server.headless", "true"]
    log = (home / "log.txt").open("w")
    app = subprocess.Popen(
        command, cwd=ROOT, env=os.environ | {"TRAJECTORY_HOME": str(home)}, stdout=log, stderr=log, start_new_session=True
    )
    try:
        yield _warm(f"http://localhost:{port}", home)
    finally:
        os.killpg(app.pid, signal.SIGTERM)
        app.wait(20)
        log.close()


def _warm(address: str, home: Path, *, seconds: float = 120) -> str:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=5) as answer:  # noqa: S310 - our own
                about = json.load(answer)
            if about["warm"] == about["workers"] > 0:
                return address
        except OSError:
            pass
        time.sleep(0.3)
    raise AssertionError((home / "log.txt").read_text())


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Debian's where it is installed, else Playwright's own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        yield browser
        browser.close()


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
