"""A visitor as the server sees one: a websocket, and over it what a browser would send. For measurements, and for tests of faults."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Self
from urllib.parse import urlencode

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Element_pb2 import Element
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

LARGEST = 1 << 30  # bytes of a message
PATIENCE = 120.0  # seconds
FORGOTTEN_SECONDS = 5.0  # of silence, after which a page that was asked for is asked for again
WORDS = ("body", "label", "text")  # where an element says something


class Visitor:
    """One session, with what its page shows now."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.requests = 0  # websocket messages and HTTP requests that it sent
        self.asked_again = 0  # times that a page did not come
        self._http = AsyncHTTPClient(force_instance=True)
        self._shown: dict[tuple[int, ...], tuple[Element, str, str]] = {}  # by place: the element, its fragment, and the run that wrote it
        self._chosen: dict[str, WidgetState] = {}
        self._again: dict[str, asyncio.Task[None]] = {}  # fragments that look again by themselves
        self._addresses: asyncio.Queue[Any] = asyncio.Queue()  # for files on their way to the server
        self._ended = 0  # runs of a whole page
        self._heard = 0.0  # when the server said something last
        self._name: str | None = None  # of the page that is being written
        self._moved_to: str | None = None  # of the one that was written last
        self._session = self._run = self._page = self.query = self.cookie = self._token = ""
        self._moved = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def at(cls, address: str) -> AsyncIterator[Self]:
        """A session, open for so long; its page comes with the first `goto`."""
        visitor = cls(address)
        cookies: dict[str, str] = {}
        for path, kinds in (
            ("/", "text/html"),
            ("/_stcore/health", "*/*"),
        ):  # the page says who one is, the other that it is the page who asks
            answer = await visitor._http.fetch(f"{address}{path}", headers={"Accept": kinds})
            cookies |= dict(said.split(";")[0].split("=", 1) for said in answer.headers.get_list("Set-Cookie"))
        visitor.cookie = "; ".join(f"{name}={value}" for name, value in cookies.items())
        visitor._token = cookies.get("_streamlit_xsrf", "")
        where = HTTPRequest(f"{address.replace('http', 'ws', 1)}/_stcore/stream", headers={"Cookie": visitor.cookie, "Origin": address})
        visitor._socket: WebSocketClientConnection = await websocket_connect(where, max_message_size=LARGEST)
        visitor._reading = asyncio.create_task(visitor._read())
        try:
            yield visitor
        finally:
            visitor._stop_looking()
            visitor._socket.close()
            visitor._http.close()
            await asyncio.gather(visitor._reading, return_exceptions=True)

    async def goto(self, page: str, **query: str) -> float:
        """Opens a page, as by its address; gives the seconds until it was whole."""
        self.query = urlencode(query) if query else self.query
        self._stop_looking()
        self._shown, self._chosen = {}, {}
        began, before = time.perf_counter(), self._ended
        await self._rerun(page_name=page)
        while time.perf_counter() < began + PATIENCE:
            try:
                await self.until(lambda: self._ended > before and self._moved_to == page, FORGOTTEN_SECONDS)
            except TimeoutError:
                if time.perf_counter() > self._heard + FORGOTTEN_SECONDS:  # where a page that refreshes itself is left, Streamlit may
                    self.asked_again += 1  # take its refreshing for the newer wish: whoever is left standing clicks again
                    await self._rerun(page_name=page)
            else:
                return time.perf_counter() - began
        raise AssertionError(f"the page {page!r} never came; this one says {self.words()}")

    async def click(self, label: str) -> float:
        """Presses the first button that is called so."""
        name = self._widget("button", label)
        return await self._whole(trigger=WidgetState(id=name, trigger_value=True))

    async def choose(self, label: str, value: str) -> float:
        """Takes an option of a select box."""
        name = self._widget("selectbox", label)
        self._chosen[name] = WidgetState(id=name, string_value=value)
        return await self._whole()

    async def drop(self, name: str, data: bytes, *, on: str) -> float:
        """Drops a file on the place whose label begins so."""
        widget = self._widget("file_uploader", on)
        place = await self.place_for(name)
        await self._ask(self.upload(place, name, data))
        state = WidgetState(id=widget)
        state.file_uploader_state_value.uploaded_file_info.add(name=name, size=len(data), file_id=place.file_id, file_urls=place)
        self._chosen[widget] = state
        return await self._whole()

    async def place_for(self, name: str) -> Any:
        """Where a file of this session may be sent."""
        asked = BackMsg()
        asked.file_urls_request.request_id, asked.file_urls_request.session_id = secrets.token_hex(8), self._session
        asked.file_urls_request.file_names.append(name)
        await self._send(asked)
        return await asyncio.wait_for(self._addresses.get(), PATIENCE)

    def upload(self, place: Any, name: str, data: bytes) -> HTTPRequest:
        """The request that sends a file there."""
        edge = secrets.token_hex(16)
        head = f'--{edge}\r\nContent-Disposition: form-data; name="{name}"; filename="{name}"\r\nContent-Type: audio/wav\r\n\r\n'
        headers = {"Content-Type": f"multipart/form-data; boundary={edge}", "Cookie": self.cookie, "X-Xsrftoken": self._token}
        body = head.encode() + data + f"\r\n--{edge}--\r\n".encode()
        return HTTPRequest(self.address + place.upload_url, "PUT", headers=headers, body=body)

    async def fetch(self, path: str) -> bytes:
        """Something that the page names, as a song's sound or a file that was made."""
        return (await self._ask(HTTPRequest(f"{self.address}{path}", headers={"Cookie": self.cookie}))).body

    async def until(self, condition: Callable[[], object], seconds: float = PATIENCE) -> float:
        """Waits as the page changes by itself; gives the seconds."""
        began = time.perf_counter()
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    if self._reading.done():
                        raise ConnectionError("the app is gone")
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError as error:
            raise TimeoutError(f"it did not come about within {seconds:g} s; the page says {self.words()}") from error
        return time.perf_counter() - began

    def words(self) -> list[str]:
        """What the page says, from its top to its end; of a widget, its label."""
        found = []
        for element in self._elements():
            inner = getattr(element, element.WhichOneof("type") or "", None)
            found += [text for name in WORDS if isinstance(text := getattr(inner, name, None), str) and text]
        return found

    def says(self, words: str) -> bool:
        return any(words in text for text in self.words())

    def has(self, kind: str, label: str) -> bool:
        """Whether the page has such a widget."""
        return any(element.WhichOneof("type") == kind and getattr(element, kind).label.startswith(label) for element in self._elements())

    def kinds(self) -> list[str]:
        """What kinds of element the page has."""
        return [element.WhichOneof("type") or "" for element in self._elements()]

    def downloads(self) -> list[str]:
        """Where the files lie that the page offers."""
        return [element.download_button.url for element in self._elements() if element.WhichOneof("type") == "download_button"]

    def _elements(self) -> list[Element]:
        return [element for _, (element, _, _) in sorted(self._shown.items())]

    def _widget(self, kind: str, label: str) -> str:
        for element in self._elements():
            if element.WhichOneof("type") == kind and getattr(element, kind).label.startswith(label):
                return str(getattr(element, kind).id)
        raise AssertionError(f"there is no {kind} {label!r}; the page says {self.words()}")

    async def _whole(self, *, trigger: WidgetState | None = None) -> float:
        """Asks for the whole page and waits for its end."""
        began, before = time.perf_counter(), self._ended
        await self._rerun(trigger=trigger)
        await self.until(lambda: self._ended > before)
        return time.perf_counter() - began

    async def _rerun(self, *, page_name: str | None = None, trigger: WidgetState | None = None, fragment: str = "") -> None:
        asked = BackMsg()
        asked.rerun_script.query_string = self.query
        if page_name is None:
            asked.rerun_script.page_script_hash = self._page
        else:
            asked.rerun_script.page_name = page_name
        asked.rerun_script.fragment_id, asked.rerun_script.is_auto_rerun = fragment, bool(fragment)
        asked.rerun_script.widget_states.widgets.extend([*self._chosen.values(), *([trigger] if trigger else [])])
        await self._send(asked)

    async def _send(self, asked: BackMsg) -> None:
        self.requests += 1
        await self._socket.write_message(asked.SerializeToString(), binary=True)

    async def _ask(self, request: HTTPRequest) -> Any:
        self.requests += 1
        request.request_timeout = PATIENCE
        return await self._http.fetch(request)

    async def _read(self) -> None:
        try:
            while (answer := await self._socket.read_message()) is not None:
                if isinstance(answer, bytes):
                    self._heard = time.perf_counter()
                    self._take(ForwardMsg.FromString(answer))
                    self._moved.set()
        finally:
            asyncio.get_running_loop().call_soon(self._moved.set)

    def _take(self, told: ForwardMsg) -> None:
        kind, run = told.WhichOneof("type"), told.metadata.run
        if kind == "delta" and told.delta.HasField("new_element"):
            self._shown[tuple(told.metadata.delta_path)] = told.delta.new_element, told.delta.fragment_id, self._run
        elif kind == "new_session":
            self._run = run.script_run_id
            self._session = told.new_session.initialize.session_id or self._session
            if not run.fragment_ids:
                self._stop_looking()
        elif kind == "navigation":
            self._page = told.navigation.page_script_hash
            pages = {page.page_script_hash: "" if page.is_default else page.url_pathname for page in told.navigation.app_pages}
            self._name = pages.get(self._page)
        elif kind == "page_info_changed":
            self.query = told.page_info_changed.query_string
        elif kind == "auto_rerun":
            self._look_again(told.auto_rerun.fragment_id, told.auto_rerun.interval)
        elif kind == "file_urls_response":
            for each in told.file_urls_response.file_urls:
                self._addresses.put_nowait(each)
        elif kind == "script_finished" and told.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN:
            self._finish(set(run.fragment_ids))

    def _finish(self, fragments: set[str]) -> None:
        """A run takes away what it did not write again; that of a fragment, of its own."""
        self._shown = {
            place: shown for place, shown in self._shown.items() if shown[2] == self._run or (fragments and shown[1] not in fragments)
        }
        if not fragments:
            self._ended += 1
            self._moved_to = self._name

    def _look_again(self, fragment: str, seconds: float) -> None:
        async def looking() -> None:
            while not self._reading.done():
                await asyncio.sleep(seconds)
                await self._rerun(fragment=fragment)

        if fragment in self._again:
            self._again[fragment].cancel()
        self._again[fragment] = asyncio.create_task(looking())

    def _stop_looking(self) -> None:
        for task in self._again.values():
            task.cancel()
        self._again.clear()
