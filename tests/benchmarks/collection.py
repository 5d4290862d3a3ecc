"""How many songs a minute are taken into a library's index, and what a cluster would need."""

import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from tests.benchmarks.forecasts import Row
from tests.benchmarks.music import CLIPS
from trajectory import indexing
from trajectory.jobs import Jobs
from trajectory.library import Library
from trajectory.workers import Weights

COPIES = 4  # of each clip, each with its own sound
CLUSTER, SONGS = 100, 1_000_000  # workers and songs of 4 minutes, on paper
LONG = 240.0  # seconds


def indexed(_pool: ProcessPoolExecutor) -> tuple[list[Row], Any]:
    """A folder of clips, by one worker and by two, from warm workers to the last vector."""
    rates: dict[int, float] = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "songs"
        folder.mkdir()
        seconds = _songs(folder)
        for workers in (1, 2):
            jobs = Jobs.start(workers=workers)
            try:
                indexing.ear_of(jobs, Weights(encoder="musicnn"))
                _warm(jobs, Path(place) / f"warm {workers}", folder)
                tally = indexing.index(Library(Path(place) / str(workers)), jobs, folder, Weights(encoder="musicnn"))
            finally:
                jobs.close()
            rates[workers] = 60 * tally.heard / tally.seconds
    share = rates[1] * seconds / len(CLIPS) / COPIES / 60  # minutes of sound a minute and worker
    days = SONGS * LONG / 60 / (share * CLUSTER) / 60 / 24
    rows = [
        (f"songs of 30 s a minute, {workers} worker{'s' * (workers > 1)}", "-", f"{rate:.0f}", f"{rate / rates[1]:.2f}x")
        for workers, rate in rates.items()
    ]
    told = f"{days:.1f} days, {SONGS * 5e6 / 1e12:.0f} TB through the scheduler"
    return [*rows, (f"{SONGS:,} songs of 4 min on {CLUSTER} such workers, on paper", "-", told, "-")], rates


def _songs(folder: Path) -> float:
    """Writes the clips a few times, no two alike; the seconds of all."""
    total = 0.0
    for clip in CLIPS:
        samples, rate = soundfile.read(clip, dtype="float32")
        for copy in range(COPIES):
            soundfile.write(folder / f"{clip.stem} {copy}.ogg", np.roll(samples, copy * rate, axis=0), rate)
            total += len(samples) / rate
    return total


def _warm(jobs: Jobs, home: Path, folder: Path) -> None:
    """Every worker has the encoder before the clock runs."""
    few = home / "songs"
    few.mkdir(parents=True)
    for song in sorted(folder.iterdir())[:4]:
        (few / song.name).symlink_to(song)
    indexing.index(Library(home / "home"), jobs, few, Weights(encoder="musicnn"))
