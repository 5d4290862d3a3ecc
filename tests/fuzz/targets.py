"""What is fuzzed: each target has whole inputs to start from, a way to damage them, and a door that they are put through.

A door takes bytes and an empty folder. It may raise nothing but a TrajectoryError; what it asserts must hold of all that it lets in.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.fuzz import changes, models, records, sounds, words

Seeds = Callable[[], list[bytes]]
Change = Callable[[bytes, Random, Sequence[bytes]], bytes]
Door = Callable[[bytes, Path], None]


@dataclass(frozen=True, kw_only=True)
class Target:
    """One way in."""

    name: str
    seeds: Seeds
    change: Change
    door: Door
    share: float = 1.0  # of all cases
    heavy: bool = False  # loads torch

    def case(self, number: int) -> bytes:
        """The same number gives the same bytes."""
        random = Random(f"{self.name} {number}")  # noqa: S311 - nothing secret
        seeds = self.kept_seeds
        return self.change(random.choice(seeds), random, seeds)

    @functools.cached_property
    def kept_seeds(self) -> list[bytes]:
        return self.seeds()


TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        Target(name="sound", seeds=sounds.sounds, change=changes.of_bytes, door=sounds.decode, share=3),
        Target(name="tags", seeds=sounds.tagged_sounds, change=sounds.of_tags, door=sounds.keep),
        Target(name="bundle", seeds=records.bundle_files, change=records.of_bundle, door=records.take_back, share=2),
        Target(name="run", seeds=records.run_folder, change=records.of_folder, door=records.open_run),
        Target(name="kept", seeds=records.kept_files, change=changes.of_zip, door=records.read_kept),
        Target(name="vectors", seeds=records.vector_files, change=changes.of_zip, door=records.read_vectors),
        Target(name="index", seeds=records.indexes, change=changes.of_zip, door=records.open_index),
        Target(name="settings", seeds=words.settings_files, change=changes.of_json, door=words.read_settings),
        Target(name="address", seeds=words.addresses, change=changes.of_bytes, door=words.visit),
        Target(name="command", seeds=words.command_lines, change=changes.of_bytes, door=words.command, share=0.5),
        Target(name="logmel", seeds=models.logmel_folder, change=records.of_folder, door=models.open_logmel, share=0.5, heavy=True),
        Target(name="speech", seeds=models.speech_folder, change=records.of_folder, door=models.open_speech, share=0.1, heavy=True),
    )
}
