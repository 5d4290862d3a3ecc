"""Settings, addresses and command lines: whole ones, and the doors that read them."""

import contextlib
import io
import json
import shlex
import urllib.parse
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from tests.fuzz.records import whole_run
from tests.fuzz.sounds import a_library
from trajectory import bundles, runs
from trajectory.settings import SectionSettings, Settings, preset


def settings_files() -> list[bytes]:
    kinds = [preset(name) for name in ("pure", "published", "variational")]
    kinds.append(preset("conditioned", section=SectionSettings(start=1.5, stop=9)))
    return [json.dumps(kind.to_dict()).encode() for kind in kinds]


def read_settings(data: bytes, _: Path) -> None:
    try:
        values = json.loads(data)
    except (ValueError, RecursionError):
        return
    settings = Settings.from_dict(values)
    assert Settings.from_dict(json.loads(json.dumps(settings.to_dict(), allow_nan=False))) == settings
    assert len(settings.fingerprint()) == 16
    bundles.command(runs.Run(**{**vars(whole_run()), "settings": settings}))


def addresses() -> list[bytes]:
    run, song = "0123456789abcdef", "fedcba9876543210"
    return [
        f"song={song}&run={run}&t=12.50&loop=1.00,4.00&camera=1,2,3,0,0,0,0,0,1&part=0,30&against={run}&from=3.5".encode(),
        f"run={run}&t=0&hue=time".encode(),
        b"song=%3Cscript%3E&t=nan&loop=4,1&camera=1e9,,&part=-1,inf",
    ]


def visit(data: bytes, folder: Path) -> None:
    """What every page asks of its address before it does anything."""
    from trajectory.ui import place

    pairs = urllib.parse.parse_qsl(data.decode("utf-8", "surrogateescape"), keep_blank_values=True, max_num_fields=None)
    page = SimpleNamespace(query_params=dict(pairs), session_state={}, warning=lambda *_, **__: None)
    before = place.st, place.library
    place.st, place.library = page, lambda: a_library(folder.parent)  # type: ignore[assignment]
    try:
        view = place.view()
        assert abs(view.time) < 1e6
        assert view.loop is None or 0 <= view.loop[0] < view.loop[1] < 1e6
        assert view.camera is None or all(np.isfinite(value) for axis in view.camera.values() for value in axis.values())
        part, number = place.part(), place.number("from")
        assert part is None or 0 <= part[0] < part[1] < 1e6
        assert number is None or abs(number) < 1e6
        assert place.song() is None
        place.plain(page.query_params.get("song", ""))
    finally:
        place.st, place.library = before  # type: ignore[assignment]


def command_lines() -> list[bytes]:
    return [
        b"embed no.wav --preset smooth --window 0.5 --dims 3 --from 0:10 --to 20 --steps 10 --horizons 1,2 --alpha 0.1 --rate 0.01",
        b"forecast 0123456789abcdef --methods knn,mean --at 1:30 90 --steps 20 --seed 1",
        b"video 0123456789abcdef --out film.mp4 --size 640x480 --fps 30 --camera 1,2,3,0,0,0,0,0,1 --from 1 --to 0:02",
        b"divergence 0123456789abcdef --out table --methods knn --steps 29",
        b"info no.wav --json",
        b"import no.zip",
    ]


def command(data: bytes, _: Path) -> None:
    """Songs and runs that are not there: only the words are looked at. argparse says its own sentence and leaves with 2."""
    from trajectory.__main__ import main

    with contextlib.suppress(ValueError):
        words = [word.replace("/", "_") for word in shlex.split(data.decode("utf-8", "surrogateescape"))]
        if any(word in ("index", "similar") for word in words[:1]):  # they read whole folders
            return
        said = io.StringIO()
        try:
            with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
                code = main(words)
        except SystemExit as leaving:
            code = int(leaving.code or 0)
        assert code in (0, 2), said.getvalue()
