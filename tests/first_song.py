"""`python -m tests.first_song ADDRESS`: a visitor drops a song and waits until the app has made a run of it."""

import asyncio
import sys
import time
from urllib.parse import parse_qs

from tests.songs import ROOT
from tests.visitor import Visitor

SONG = ROOT / "tests/truth/tiled_128bpm.ogg"


async def visit(address: str) -> str:
    """The id of the run."""
    async with Visitor.at(address) as visitor:
        await visitor.goto("")
        await visitor.drop(SONG.name, SONG.read_bytes(), on="Drop a song")
        await visitor.until(lambda: visitor.says("Explore it") or visitor.has("button", "Try again"))
        if not visitor.says("Explore it"):
            sys.exit(f"no run came of the song; the page says {visitor.words()}")
        return parse_qs(visitor.query)["run"][0]


if __name__ == "__main__":
    began = time.monotonic()
    run = asyncio.run(visit(sys.argv[1]))
    print(f"run {run} after {time.monotonic() - began:.1f} s")
