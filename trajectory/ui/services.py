"""The library and the workers that all sessions of the app share, from its start to its end; and what it serves beside its pages."""

import asyncio
import functools
import logging
import mimetypes
import os
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

import anyio.to_thread
import plotly.graph_objects as go
import streamlit as st
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from streamlit.runtime.pages_manager import PagesManager

from trajectory.errors import TrajectoryError
from trajectory.jobs import Jobs
from trajectory.library import UNDO_SECONDS, Library, home

BASE = f"/{base}" if (base := st.get_option("server.baseUrlPath").strip("/")) else ""
LOG = logging.getLogger(__name__)
PLAYED = (".wav", ".mp3", ".flac", ".ogg", ".m4a", ".webm")
PLAYABLE = "sound.flac"  # kept beside a song whose own file browsers do not play

mimetypes.add_type("audio/ogg", ".ogg")
mimetypes.add_type("audio/flac", ".flac")
mimetypes.add_type("audio/mp4", ".m4a")
mimetypes.add_type("audio/webm", ".webm")
mimetypes.add_type("audio/wav", ".wav")

T = TypeVar("T")


class _Once(Generic[T]):
    """One for the whole process, however many sessions ask at the same moment."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._lock, self._kept = threading.Lock(), functools.cache(make)

    def __call__(self) -> T:
        with self._lock:
            return self._kept()

    def forget(self) -> None:
        """The next to ask gets a new one."""
        self._kept.cache_clear()


@_Once
def library() -> Library:
    """The songs and runs on this machine."""
    return Library(home())


@_Once
def jobs() -> Jobs:
    """The workers: the app's own, or those that TRAJECTORY_SCHEDULER names."""
    return Jobs.start(address=os.environ.get("TRAJECTORY_SCHEDULER"))


def check() -> None:
    """Ends the page with one sentence where the library cannot be used."""
    try:
        library()
    except TrajectoryError as error:
        st.error(str(error), icon=":material/error:")
        st.stop()


def _practise() -> None:
    """Writes a figure that nobody sees, for what Plotly and Streamlit load on the way to a first one."""
    figure = go.Figure(go.Heatmap(z=[[0.0, 1.0]]))
    figure.add_scatter(x=[0.0], y=[1.0]).update_layout(title="practice", xaxis_title="x").to_json()


async def _tidy() -> None:
    """Gives up, now and then, what was deleted too long ago to be brought back."""
    while True:
        try:
            await anyio.to_thread.run_sync(lambda: library().purge())
        except TrajectoryError as error:
            LOG.warning("%s", error)  # every page says it again
        await asyncio.sleep(UNDO_SECONDS)


@asynccontextmanager
async def lifespan(_: Any) -> AsyncIterator[dict[str, Any]]:
    """Warms the workers before the first visitor comes, and ends them after the last."""
    PagesManager.uses_pages_directory = False  # else a link, as the first visit of all, opens its page without app.py around it
    work, tidying = jobs(), asyncio.create_task(_tidy())
    threading.Thread(target=_practise, name="practise", daemon=True).start()
    yield {}
    tidying.cancel()
    await anyio.to_thread.run_sync(work.close)


def playable(song_id: str) -> Path:
    """A file that browsers play: the song's own, or what was made of it."""
    own = library().sound(song_id)
    return own if own.suffix in PLAYED else library().kept_file(song_id, PLAYABLE) or own


async def sound(request: Request) -> Response:
    """A song's sound, with ranges, so that a browser can begin anywhere."""
    try:
        path = await anyio.to_thread.run_sync(playable, request.path_params["song"])
    except TrajectoryError as error:
        return PlainTextResponse(str(error), status_code=404)
    return FileResponse(path, media_type=mimetypes.guess_type(path.name)[0], headers={"Cache-Control": "private, max-age=3600"})


async def health(_: Request) -> Response:
    """Whether the app can take a song now."""
    about = jobs().health()
    return JSONResponse(about, status_code=200 if about["ready"] else 503)


ROUTES = [Route("/sound/{song}", sound), Route("/health", health)]
