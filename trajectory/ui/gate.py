"""What every request passes before anything answers it: whether this machine, this site and this visitor may ask for this address.

Browsers send what other sites make them send. So the host must be one that the app has, the site that asks must be the app's own, and
an address must be one of DOORS; only who follows a link comes from elsewhere.
"""

import asyncio
import base64
import contextlib
import hashlib
import ipaddress
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import streamlit
from google.protobuf.message import DecodeError
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit.proto.BackMsg_pb2 import BackMsg

from trajectory.deployment import is_loopback

INDEX = Path(streamlit.__file__).parent / "static" / "index.html"
READ = frozenset({"GET", "HEAD"})
PASSED_BYTES, PASSED_SECONDS = 16_000_000, 20.0
ORDERS = frozenset({"clear_cache", "debug_disconnect_websocket", "debug_shutdown_runtime"})
DEFAULT_PORTS = {"http": "80", "ws": "80", "https": "443", "wss": "443"}
HOST = re.compile(r"[A-Za-z0-9.:\[\]_-]{1,255}")


@dataclass(frozen=True)
class Door:
    """An address, and who may ask for it how; `methods` of a websocket are {"WEBSOCKET"}, those of what is closed none."""

    address: re.Pattern[str]
    methods: frozenset[str]
    who: Literal["anybody", "visitor"] = "anybody"


def _door(address: str, methods: frozenset[str], who: Literal["anybody", "visitor"] = "anybody") -> Door:
    return Door(re.compile(address, re.DOTALL), methods, who)


DOORS = (  # the first that fits; "anybody" also asks further inside, where something is somebody's
    _door(r"/health", READ),
    _door(r"/sound/[^/]+", READ),  # looks itself at whose it is, for a link may show it to somebody who is not known
    _door(r"/film/[^/]+/[^/]+", READ, "visitor"),
    _door(r"/_stcore/health", READ | {"OPTIONS"}),
    _door(r"/_stcore/host-config", READ),
    _door(r"/_stcore/stream", frozenset({"WEBSOCKET"})),
    _door(r"/_stcore/upload_file/[^/]+/[^/]+", frozenset({"PUT", "DELETE", "OPTIONS"}), "visitor"),
    _door(r"/_stcore/bidi-components/.+", READ),
    _door(r"/media/.+", READ, "visitor"),
    _door(r"/(app/)?static/.+", READ),
    # What Streamlit has beside and this app does not use: numbers for operators, programs that drive a page, sign-in, older components.
    _door(r"/_stcore/.*", frozenset()),
    _door(r"/(component|auth|oauth2callback)(/.*)?", frozenset()),
    _door(r"/.*", READ),  # the pages
)


class Gate:
    """The outermost of what a request passes."""

    def __init__(
        self, app: ASGIApp, *, base: str, loopback_only: bool, is_visitor: Callable[[HTTPConnection], Awaitable[bool]] | None = None
    ) -> None:
        self.app, self.base, self.loopback_only = app, base, loopback_only
        self.is_visitor = is_visitor  # None where everybody is

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        asked = HTTPConnection(scope)
        refusal = await self._refusal(asked)
        if refusal is None:
            if scope["type"] == "websocket":
                await self.app(scope, _without_orders(receive), send)
            else:
                await self.app(scope, receive, _with_headers(send, asked.headers))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": refusal[1]})
        else:
            await refuse(PlainTextResponse(refusal[1], status_code=refusal[0]), scope, receive, _with_headers(send, asked.headers))

    async def _refusal(self, asked: HTTPConnection) -> tuple[int, str] | None:
        headers, is_socket = asked.headers, asked.scope["type"] == "websocket"
        host = headers.get("host", "")
        if not HOST.fullmatch(host) or len(headers.getlist("host")) != 1:
            return 400, "this request names no host"
        if self.loopback_only and not is_loopback(_name(host)):
            return 403, f"this app answers for this machine alone, and not for {_name(host)}; open it as localhost"
        if not _is_own_site(headers, host, is_socket=is_socket):
            return 403, "another site may not use this app; open it in a tab of its own"
        path = asked.scope["path"].removeprefix(self.base)
        door = next(each for each in DOORS if each.address.fullmatch(path or "/"))
        if ("WEBSOCKET" if is_socket else asked.scope["method"]) not in door.methods:
            return (404, "there is nothing at this address") if not door.methods else (405, "this address is not asked in this way")
        if door.who == "visitor" and self.is_visitor is not None and not await self.is_visitor(asked):
            return 403, "nobody is known to ask for this; open the app's page first"
        return None


