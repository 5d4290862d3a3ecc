"""A visit from the upload of a song to its export, and what the visitor was told was kept."""

import asyncio
from collections.abc import Callable
from urllib.parse import parse_qs

from tests.faults.promises import Promises
from tests.visitor import Visitor

STEPS = ("training", "upload", "numbers", "poster", "delete")
LOOK_SECONDS = 0.5
FAILED = ("start it again", "try again in a moment", "ended again and again", "something went wrong")


async def visit(address: str, sound: bytes, promises: Promises, reaches: Callable[[str], None], *, delete: bool) -> None:
    """Uploads, trains, exports and, if so wished, deletes, and says which of STEPS it begins.

    What fails in between is tried again, as a visitor would.
    """
    async with Visitor.at(address) as visitor:
        await visitor.goto("")
        reaches("upload")
        await visitor.drop("song.wav", sound, on="Drop a song")
        song = parse_qs(visitor.query)["song"][0]
        promises.hear(f"song {song}")
        reaches("training")
        await _insist(visitor, lambda: visitor.says("Explore it") and "progress" not in visitor.kinds())
        promises.hear(f"run {parse_qs(visitor.query)['run'][0]} {song}")
        await visitor.goto("export")
        reaches("numbers")
        await visitor.click("Numbers for Python")
        assert len(await visitor.fetch(visitor.downloads()[-1])) > 1_000
        reaches("poster")
        await visitor.choose("What", "Poster (PNG)")
        await visitor.click("Make it")
        await _insist(visitor, lambda: visitor.says("It is made"), again="Make it")
        await visitor.goto("library")
        reaches("delete")
        if delete:
            promises.hear(f"gone {song}")
            await visitor.click("Delete the song and its runs")


async def _insist(visitor: Visitor, done: Callable[[], bool], *, again: str = "Try again") -> None:
    """Waits; presses the button again where something failed meanwhile."""
    for _ in range(20):
        await visitor.until(lambda: done() or (visitor.has("button", again) and any(visitor.says(words) for words in FAILED)))
        if done():
            return
        await asyncio.sleep(LOOK_SECONDS)
        await visitor.click(again)
    raise AssertionError(f"it failed again and again; the page says {visitor.words()}")
