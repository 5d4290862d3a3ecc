"""The app on a port of its own, and a Chromium that draws in software: for tests and measurements alike."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

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


@dataclass(frozen=True)
class Served:
    """An app that answers."""

    address: str
    process: int
    ready_seconds: float  # from its start until it answered


@contextmanager
def served(home: Path, *, warm: bool = True, module: str = "streamlit", environment: Mapping[str, str] = {}) -> Iterator[Served]:
    """The app over a library of its own, ended afterwards with all that it started; its log is in that folder, too."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", module, "run", "app.py", "--server.port", str(port), "--server.headless", "true"]
    began = time.perf_counter()
    with (home / "log.txt").open("w") as log:
        app = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | {"TRAJECTORY_HOME": str(home)} | environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            address = f"http://localhost:{port}"
            _until(address, home, bool)
            ready = time.perf_counter() - began
            if warm:
                _until(address, home, lambda about: about["warm"] == about["workers"] > 0)
            yield Served(address, app.pid, ready)
        finally:
            os.killpg(app.pid, signal.SIGTERM)
            app.wait(20)


def _until(address: str, home: Path, enough: Callable[[dict[str, Any]], bool], *, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            if enough(health(address)):
                return
        time.sleep(0.1)
    raise AssertionError((home / "log.txt").read_text())


def health(address: str) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=5) as answer:  # noqa: S310 - our own
            return dict(json.load(answer))
    except urllib.error.HTTPError as error:  # 503 while no worker is there yet
        return dict(json.load(error))


@contextmanager
def chromium_drawing_in_software() -> Iterator[Browser]:
    """Debian's where it is installed, else Playwright's own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        yield browser
        browser.close()
