"""How fast films are made, against the loop of 2021, and how much memory they take."""

import dataclasses
import math
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.forecasts import Row, verdict
from trajectory import audio, colouring, figures, pipeline, video
from trajectory.features import Features, features
from trajectory.settings import FILM_SIZES, SectionSettings, preset
from trajectory.spectrogram import spectrogram

SONG = Path(__file__).parents[2] / "assets/songs/03_rock_drums_sample.ogg"
SECTION = SectionSettings(start=0, stop=30)
FPS, SECONDS = 30, 30
EVERY = 30  # frames of the published loop of which one is measured, evenly over the song: its cost grows with the past
MEGABYTES = 1000  # that a film may take


def speed(_pool: ProcessPoolExecutor) -> tuple[list[Row], Any]:
    """30 s at 1080p30 with sound: fine and draft, each between two measurements of the published loop."""
    shot, heard = filmed()
    rows: list[Row] = []
    kept: dict[str, Any] = {}
    for quality, factor in (("fine", 6), ("draft", 9)):
        before = published_loop(shot)
        ours = film_seconds(shot, heard, video.FilmSettings(quality=quality, stop=SECONDS))
        theirs = (before + published_loop(shot)) / 2
        words = f"{theirs / ours:.1f}x ({theirs:.1f} s without encoding : {ours:.1f} s)"
        rows.append((f"30 s at 1080p30 with sound, {quality}, against 2021", f">= {factor}x", words, verdict(theirs >= factor * ours)))
        kept[quality] = {"published_seconds": theirs, "our_seconds": ours}
    kept["nvenc"] = video.films.has_nvenc()
    return rows, kept


def sizes(_pool: ProcessPoolExecutor) -> tuple[list[Row], Any]:
    """Every size, 60 frames a second and two paths, 10 s each in a process of its own: frames a second and memory."""
    rows: list[Row] = []
    kept: dict[str, Any] = {}
    jobs = [(name, {"width": width, "height": height}, 1) for name, (width, height) in FILM_SIZES.items()]
    jobs += [("1080p at 60", {"fps": 60}, 1), ("1080p, two paths", {"strip": "waveform"}, 2)]
    for name, changes, paths in jobs:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
            seconds, megabytes = alone.submit(film_memory, changes, paths).result()
        rate = 10 * changes.get("fps", FPS) / seconds
        rows.append(
            (
                f"{name}: memory with its encoder",
                f"< {MEGABYTES} MB",
                f"{megabytes:.0f} MB, {rate:.0f} frames/s",
                verdict(megabytes < MEGABYTES),
            )
        )
        kept[name] = {"seconds": seconds, "megabytes": megabytes}
    return rows, kept


def lengths(_pool: ProcessPoolExecutor) -> tuple[list[Row], Any]:
    """Five minutes of song against thirty seconds: the cost of a frame, in draft at 720p."""
    shot, _ = filmed()
    settings = video.FilmSettings(width=1280, height=720, quality="draft")
    short = film_seconds(shot, None, dataclasses.replace(settings, stop=SECONDS)) / (SECONDS * FPS)
    long = film_seconds(repeated(shot, 10), None, settings) / (10 * SECONDS * FPS)
    ratio = long / short
    return [("a frame of 5 min against one of 30 s", "-", f"{ratio:.2f}x ({1000 * long:.1f} ms : {1000 * short:.1f} ms)", "-")], {
        "ratio": ratio
    }


def filmed() -> tuple[video.Shot, Features]:
    """A run on a clip, as its film shows it."""
    settings = preset("conditioned", section=SECTION)
    run = pipeline.fit(SONG, settings)
    recording = audio.load(SONG, section=SECTION)
    rgb = colouring.colour(run.trajectory, "time").rgb()
    shot = video.Shot(points=figures.shown(run.trajectory.points, run.trajectory), times=run.trajectory.times, rgb=rgb)
    return shot, features(recording, spectrogram(recording, settings.spectrogram))


def repeated(shot: video.Shot, count: int) -> video.Shot:
    """A path of as many points as a longer song has: the same one, a little elsewhere each time."""
    reach = float(np.ptp(shot.points, axis=0).max())
    moved = [shot.points + np.float32(0.05 * reach * np.array([math.cos(i), math.sin(i), 0])) for i in range(count)]
    times = np.concatenate([shot.times + SECONDS * i for i in range(count)])
    return video.Shot(points=np.concatenate(moved), times=times, rgb=np.tile(shot.rgb, (count, 1)))


def film_seconds(shot: video.Shot, heard: Features | None, settings: video.FilmSettings, *, paths: int = 1, report: Any = None) -> float:
    settings = dataclasses.replace(settings, title="A song", artist="its artist")
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        sound = SONG if heard else None
        video.film([shot] * paths, sound=sound, settings=settings, out=Path(folder) / "film.mp4", features=heard, report=report)
        return time.perf_counter() - began


def film_memory(changes: dict[str, Any], paths: int) -> tuple[float, float]:
    """For a process of its own: seconds, and the most memory of it and of its encoder together, in MB."""
    times = np.linspace(0.25, 29.75, 1270)
    points = np.stack([np.sin(3 * times), np.cos(5 * times), np.sin(times)], axis=1).astype(np.float32)
    shot = video.Shot(points=points, times=times, rgb=np.full_like(points, 0.6))
    recording = audio.load(SONG, section=SECTION)
    heard = features(recording, spectrogram(recording, preset("conditioned").spectrogram))
    most = 0.0

    def look(progress: video.FilmProgress) -> None:
        nonlocal most
        if progress.frame > 10:  # a process that was only just split off counts all of its parent's memory
            most = max(most, sum(resident(pid) for pid in (os.getpid(), *children())))

    seconds = film_seconds(shot, heard, video.FilmSettings(stop=10.0, **changes), paths=paths, report=look)
    return seconds, most


def children() -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()]


def resident(pid: int) -> float:
    """MB in memory now."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6


def published_loop(shot: video.Shot) -> float:
    """The loop of 2021 at the same size: for each frame the whole past drawn anew with plot3D and saved as a PNG; nothing is encoded."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure = pyplot.figure(figsize=(19.2, 10.8), dpi=100)
    axes = figure.add_subplot(projection="3d")
    numbers = range(EVERY // 2, FPS * SECONDS, EVERY)
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        for number in numbers:
            past = shot.points[: np.searchsorted(shot.times, number / FPS) + 1]
            axes.clear()
            axes.plot3D(*past.T)
            axes.view_init(30, number / 4)
            figure.savefig(Path(folder) / f"{number}.png")
        seconds = time.perf_counter() - began
    pyplot.close(figure)
    return seconds * FPS * SECONDS / len(numbers)
