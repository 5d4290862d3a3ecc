"""Uploads, bounded before a byte of them is read: Streamlit holds each in memory until a page takes it."""

import re
import threading
from collections import Counter
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from trajectory.ui.gate import refuse

PLACE = re.compile(r"/_stcore/upload_file/([^/]+)/[^/]+")


class UnderWay:
    """Bytes of the uploads that are being received, by whose they are."""

    def __init__(self) -> None:
        self._lock, self._bytes = threading.Lock(), Counter[str]()

    def take(self, whose: str, size: int, *, most: int, most_of_all: int) -> str | None:
        """Counts an upload in, or says what is full: "own" of the one who sends it, or "all"."""
        with self._lock:
            if self._bytes[whose] + size > most:
                return "own"
            if self._bytes.total() + size > most_of_all:
                return "all"
            self._bytes[whose] += size
            return None

    def give_back(self, whose: str, size: int) -> None:
        with self._lock:
            self._bytes[whose] -= size
            self._bytes = +self._bytes  # without those who have none under way


class Uploads:
    """Lets an upload in if there is room for all of it: `admit` counts it in and gives whose it is, or the answer that refuses it."""

    def __init__(
        self, app: ASGIApp, *, base: str, under_way: UnderWay, admit: Callable[[Request, str, int], Awaitable[str | PlainTextResponse]]
    ) -> None:
        self.app, self.base, self.under_way, self.admit = app, base, under_way, admit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        place = PLACE.fullmatch(scope["path"].removeprefix(self.base)) if scope["type"] == "http" and scope["method"] == "PUT" else None
        if place is None:
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        length = request.headers.get("content-length", "")
        if not re.fullmatch(r"[0-9]{1,12}", length):
            await refuse(PlainTextResponse("an upload says how long it is; this one does not", status_code=411), scope, receive, send)
            return
        admitted = await self.admit(request, place[1], int(length))
        if isinstance(admitted, PlainTextResponse):
            await refuse(admitted, scope, receive, send)
            return
        try:
            await self.app(scope, receive, send)
        finally:
            self.under_way.give_back(admitted, int(length))
