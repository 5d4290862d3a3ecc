"""Who may ask the app for what, as a table: every address of the app and of Streamlit has a row."""

import asyncio
import re
from typing import Any
from unittest.mock import MagicMock

import pytest
from starlette.requests import HTTPConnection
from starlette.routing import Mount
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.web.server.starlette.starlette_app import create_streamlit_routes

from trajectory.ui import services
from trajectory.ui.gate import DOORS, Gate, policy

OWN = "localhost:8501"
SOCKET = "/_stcore/stream"


async def knows_ann(asked: HTTPConnection) -> bool:
    return asked.cookies.get("who") == "ann"


def answer(
    path: str = "/",
    *,
    host: str | None = OWN,
    method: str = "GET",
    kind: str = "http",
    shared: bool = False,
    base: str = "",
    **headers: str,
) -> tuple[int, dict[str, str], str]:
    """The status, the headers and the words with which a request is answered: 200 and 101 are what lies behind the gate."""
    sent: list[dict[str, Any]] = []

    async def behind(_scope: Any, _receive: Any, send: Any) -> None:
        if kind == "websocket":
            await send({"type": "websocket.accept"})
        else:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    named = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    if host is not None:
        named.append((b"host", host.encode("latin-1")))

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {"type": kind, "method": method, "path": path, "headers": named, "query_string": b""}
    gate = Gate(behind, base=base, loopback_only=not shared, is_visitor=knows_ann if shared else None)  # type: ignore[arg-type]
    asyncio.run(gate(scope, receive, send))  # type: ignore[arg-type]
    first = sent[0]
    if kind == "websocket":
        return (101 if first["type"] == "websocket.accept" else 403), {}, first.get("reason", "")
    said = {name.decode(): value.decode() for name, value in first["headers"]}
    return first["status"], said, sent[1]["body"].decode()


def status(*arguments: Any, **options: Any) -> int:
    return answer(*arguments, **options)[0]


# --- Addresses


def addresses() -> list[tuple[str, set[str]]]:
    runtime = MagicMock()
    routes = [*create_streamlit_routes(runtime), *services.ROUTES]
    found = [(route.path, set(getattr(route, "methods", None) or {"WEBSOCKET"})) for route in routes if not isinstance(route, Mount)]
    return [(re.sub(r"\{[^}]*\}", "x", path), methods) for path, methods in found]


def test_every_address_that_there_is_has_a_row_of_its_own() -> None:
    known = addresses()
    assert len(known) > 20
    pages = DOORS[-1]
    for path, _ in known:
        door = next(each for each in DOORS if each.address.fullmatch(path))
        assert door is not pages or path == "/", f"{path} has no row in DOORS: who may ask for it?"


OPEN = {  # every row: who may ask, by the method
    "/health": {"GET": "anybody", "POST": "nobody"},
    "/sound/x": {"GET": "anybody", "HEAD": "anybody", "PUT": "nobody"},
    "/film/x/y": {"GET": "ann", "HEAD": "ann", "DELETE": "nobody"},
    "/_stcore/health": {"GET": "anybody", "OPTIONS": "anybody", "DELETE": "nobody"},
    "/_stcore/host-config": {"GET": "anybody", "POST": "nobody"},
    SOCKET: {"WEBSOCKET": "anybody", "GET": "nobody"},
    "/_stcore/upload_file/x/y": {"PUT": "ann", "DELETE": "ann", "GET": "nobody"},
    "/_stcore/bidi-components/a/b.js": {"GET": "anybody", "POST": "nobody"},
    "/media/x": {"GET": "ann", "PUT": "nobody"},
    "/static/js/a.js": {"GET": "anybody", "POST": "nobody"},
    "/_stcore/metrics": {"GET": "nobody"},
    "/_stcore/agent/interact": {"POST": "nobody", "GET": "nobody"},
    "/component/a/index.html": {"GET": "nobody"},
    "/auth/login": {"GET": "nobody"},
    "/oauth2callback": {"GET": "nobody"},
    "/explore": {"GET": "anybody", "POST": "nobody"},
}


def test_the_table_has_every_row() -> None:
    rows = {next(each for each in DOORS if each.address.fullmatch(path)) for path in OPEN}
    assert rows == set(DOORS)


@pytest.mark.parametrize(("path", "method", "who"), [(path, method, who) for path, each in OPEN.items() for method, who in each.items()])
def test_each_address_is_answered_to_whom_it_may_be(path: str, method: str, who: str) -> None:
    options: dict[str, Any] = {"kind": "websocket"} if method == "WEBSOCKET" else {"method": method}
    for cookie, may in (("", who == "anybody"), ("who=ben", who == "anybody"), ("who=ann", who in ("anybody", "ann"))):
        assert (status(path, shared=True, cookie=cookie, **options) in (200, 101)) is may
    assert (status(path, **options) in (200, 101)) is (who != "nobody")  # on a machine of one's own there are no visitors


@pytest.mark.parametrize(
    "path", ["", "/\n", "//_stcore/metrics", "/_stcore/\nmetrics", "/explore/../_stcore/stream", "/\u2028", "/" * 3_000]
)
def test_an_odd_address_is_answered_like_any_other(path: str) -> None:
    assert status(path) in (200, 404)
    assert status(path, method="PUT") in (404, 405)


def test_an_address_below_a_base_is_the_same_one() -> None:
    assert status("/music/health", base="/music") == 200
    assert status("/music/_stcore/metrics", base="/music") == 404
    assert status("/music", base="/music") == 200


# --- Hosts


