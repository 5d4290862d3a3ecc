"""By what a visitor is known again: a cookie that no script can read, that no other site can send along and that nobody can guess."""

import re
import secrets
from collections.abc import Mapping

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "trajectory_visitor"
SECRET = re.compile(r"[A-Za-z0-9_-]{43}")  # 32 random bytes
KEPT_SECONDS = 400 * 86_400  # the longest that browsers keep one; every visit begins it anew
SAFE = {
    "X-Content-Type-Options": "nosniff",  # a file is what it is said to be, and so never a page with scripts
    "Referrer-Policy": "same-origin",  # an address may hold what only its owner may know
}


def secret_of(cookies: Mapping[str, str]) -> str | None:
    """Who sends these cookies; None for who was given none yet, or takes none."""
    found = cookies.get(COOKIE, "")
    return found if SECRET.fullmatch(found) else None


class Cookies:
    """Gives the cookie with every page that a browser opens, and headers that keep browsers from guessing with every answer."""

    def __init__(self, app: ASGIApp, *, known: bool) -> None:
        self.app, self.known = app, known  # whether visitors are told apart

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = HTTPConnection(scope)
        is_page = "text/html" in request.headers.get("accept", "")  # as of no script's, picture's or sound's request

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SAFE.items():
                    headers.setdefault(name, value)
                if self.known and is_page:
                    headers.append("Set-Cookie", _cookie(request))
            await send(message)

        await self.app(scope, receive, sent)


def _cookie(request: HTTPConnection) -> str:
    """The visitor's own once more, or a new one."""
    secret = secret_of(request.cookies) or secrets.token_urlsafe(32)
    by_proxy = request.headers.get("x-forwarded-proto", "").split(",")[0].strip()  # who lies here loses only their own cookie
    secure = "; Secure" if "https" in (request.scope.get("scheme"), by_proxy) else ""
    return f"{COOKIE}={secret}; Path=/; Max-Age={KEPT_SECONDS}; HttpOnly; SameSite=Lax{secure}"