def address_of(peer: str, forwarded: str) -> str:
    """Where somebody comes from, of IPv6 the network: what a proxy of this machine or its own network says last, else who asks.

    Empty where that cannot be known: for who asks from this very machine, or through a proxy on it that says nothing.
    """
    asks = _address(peer)
    if asks is not None and (asks.is_loopback or asks.is_private) and forwarded.strip():
        asks = _address(forwarded.rpartition(",")[2].strip())
    if asks is None or asks.is_loopback:
        return ""
    return str(ipaddress.ip_network((asks, 64), strict=False)) if asks.version == 6 else str(asks)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


async def refuse(answer: Response, scope: Scope, receive: Receive, send: Send) -> None:
    """Answers a request without looking at what it brings, which is let pass by as far as it is short: who still sends hears no answer."""
    left, more = PASSED_BYTES, scope["method"] in ("PUT", "POST")
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PASSED_SECONDS):
            while more and left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                more = message["type"] == "http.request" and message.get("more_body", False)
    await answer(scope, receive, send)


def _without_orders(receive: Receive) -> Receive:
    """Leaves out what a page never sends and what would be done to everybody: one visitor's order to empty all caches."""

    async def received() -> Message:
        while True:
            message = await receive()
            data = message.get("bytes")
            if message["type"] != "websocket.receive" or not data or not _is_order(data):
                return message

    return received


def _is_order(data: bytes) -> bool:
    said = BackMsg()
    try:
        said.ParseFromString(data)
    except DecodeError:  # Streamlit closes such a connection
        return False
    return said.WhichOneof("type") in ORDERS


def _is_own_site(headers: Headers, host: str, *, is_socket: bool) -> bool:
    """Whether the app's own page asks, or somebody who opens it; programs that are no browser say nothing of a site."""
    origin = headers.get("origin")
    if origin is not None and not _is_at(origin, host):
        return False
    site = headers.get("sec-fetch-site", "none")
    opens_page = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") in (None, "document") and not is_socket
    return site in ("same-origin", "none") or opens_page


def _is_at(origin: str, host: str) -> bool:
    """Whether a site's origin is the host that it asks."""
    try:
        site = urlsplit(origin)
    except ValueError:
        return False
    return _with_port(site.netloc, site.scheme) == _with_port(host, site.scheme)


def _with_port(host: str, scheme: str) -> str:
    """A host with the port that it means where it names none."""
    named = re.search(r":\d+$", host)
    return (host if named else f"{host}:{DEFAULT_PORTS.get(scheme, '')}").lower()


def _name(host: str) -> str:
    """A host without its port."""
    return re.sub(r":\d+$", "", host)


def _with_headers(send: Send, asked: Headers) -> Send:
    """Says with every answer what a browser may do with it."""
    host = asked.get("host", "")
    safe = {
        "X-Content-Type-Options": "nosniff",  # a file is what it is said to be, and so never a page with scripts
        "Referrer-Policy": "same-origin",  # an address may hold what only its owner may know
        "X-Frame-Options": "SAMEORIGIN",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Content-Security-Policy": policy(host if HOST.fullmatch(host) else ""),
    }

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in safe.items():
                headers.setdefault(name, value)
        await send(message)

    return sent


def _inline_scripts() -> tuple[str, ...]:
    """The scripts that stand in Streamlit's own page, by their hashes: no others run."""
    found = re.findall(r"<script>(.*?)</script>", INDEX.read_text(encoding="utf-8"), re.DOTALL)
    return tuple(f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in found)


INLINE = _inline_scripts()


def policy(host: str) -> str:
    """What a page of the app may load and reach: only the app.

    Streamlit writes styles into its pages and mounts components from blobs; Plotly compiles code.
    """
    return "; ".join(
        [
            "default-src 'self'",
            " ".join(["script-src 'self' 'unsafe-eval' blob:", *INLINE]),
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "media-src 'self' data: blob:",
            "font-src 'self' data:",
            f"connect-src 'self' data: blob: ws://{host} wss://{host}",
            "worker-src 'self' blob:",
            "frame-src 'self'",
            "object-src 'none'",
            "base-uri 'self'",
            "form-action 'self'",
            "frame-ancestors 'self'",
        ]
    )