@pytest.mark.parametrize("host", [OWN, "localhost", "127.0.0.1:8501", "[::1]:8501", "LOCALHOST:80"])
def test_a_machine_of_ones_own_answers_by_its_own_names(host: str) -> None:
    assert status(host=host) == 200
    assert status(SOCKET, kind="websocket", host=host, origin=f"http://{host}") == 101


@pytest.mark.parametrize(
    "host", [None, "", "evil.example", "evil.example:8501", "localhost.evil.example", "192.168.1.7:8501", "0.0.0.0:8501", "local\xe4host"]
)
def test_a_name_that_leads_here_from_elsewhere_is_not_answered(host: str | None) -> None:
    assert status(host=host) in (400, 403)
    assert status("/sound/x", host=host) in (400, 403)
    assert status(SOCKET, kind="websocket", host=host) == 403


def test_what_is_for_visitors_answers_by_the_names_that_it_is_given() -> None:
    assert status(host="music.example.org", shared=True) == 200


# --- Sites


@pytest.mark.parametrize(
    ("origin", "host", "same"),
    [
        ("http://localhost:8501", OWN, True),
        ("https://music.example.org", "music.example.org", True),
        ("https://music.example.org:443", "music.example.org", True),
        ("https://music.example.org:8443", "music.example.org:8443", True),
        ("https://music.example.org", "music.example.org:443", True),
        ("http://localhost:3000", OWN, False),
        ("http://127.0.0.1:8501", OWN, False),
        ("https://evil.example", "music.example.org", False),
        ("https://music.example.org.evil.example", "music.example.org", False),
        ("https://music.example.org:8443", "music.example.org", False),
        ("null", OWN, False),
        ("", OWN, False),
        ("https://[", OWN, False),
    ],
)
def test_only_the_apps_own_site_may_ask(origin: str, host: str, same: bool) -> None:
    for options in ({"kind": "websocket"}, {"method": "GET"}):
        path = SOCKET if "kind" in options else "/"
        assert (status(path, host=host, origin=origin, shared=True, **options) in (200, 101)) is same
    assert (status("/_stcore/upload_file/x/y", host=host, origin=origin, method="PUT", shared=True, cookie="who=ann") == 200) is same


@pytest.mark.parametrize(
    ("site", "mode", "dest", "may"),
    [
        ("same-origin", "cors", "empty", True),
        ("none", "navigate", "document", True),  # typed, or a bookmark
        ("cross-site", "navigate", "document", True),  # a link
        ("cross-site", "navigate", "iframe", False),  # a frame
        ("cross-site", "no-cors", "audio", False),
        ("same-site", "no-cors", "audio", False),  # another program of this machine, on another port
        ("same-site", "cors", "empty", False),
        ("cross-site", "no-cors", "script", False),
        ("made-up", "no-cors", "image", False),
    ],
)
def test_what_another_site_lets_a_browser_fetch_is_refused(site: str, mode: str, dest: str, may: bool) -> None:
    for path in ("/sound/x", "/media/x", "/", "/health", "/static/a.js"):
        for shared in (False, True):
            told = status(path, shared=shared, cookie="who=ann", sec_fetch_site=site, sec_fetch_mode=mode, sec_fetch_dest=dest)
            assert (told == 200) is may, path


# --- What is said with every answer


@pytest.mark.parametrize("path", ["/", "/sound/x", "/_stcore/metrics"])
def test_every_answer_says_what_a_browser_may_do_with_it(path: str) -> None:
    _, headers, _ = answer(path)
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "SAMEORIGIN"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["content-security-policy"] == policy(OWN)


def test_the_policy_lets_in_nothing_from_elsewhere() -> None:
    rules = dict(rule.split(" ", 1) for rule in policy(OWN).split("; "))
    assert rules["frame-ancestors"] == "'self'"
    assert rules["object-src"] == "'none'"
    assert "'unsafe-inline'" not in rules["script-src"]
    places = {place for rule in rules.values() for place in rule.split() if not place.startswith("'")}
    assert places == {"data:", "blob:", f"ws://{OWN}", f"wss://{OWN}"}


def test_a_refusal_is_one_sentence() -> None:
    for told in (
        answer(host="evil.example"),
        answer("/_stcore/metrics"),
        answer(origin="https://evil.example"),
        answer("/health", method="PUT"),
    ):
        assert 0 < len(told[2]) < 200
        assert "\n" not in told[2]


# --- What is said over a websocket


def test_an_order_to_empty_everybodys_caches_is_not_handed_on() -> None:
    def said(kind: str, padding: int = 0) -> bytes:
        order = BackMsg()
        if kind == "rerun_script":
            order.rerun_script.query_string = "x" * padding
        else:
            setattr(order, kind, True)
        return order.SerializeToString()

    unknown_field = b"\xfa\x7f\xff\x3f" + b"x" * 0x1FFF  # which makes an order longer, and no other one
    wanted = [said("rerun_script", 5), said("rerun_script", 5_000), b"\xff no message", said("stop_script")]
    sent = [wanted[0], said("clear_cache"), said("clear_cache") + unknown_field, wanted[1], said("debug_shutdown_runtime"), *wanted[2:]]
    waiting = [{"type": "websocket.receive", "bytes": data} for data in sent] + [{"type": "websocket.disconnect"}]
    heard: list[bytes] = []

    async def behind(_scope: Any, receive: Any, _send: Any) -> None:
        while (message := await receive())["type"] != "websocket.disconnect":
            heard.append(message["bytes"])

    async def receive() -> dict[str, Any]:
        return waiting.pop(0)

    scope = {"type": "websocket", "path": SOCKET, "headers": [(b"host", OWN.encode())], "query_string": b""}
    asyncio.run(Gate(behind, base="", loopback_only=True)(scope, receive, None))  # type: ignore[arg-type]
    assert heard == wanted
