"""What pages ask for: found in the library at once, or made by the workers and kept there. Knows no page and draws nothing."""

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from trajectory import workers
from trajectory.catalogue import RunEntry, SongEntry
from trajectory.divergence import Divergence
from trajectory.errors import TrajectoryError
from trajectory.features import FeatureError, Features
from trajectory.library import run_id
from trajectory.queueing import ANSWER_SECONDS, Job, JobError
from trajectory.records import Floats, Forecast, Trajectory
from trajectory.runs import Run
from trajectory.settings import Hue, Likeness, SectionSettings, Settings, preset
from trajectory.similarity import Plane
from trajectory.ui.services import PLAYABLE, PLAYED, address_of, jobs, library, queue

TRAINED_BYTES = 200_000_000  # of sound that an encoder is trained on
ENCODER = "train an encoder"  # one at a time
LOG = logging.getLogger(__name__)

T = TypeVar("T")


def trouble() -> str | None:
    """Why nothing can be worked on now, if so."""
    return queue().problem


def is_new(song: SongEntry, settings: Settings) -> bool:
    """Whether no run of these settings is kept or under way."""
    return jobs().find(run_id(song.id, settings)) is None and library().find_run(song.id, settings) is None


def begin_run(song: SongEntry, settings: Settings, *, owner: str) -> RunEntry | Job:
    """The kept run of these settings, or the job that makes it."""
    key, own = run_id(song.id, settings), library()
    return _made_or_begun(
        key,
        lambda: own.find_run(song.id, settings),
        lambda: jobs().submit(
            workers.fit, _sound(song), song.name, settings, key=key, owner=owner, done=lambda run: own.add_run(song.id, run)
        ),
    )


def _made_or_begun(key: str, find: Callable[[], T | None], begin: Callable[[], Job]) -> T | Job:
    """What is kept, or the job that makes it."""
    held = jobs().find(key)
    done = held is not None and held.state == "done"
    found = find()  # after the job, which may have come to its end a moment ago
    if found is not None:
        return found
    if done:
        jobs().forget(key)  # what it made was deleted since
    return begin()


def preview(song: SongEntry, settings: Settings) -> Trajectory:
    """The first look, before anything is trained."""
    key = f"preview {run_id(song.id, settings)}"
    return jobs().answer(workers.preview, _sound(song), song.name, settings, key=key)


def begin_heard(song: SongEntry, section: SectionSettings) -> Features | Job:
    """What one hears in a section of a song, or the job that works it out, once."""
    part = f"{section.start:g}-{'end' if section.stop is None else f'{section.stop:g}'}".replace(".", "_")
    name, key, own = f"heard-{part}.npz", f"heard {song.id} {part}", library()

    def find() -> Features | None:
        kept = own.kept(song.id, name)
        try:
            return Features.from_bytes(kept) if kept is not None else None
        except FeatureError as error:
            LOG.warning("what was heard in a song cannot be read back, and is heard again (%s)", error)
            return None

    def keep(found: Features) -> None:
        own.keep(song.id, name, found.to_bytes())

    return _made_or_begun(
        key, find, lambda: jobs().submit(workers.listen, _sound(song), song.name, section, key=key, kind="quick", done=keep)
    )


def heard(song: SongEntry, section: SectionSettings, *, seconds: float = ANSWER_SECONDS) -> Features | None:
    """The same, waited for so long; None where that was not enough."""
    found = begin_heard(song, section)
    if isinstance(found, Job):
        if not found.wait(seconds):
            return None
        if found.state != "done":
            raise JobError(found.error or "this was cancelled; start it again")
        found = begin_heard(song, section)
    return None if isinstance(found, Job) else found


def known_address(song: SongEntry) -> str | None:
    """Where the browser gets the song's sound, if nothing has to be made for it first."""
    is_played = song.suffix in PLAYED or library().kept_file(song.id, PLAYABLE) is not None
    return address_of(song.id) if is_played else None


def sound_address(song: SongEntry) -> str | None:
    """Where the browser gets the song's sound; one that browsers do not play is made into one that they do, once."""
    try:
        _make_playable(song)
    except TrajectoryError as error:
        LOG.warning("a song could not be made into one that browsers play (%s)", type(error).__name__)  # its sentence names the song
        return None  # the player says that it moves in silence
    return address_of(song.id)


def _make_playable(song: SongEntry) -> None:
    if song.suffix not in PLAYED and library().kept(song.id, PLAYABLE) is None:
        library().keep(song.id, PLAYABLE, jobs().answer(workers.playable, _sound(song), song.name, key=f"{PLAYABLE} {song.id}"))


def decoded(run: Run, points: Floats) -> Floats:
    """The spectrogram windows that points of a run's space mean."""
    return jobs().answer(workers.decode, run, points, key=f"decode {_digest(points.tobytes(), run.trajectory.points.tobytes())}")


def exported(
    song: SongEntry, run: Run, kind: str, sound: Path, heard: Features | None, hue: Hue, camera: tuple[float, ...] | None
) -> tuple[str, bytes]:
    """A page or a bundle that holds the song's sound, and its name: made by a worker, since a stranger's file is decoded for it."""
    key = f"export {kind} {_digest(repr((song.id, run.settings.fingerprint(), sound.name, hue, camera)).encode())}"
    of = (f"song{sound.suffix}", jobs().carried(sound))
    found: tuple[str, bytes] = jobs().answer(workers.exported, run, kind, song.title, of, heard, hue, camera, key=key)
    return found


