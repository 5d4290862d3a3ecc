"""The libraries and the workers behind all sessions of the app, from its start to its end; and what it serves beside its pages."""

import asyncio
import functools
import logging
import mimetypes
import os
import re
import shutil
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

import anyio.to_thread
import plotly.graph_objects as go
import streamlit as st
import streamlit.logger
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from streamlit.runtime.pages_manager import PagesManager

from trajectory import __version__, audio, logs
from trajectory.catalogue import LibraryError
from trajectory.deployment import Deployment
from trajectory.desk import Desk
from trajectory.errors import TrajectoryError
from trajectory.filing import Look
from trajectory.jobs import Jobs
from trajectory.library import UNDO_SECONDS, Library, home
from trajectory.probing import Prober
from trajectory.queueing import Kind
from trajectory.sharing import SharedLibrary, SharingError
from trajectory.ui import cookies, gate, looking, sessions, uploads
from trajectory.visitors import VisitorLibrary, Visitors

ROOT = Path(__file__).parents[2]
BASE = f"/{base}" if (base := st.get_option("server.baseUrlPath").strip("/")) else ""
LOG = logging.getLogger(__name__)
PLAYED = (".wav", ".mp3", ".flac", ".ogg", ".m4a", ".webm")
MOST_HANDLES = 65_536
FRAMING = 100_000  # bytes that a form adds to the file in it
LEAST_FREE = 20_000_000  # bytes of the disk without which a machine of one's own is not ready for a song
UNREADABLE = "the folder that songs are kept in cannot be read and written (the log has the reason)"
PLAYABLE = "sound.flac"  # kept beside a song whose own file browsers do not play
FILM = re.compile(r"film-[0-9a-f]{12}\.[a-z0-9]{2,5}")
CALLED = "called"  # in a film's address: the name under which it is to be kept
SHARED = "shared"  # in an address: the token of a link; and where a session remembers it

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


class VisitorError(TrajectoryError):
    """A visitor who cannot be told from others."""


@_Once
def deployment() -> Deployment:
    """Who the app is for."""
    return Deployment.of(os.environ)


@_Once
def queue() -> Jobs:
    """The workers: the app's own, or those that TRAJECTORY_SCHEDULER names."""
    may = deployment()
    longest: dict[Kind, float] = {"training": 60 * may.training_minutes, "quick": 60 * may.quick_minutes}
    return Jobs.start(address=os.environ.get("TRAJECTORY_SCHEDULER"), longest=longest)


@_Once
def prober() -> Prober:
    """What looks at files that come in."""
    return Prober()


@_Once
def visitors() -> Visitors:
    """Everybody's libraries, where each visitor has one."""
    return Visitors(home(), deployment(), look=_look())


@_Once
def _machines_library() -> Library:
    return Library(home(), look=_look())


def _look() -> Look:
    """How a new file is looked at: in another process, where processes can be bounded."""
    return audio.probe if resource is None else prober().probe


def forget() -> None:
    """Reads the environment anew when next asked; the workers begin anew."""
    queue.forget()
    forget_libraries()


def forget_libraries() -> None:
    """Reads anew where they lie, and whose they are."""
    for each in (deployment, visitors, _machines_library):
        each.forget()


# --- Who asks. Only a page's own run knows: what another thread will need of these is taken before it begins.


def library() -> Library:
    """The songs and runs of whoever asks; where a link was taken back meanwhile, the page begins anew, and says so."""
    try:
        return asked_library()
    except SharingError:
        st.rerun()  # which does nothing in a callback
        raise


def asked_library() -> Library:
    """This machine's library, the visitor's own, or what a link shows of somebody else's."""
    if not deployment().shared:
        return _machines_library()
    own = own_library()
    token = shared_token()
    return visitors().shared(token) if token else own


def shared_token() -> str | None:
    """Of the link that is looked at, in the address or, where a page was turned to since, as the session remembers it."""
    found: str | None = st.query_params.get(SHARED) or st.session_state.get(SHARED)
    return found


def own_library() -> VisitorLibrary:
    """The visitor's own. Its session holds it, so that it is in use for as long as its visitor is here."""
    secret = visitors_secret()
    if secret is None:
        raise VisitorError(
            "your browser keeps no cookie of this address, by which your songs would be known as yours; allow it and load the page again, "
            "or open the app in a tab of its own"
        )
    own = st.session_state["library"] = visitors().library(secret)
    own.address = gate.address_of(st.context.ip_address or "127.0.0.1", st.context.headers.get("X-Forwarded-For") or "")
    return own


def visitors_secret() -> str | None:
    """By what this session's visitor is known."""
    return visitors().secrets.recognise(cookies.values_of(st.context.cookies))


def jobs() -> Jobs | Desk:
    """The workers, as whoever asks may use them."""
    may = deployment()
    if not may.shared:
        return queue()
    kept, own = library(), own_library()
    visitor = own.name
    room = f"{visitor} {kept.share.digest}" if isinstance(kept, SharedLibrary) else visitor
    return Desk(
        queue=queue(),
        visitor=visitor,
        address=own.address,
        most_of_address=may.address_jobs,
        is_newcomer=own.is_newcomer(),
        room=room,
        most=may.jobs,
        most_of_all=may.queue,
        most_bytes=may.bytes,
        training_refused=kept.training_refused,
    )


