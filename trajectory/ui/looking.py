"""Parts of a page that look again by themselves, and the care that what a run has drawn reaches the browser.

Where a look arrives just as a run ends, Streamlit begins anew and drops what the server has not taken of that run yet. Under load this
is much, and the word that a part is to look again may be in it: such a page would wait for ever. So a run ends only when all is taken.
"""

import asyncio
import functools
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import ParamSpec

import streamlit as st

TAKEN_SECONDS = 2.0  # that a run waits for a server that is busy

P = ParamSpec("P")
_servers: list[asyncio.AbstractEventLoop] = []


def serve(loop: asyncio.AbstractEventLoop) -> None:
    """What runs draw is taken by this loop from now on."""
    _servers[:] = [loop]


def hand_over() -> None:
    """Waits until the server has taken what this run has drawn."""
    taken = threading.Event()
    for loop in _servers:
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(taken.set)  # after all that was handed to it before
            taken.wait(TAKEN_SECONDS)


def fragment(function: Callable[P, None], seconds: float | None) -> Callable[P, None]:
    """A part of the page that is drawn anew by itself every so many seconds; with None, only where somebody touches it."""

    @functools.wraps(function)
    def look(*arguments: P.args, **options: P.kwargs) -> None:
        try:
            function(*arguments, **options)
        finally:
            hand_over()

    drawn: Callable[P, None] = st.fragment(look, run_every=seconds)
    return drawn