def picture(song: SongEntry, entries: Sequence[RunEntry], heard: Features, order: workers.FilmOrder) -> bytes:
    """One frame of a film, as a PNG."""
    runs = tuple(library().run(entry.id) for entry in entries)
    labels = (entries[0].label, entries[-1].label) if len(entries) > 1 else ("", "")
    key = f"picture {_digest(repr((order, [entry.id for entry in entries])).encode())}"
    return bytes(jobs().answer(workers.film, runs, labels, b"", song.name, heard, order, key=key))


@dataclass(frozen=True)
class Question:
    """Which forecasts are wanted."""

    methods: tuple[str, ...]
    protocol: str
    steps: int
    starts: tuple[float, ...] = ()


def begin_forecast(entry: RunEntry, question: Question, *, owner: str) -> Job:
    """Gives a list of Forecast, one for each start and method."""
    return _begin(workers.forecast, entry, question, owner=owner)


def begin_divergence(entry: RunEntry, question: Question, *, owner: str) -> Job:
    """Gives a Divergence for each method."""
    return _begin(workers.diverge, entry, question, owner=owner)


def forecasts(job: Job) -> tuple[list[Forecast], dict[str, str]]:
    """What came of `begin_forecast`, once it is done, and what was refused, by method."""
    return job.result if job.state == "done" else ([], {})


def divergences(job: Job) -> tuple[dict[str, Divergence], dict[str, str]]:
    """What came of `begin_divergence`, by method, once it is done, and what was refused."""
    return job.result if job.state == "done" else ({}, {})


def forget(job: Job) -> None:
    """Lets it be asked for again."""
    jobs().forget(job.key)


def begin_encoder(*, owner: str, done: Callable[[tuple[tuple[str, bytes], ...]], object]) -> Job:
    """Trains an encoder on the library's newest songs, as many as may travel to a worker at once; anew each time it is asked."""
    chosen, left = [], TRAINED_BYTES
    for song in library().songs():
        size = library().sound(song.id).stat().st_size
        if size <= left:
            chosen.append(song)
            left -= size
    if len(chosen) < 2:
        raise JobError(f"{len(chosen)} song cannot be told from others; add a few more songs first")
    jobs().forget(ENCODER)  # the one before, which is done
    sounds = tuple((song.name, _sound(song)) for song in chosen)
    return jobs().submit(workers.train_encoder, sounds, key=ENCODER, owner=owner, done=done)


def begin_pair(one: SongEntry, other: SongEntry, *, owner: str) -> tuple[RunEntry, RunEntry] | Job:
    """Both songs' kept runs in one space, or the job that makes them; the same whichever is named first."""
    own, (first, second) = library(), sorted((one, other), key=lambda song: song.id)
    settings = preset("conditioned", partner=second.id), preset("conditioned", partner=first.id)

    def find() -> tuple[RunEntry, RunEntry] | None:
        runs = [own.find_run(song.id, each) for song, each in zip((first, second), settings, strict=True)]
        if runs[0] is None or runs[1] is None:
            return None
        return (runs[0], runs[1]) if first is one else (runs[1], runs[0])

    def keep(runs: tuple[Run, Run]) -> None:
        own.add_run(first.id, runs[0])
        own.add_run(second.id, runs[1])

    key = f"pair {first.id} {second.id}"
    sounds = (first, second)
    return _made_or_begun(
        key,
        find,
        lambda: jobs().submit(
            workers.fit_pair, tuple((song.name, _sound(song)) for song in sounds), settings, key=key, owner=owner, done=keep
        ),
    )


def path_by(song: SongEntry, encoder: str) -> RunEntry | None:
    """The kept path of a song as an encoder hears it."""
    return next((each for each in library().runs_of(song.id) if each.preset == encoder), None)


def begin_path(song: SongEntry, weights: workers.Weights, *, owner: str) -> RunEntry | Job:
    """A song's path as an encoder hears it, kept like a run."""
    key, own = f"path {song.id} {weights.encoder} {hash(weights)}", library()
    return _made_or_begun(
        key,
        lambda: path_by(song, weights.encoder),
        lambda: jobs().submit(
            workers.heard_path, _sound(song), song.name, weights, key=key, owner=owner, done=lambda run: own.add_run(song.id, run)
        ),
    )


def begin_map(vectors: Floats, how: Plane, dims: Literal[2, 3], *, owner: str) -> Job:
    """Gives where each vector lies on a map, which takes the slower ways long."""
    key = f"map {_digest(vectors.tobytes())} {how} {dims}"
    return jobs().find(key) or jobs().submit(workers.plane, vectors, how, dims, key=key, owner=owner)


def begin_clusters(vectors: Floats, likeness: Likeness, *, owner: str) -> Job:
    """Gives the Clusters of vectors."""
    key = f"clusters {_digest(vectors.tobytes())} {likeness}"
    return jobs().find(key) or jobs().submit(workers.clusters, vectors, likeness, key=key, owner=owner)


def _begin(task: Callable[..., Any], entry: RunEntry, question: Question, *, owner: str) -> Job:
    key = f"{task.__name__} {entry.id} {json.dumps(vars(question))}"
    held = jobs().find(key)
    if held is not None and held.state != "cancelled":
        return held  # also one that failed: it says why until it is asked for again
    return jobs().submit(task, library().run(entry.id), *vars(question).values(), key=key, owner=owner)


def _sound(song: SongEntry) -> workers.Sound:
    return jobs().carried(library().sound(song.id))


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


def running(entries: Sequence[RunEntry | Job]) -> list[Job]:
    """Those that are still to come."""
    return [entry for entry in entries if isinstance(entry, Job) and not entry.ended]