def sentence(error: Exception | str) -> str:
    """An error's sentence for whoever asks: visitors are told of no folder of the server."""
    said = str(error)
    if deployment().shared:
        for folder in (str(home()), str(ROOT), tempfile.gettempdir(), str(Path.home())):
            said = re.sub(rf"{re.escape(folder)}(/[^\s;,:'\")]*)?", "this app's folder", said)
    return said


# --- From its start to its end


def begin() -> None:
    """Before anything is served: how it is deployed, and how it logs. Where that makes no sense or is not safe, nothing is."""
    try:
        logs.begin(os.environ)
        _raise_handles()
        deployment().check_address(st.get_option("server.address"))
        if deployment().shared:
            visitors()
    except TrajectoryError as error:
        sys.exit(str(error))
    if logs.is_json():
        streamlit.logger.setup_formatter = _hand_on


def _raise_handles() -> None:
    """As many open files and connections as this user may have: the usual 1024 are few where many come."""
    if resource is not None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = MOST_HANDLES if hard == resource.RLIM_INFINITY else min(hard, MOST_HANDLES)
        if soft != resource.RLIM_INFINITY and soft < most:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _hand_on(logger: logging.Logger) -> None:
    """In the place of what gives each of Streamlit's loggers, also those still to come, a handler that writes plain lines."""
    logger.propagate = logger.name not in logs.SILENT


def middleware() -> list[Middleware]:
    """What every request passes on its way in, and every answer on its way out."""
    shared, under_way = deployment().shared, uploads.UnderWay()
    bounded = (
        [Middleware(uploads.Uploads, base=BASE, under_way=under_way, admit=functools.partial(_admit_upload, under_way))] if shared else []
    )
    return [
        Middleware(gate.Gate, base=BASE, loopback_only=not shared, is_visitor=_is_visitor if shared else None),
        Middleware(cookies.Cookies, register=visitors().secrets if shared else None),
        *bounded,
    ]


def _asking(asked: HTTPConnection) -> str | None:
    """The secret of the visitor who asks for something outside of any page."""
    return visitors().secrets.recognise(cookies.values_of(asked.cookies))


async def _is_visitor(asked: HTTPConnection) -> bool:
    """Whether somebody who is known asks; for a file that a page shows, whether it is one of theirs."""
    secret = await anyio.to_thread.run_sync(_asking, asked)
    media = re.fullmatch(r"/media/([^/]+)", asked.scope["path"].removeprefix(BASE))
    return secret is not None and (media is None or await sessions.shows(media[1], secret, visitors().secrets))


async def _admit_upload(under_way: uploads.UnderWay, request: Request, session: str, size: int) -> str | PlainTextResponse:
    """Whose an upload is, if it comes from a session of the one who asks and there is room for it, in memory and in their library."""
    return await anyio.to_thread.run_sync(_admitted, under_way, request, session, size)


def _counted(under_way: uploads.UnderWay, own: VisitorLibrary, secret: str, size: int, left: int) -> str | None:
    """Counts an upload in beside what pages have not taken yet, or says what is full."""
    held = sessions.held_bytes()
    theirs = sum(count for each, count in held.items() if sessions.secret_of(each, visitors().secrets) == secret)
    most_of_all = deployment().upload_bytes - sum(held.values())
    return under_way.take(own.name, size, most=left + FRAMING - theirs, most_of_all=most_of_all)


def _admitted(under_way: uploads.UnderWay, request: Request, session: str, size: int) -> str | PlainTextResponse:
    secret = _asking(request)
    if secret is None or sessions.secret_of(session, visitors().secrets) != secret:
        return PlainTextResponse("this upload comes from no session of yours; load the page again", status_code=403)
    try:
        own = visitors().library(secret)
        left = own.bytes_left()
    except TrajectoryError as error:
        return PlainTextResponse(sentence(error), status_code=503)
    full = _counted(under_way, own, secret, size, left)
    if full == "all":
        sessions.drop_uploads_of_the_gone()
        full = _counted(under_way, own, secret, size, left)
    if full == "own":
        return PlainTextResponse("this is more than you may keep; delete some songs first", status_code=413)
    if full == "all":
        return PlainTextResponse("so much is being uploaded that no more fits into memory; try again in a while", status_code=503)
    return own.name


def _practise() -> None:
    """Writes a figure that nobody sees, for what Plotly and Streamlit load on the way to a first one."""
    figure = go.Figure(go.Heatmap(z=[[0.0, 1.0]]))
    figure.add_scatter(x=[0.0], y=[1.0]).update_layout(title="practice", xaxis_title="x").to_json()


