"""What a process said before it was killed, and whether it holds afterwards."""

import hashlib
import os
from pathlib import Path

from tests.test_library import assert_consistent
from trajectory.library import Library


class Promises:
    """What was said to be kept, and not given up since."""

    def __init__(self) -> None:
        self.songs: set[str] = set()
        self.runs: dict[str, str] = {}  # their song
        self.files: dict[str, str] = {}
        self.heard = 0

    def hear(self, line: str) -> None:
        word, *about = line.split()
        self.heard += 1
        if word == "song":
            self.songs.add(about[0])
        elif word == "run":
            self.runs[about[0]] = about[1]
        elif word == "file":
            self.files[about[0]] = about[1]
        elif word == "gone":
            self.songs.discard(about[0])
            for kept in (self.runs, self.files):
                for name in [name for name, song in kept.items() if about[0] in (name, song)]:
                    del kept[name]

    def hold(self, root: Path) -> None:
        """The library opens as the app opens it; what was said is there, whole, and nothing else is."""
        shelf = Library(root)
        shelf.purge()
        assert not list((root / "temporary").iterdir()), "unfinished files are left"
        songs = {song.id: song for song in shelf.songs()}
        assert self.songs <= songs.keys(), f"songs are lost: {self.songs - songs.keys()}"
        for name, song in self.runs.items():
            assert len(shelf.run(name).trajectory.points), f"run {name} of {song} is lost"
        for name, song in self.files.items():
            data = shelf.kept(song, name)
            assert data is not None, f"{name} of {song} is lost"
            assert hashlib.sha256(data).hexdigest()[:12] in name, f"{name} of {song} is not what was kept"
        for song in songs.values():
            folder = root / "songs" / song.id
            runs = sum(run.bytes for run in shelf.runs_of(song.id))
            size = sum(file.stat().st_size for part in (folder, folder / "kept") for file in part.glob("*") if file.is_file())
            assert song.bytes - runs == size, f"the catalogue says {song.bytes - runs} bytes of {song.id}, the disk {size}"
        assert_consistent(root)


def older_files(folder: Path, moment: float) -> list[str]:
    """What lies in a folder for temporary files since before a moment."""
    found = []
    for place, _, names in os.walk(folder):
        found += [str(Path(place) / name) for name in names if (Path(place) / name).lstat().st_mtime < moment]
    return found
