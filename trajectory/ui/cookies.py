"""The visitor's cookie: no script can read it, no other site can send it along, and only this app can make one."""

from collections.abc import Mapping
from typing import Protocol

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "trajectory_visitor"
BEHIND_TLS = f"__Host-{COOKIE}"  # which browsers take from this very host and over TLS alone
KEPT_SECONDS = 400 * 86_400  # the longest that browsers keep one; every visit begins it anew


class Register(Protocol):
    """Who gives out what a cookie holds, and knows it again."""

    def issue(self, value: str) -> str:
        """What the cookie is to hold from now on, for a visitor who sent this."""


def values_of(cookies: Mapping[str, str]) -> list[str]:
    """What a visitor's cookies say, the one behind TLS first."""
    return [cookies[name] for name in (BEHIND_TLS, COOKIE) if name in cookies]


class Cookies:
    """Gives the cookie with every page that a browser opens, and with nothing else; no cache may keep such an answer."""

    def __init__(self, app: ASGIApp, *, register: Register | None) -> None:
        self.app, self.register = app, register  # None where visitors are not told apart

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.register is None or scope["type"] != "http" or not _opens_page(HTTPConnection(scope), scope["method"]):
            await self.app(scope, receive, send)
            return
        register, request = self.register, HTTPConnection(scope)

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.append("Set-Cookie", _cookie(request, register))
                headers["Cache-Control"] = "private, no-store"
                headers.add_vary_header("Cookie")
            await send(message)

        await self.app(scope, receive, sent)


def _opens_page(request: HTTPConnection, method: str) -> bool:
    """Whether a browser goes to a page; one that says nothing of it asks for HTML, as no script's, picture's or sound's request does."""
    mode = request.headers.get("sec-fetch-mode")
    return method == "GET" and (mode == "navigate" if mode else "text/html" in request.headers.get("accept", ""))


def _cookie(request: HTTPConnection, register: Register) -> str:
    """The visitor's own once more, or a new one."""
    value = register.issue(next(iter(values_of(request.cookies)), ""))
    by_proxy = request.headers.get("x-forwarded-proto", "").split(",")[0].strip()  # who lies here loses only their own cookie
    by_tls = "https" in (request.scope.get("scheme"), by_proxy)
    name, secure = (BEHIND_TLS, "; Secure") if by_tls else (COOKIE, "")
    return f"{name}={value}; Path=/; Max-Age={KEPT_SECONDS}; HttpOnly; SameSite=Lax{secure}"