async def _tidy() -> None:
    """Gives up, now and then, what was deleted too long ago to be brought back, and what belongs to visitors who stay away."""
    while True:
        try:
            await anyio.to_thread.run_sync(lambda: visitors().tidy() if deployment().shared else _machines_library().purge())
        except TrajectoryError as error:
            LOG.warning("%s", error)  # every page says it again
        except Exception:  # whatever it was, the next time may go well
            LOG.exception("what was deleted could not be given up")
        await asyncio.sleep(UNDO_SECONDS)


@asynccontextmanager
async def lifespan(_: Any) -> AsyncIterator[dict[str, Any]]:
    """Warms the workers before the first visitor comes, and ends them after the last."""
    PagesManager.uses_pages_directory = False  # else a link, as the first visit of all, opens its page without app.py around it
    looking.serve(asyncio.get_running_loop())
    work, tidying = queue(), logs.watch(asyncio.create_task(_tidy(), name="tidy"))
    for each in (_practise, *(() if resource is None else (prober().warm,))):
        threading.Thread(target=each, name=each.__name__, daemon=True).start()
    yield {}
    tidying.cancel()
    await anyio.to_thread.run_sync(prober().close)
    await anyio.to_thread.run_sync(work.close)


def address_of(song_id: str) -> str:
    """Where the browser gets a song's sound. Who asks is known by the cookie; a link's token goes along."""
    kept = library()
    return f"{BASE}/sound/{song_id}" + (f"?{SHARED}={shared_token()}" if isinstance(kept, SharedLibrary) else "")


def film_address(song_id: str, file: Path, *, called: str | None = None) -> str:
    """Where the browser gets what was made of a song: to be looked at, or to be kept under a name."""
    return f"{BASE}/film/{song_id}/{file.name}" + (f"?{urlencode({CALLED: called})}" if called else "")


def playable(kept: Library, song_id: str) -> Path:
    """A file that browsers play: the song's own, or what was made of it."""
    own = kept.sound(song_id)
    return own if own.suffix in PLAYED else kept.kept_file(song_id, PLAYABLE) or own


def _library_of(request: Request) -> Library:
    """As `library`, for a request outside of any page."""
    if not deployment().shared:
        return _machines_library()
    if token := request.query_params.get(SHARED):
        return visitors().shared(token)
    secret = _asking(request)
    if secret is None:
        raise VisitorError("nobody is known to ask for this; open the app's page first")
    return visitors().library(secret)


async def sound(request: Request) -> Response:
    """A song's sound, with ranges, so that a browser can begin anywhere; only for those whose library has the song."""
    try:
        path = await anyio.to_thread.run_sync(lambda: playable(_library_of(request), request.path_params["song"]))
    except TrajectoryError as error:
        return PlainTextResponse(sentence(error), status_code=404)
    kept = "private, max-age=3600" if SHARED not in request.query_params else "private, no-store"  # a link can be taken back
    headers = {"Cache-Control": kept, "Vary": "Cookie"}
    return FileResponse(path, media_type=mimetypes.guess_type(path.name)[0], headers=headers)


async def film(request: Request) -> Response:
    """A film, loop or poster that was made of a song, with ranges; only for those whose library has it."""
    name, called = request.path_params["name"], request.query_params.get(CALLED)
    try:
        path = await anyio.to_thread.run_sync(lambda: _film_of(request, request.path_params["song"], name))
    except TrajectoryError as error:
        return PlainTextResponse(sentence(error), status_code=404)
    headers = {"Cache-Control": "private, no-store", "Vary": "Cookie"}
    return FileResponse(path, media_type=mimetypes.guess_type(path.name)[0], headers=headers, filename=called)


def _film_of(request: Request, song_id: str, name: str) -> Path:
    path = _library_of(request).kept_file(song_id, name) if FILM.fullmatch(name) else None
    if path is None:
        raise LibraryError("this film is no longer kept; make it again")
    return path


async def health(_: Request) -> Response:
    """Whether the app can take a song now, or the sentence that says why not, and how much it has to do."""
    about = queue().health() | {"version": __version__, "free_bytes": 0}
    try:
        folder = _machines_folder()
        about["free_bytes"] = shutil.disk_usage(folder).free
        problem = await anyio.to_thread.run_sync(_problem_of, folder, about["free_bytes"])
    except (OSError, TrajectoryError) as error:
        LOG.warning("the folder of songs cannot be looked at: %s", error)
        problem = UNREADABLE
    if problem is not None:
        about |= {"ready": False, "problem": about["problem"] or problem}
    return JSONResponse(about, status_code=200 if about["ready"] else 503)


def _machines_folder() -> Path:
    """The data's, or before there is any, the nearest one above."""
    return next(folder for folder in (home(), *home().parents) if folder.is_dir())


def _problem_of(folder: Path, free_bytes: int) -> str | None:
    """Why no song can be kept in the data's folder now, if so; where visitors read it, without a path of the server."""
    may = deployment()
    if free_bytes < (may.free_bytes if may.shared else LEAST_FREE):
        return "the disk is full: nothing new can be kept"
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return UNREADABLE
    if not may.shared:
        _machines_library().usage()
    return None


ROUTES = [Route("/sound/{song}", sound), Route("/film/{song}/{name}", film), Route("/health", health)]
