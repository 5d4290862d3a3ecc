"""Where on this machine the file lies that a run was made from.

Known by the run's own points, and kept with the library and apart from the run: no folder, bundle or page that leaves the machine tells it.
"""

import hashlib
import json
from pathlib import Path

from trajectory.errors import TrajectoryError
from trajectory.library import home
from trajectory.runs import Run

FOLDER = "sources"  # of the library's place


class SourceError(TrajectoryError):
    """A song's file that is not known, or not what it was."""


def remember(run: Run, song: Path) -> None:
    """Notes where the song's file lies, and what it holds; a machine that takes no note loses no run by it."""
    try:
        place = _place(run)
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        place.write_text(json.dumps({"path": str(song.resolve()), "sha256": _digest(song)}), encoding="utf-8")
    except (OSError, TrajectoryError):  # `find` says that it is not known
        return


def find(run: Run) -> Path:
    """The file that the run was made from, if it is there and the same."""
    try:
        noted = json.loads(_place(run).read_text(encoding="utf-8"))
        song, digest = Path(noted["path"]), str(noted["sha256"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise SourceError(f"it is not known where {run.song.name} lies, from which this run was made") from error
    try:
        is_same = song.is_file() and _digest(song) == digest
    except OSError as error:
        raise SourceError(f"{song}, from which this run was made, cannot be read ({error.strerror})") from error
    if not is_same:
        raise SourceError(f"{song}, from which this run was made, is no longer there or has changed")
    return song


def _place(run: Run) -> Path:
    return home() / FOLDER / f"{hashlib.sha256(run.trajectory.points.tobytes()).hexdigest()[:32]}.json"


def _digest(song: Path) -> str:
    with song.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
