"""What a run has drawn is taken by the server before the run ends."""

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest

from trajectory.ui import looking


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that takes what runs draw, in a thread of its own."""
    loop = asyncio.new_event_loop()
    monkeypatch.setattr(looking, "_servers", [])
    looking.serve(loop)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_a_run_ends_only_when_a_busy_server_has_taken_all(server: asyncio.AbstractEventLoop) -> None:
    taken = []
    for number in range(3):
        server.call_soon_threadsafe(lambda number=number: (time.sleep(0.05), taken.append(number)))
    looking.hand_over()
    assert taken == [0, 1, 2]


def test_a_look_ends_so_too_even_where_it_begins_the_page_anew(server: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamlit.fragment", lambda function, **_: function)
    taken = []

    def look(word: str) -> None:
        server.call_soon_threadsafe(lambda: (time.sleep(0.05), taken.append(word)))
        raise KeyError(word)

    with pytest.raises(KeyError):
        looking.fragment(look, 0.3)("drawn")
    assert taken == ["drawn"]


def test_where_no_server_listens_nothing_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading.Event, "wait", lambda *_: pytest.fail("it is waited for"))
    monkeypatch.setattr(looking, "_servers", [])
    looking.hand_over()
    gone = asyncio.new_event_loop()
    gone.close()
    looking.serve(gone)
    looking.hand_over()
