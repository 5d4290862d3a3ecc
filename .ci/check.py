"""What a newcomer does: a fresh clone in a fresh folder, `make app` until a song has become a run, then `make test`.

`make check`, for a person or for every night. Nothing that is installed already helps: not the environment, nor what pip has fetched
before. It tries what is committed, and gives back the exit status of the first step that fails.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
READY_SECONDS = 3_600.0  # for an installation over a slow line
SONG_SECONDS = 300.0
END_SECONDS = 30.0


def main() -> None:
    """Clones, opens the app, sends it a song, runs the tests; says when each was done."""
    with tempfile.TemporaryDirectory(prefix="trajectory-check-") as folder:
        clone, home = Path(folder) / "clone", Path(folder) / "home"
        step(["git", "clone", "--quiet", ROOT, clone], Path(folder), {})
        own = {"TRAJECTORY_HOME": str(home), "PIP_NO_CACHE_DIR": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        began = time.monotonic()
        with app(clone, own) as address:
            said = until_ready(address)
            print(f"{time.monotonic() - began:5.0f} s  `make app` is ready for a song: {said}", flush=True)
            step([clone / ".venv/bin/python", "-m", "tests.first_song", address], clone, own, seconds=SONG_SECONDS)
            print(f"{time.monotonic() - began:5.0f} s  the song has become a run", flush=True)
        began = time.monotonic()
        step(["make", "test"], clone, own)
        print(f"{time.monotonic() - began:5.0f} s  `make test` is green", flush=True)


def step(command: list[str | Path], folder: Path, own: dict[str, str], *, seconds: float | None = None) -> None:
    """Runs a command to its end, and ends with it where it fails."""
    try:
        ended = subprocess.run(command, cwd=folder, env=os.environ | own, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        sys.exit(f"{' '.join(map(str, command))} was not done after {seconds:g} s")
    if ended.returncode:
        print(f"{' '.join(map(str, command))} failed", file=sys.stderr)
        sys.exit(ended.returncode)


@contextlib.contextmanager
def app(clone: Path, own: dict[str, str]) -> Iterator[str]:
    """`make app` on a port that is free; ended with all that it started."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    served = {"STREAMLIT_SERVER_PORT": str(port), "STREAMLIT_SERVER_HEADLESS": "true"}
    process = subprocess.Popen(["make", "app"], cwd=clone, env=os.environ | own | served, start_new_session=True)  # noqa: S607
    try:
        yield f"http://localhost:{port}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def until_ready(address: str) -> str:
    """What the health page says once it says that a song can be taken; ends where it says for too long why not."""
    end, about = time.monotonic() + READY_SECONDS, ""
    while time.monotonic() < end:
        with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            try:
                with urllib.request.urlopen(f"{address}/health", timeout=10) as answer:  # noqa: S310 - our own
                    return str(answer.read().decode())
            except urllib.error.HTTPError as error:
                about = error.read().decode()
        time.sleep(1)
    sys.exit(f"the app was not ready after {READY_SECONDS:g} s: {json.loads(about)['problem'] if about else 'it did not answer'}")


if __name__ == "__main__":
    if shutil.which("git") is None or shutil.which("make") is None:
        sys.exit("git and make are needed")
    main()
