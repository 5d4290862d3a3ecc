"""Songs like this one, and moments like this one."""

from collections.abc import Iterable
from dataclasses import dataclass

from trajectory.records import Floats

from .index import Index
from .vectors import SimilarityError

APART_SECONDS = 8.0  # between two moments of one song that are both told: nearer ones sound the same


@dataclass(frozen=True, kw_only=True)
class Match:
    """A vector that is near another, by its name."""

    id: str
    score: float  # a cosine, or a distance, as the index's likeness says


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A few seconds of a song that are near others."""

    song: str
    seconds: float  # its middle
    score: float  # a cosine, or a distance


def nearest(index: Index, vector: Floats, count: int = 10) -> list[Match]:
    """What is in the index and nearest to a vector (dims,) from anywhere."""
    scores, rows = index.search(vector[None], count)
    return [Match(id=index.ids[row], score=float(score)) for score, row in zip(scores[0], rows[0], strict=True)]


def neighbours(index: Index, name: str, count: int = 10) -> list[Match]:
    """The nearest to one that is in the index, without itself."""
    found = nearest(index, index.vectors[index.row(name)], count + 1)
    return [match for match in found if match.id != name][:count]


def moment_id(song: str, seconds: float) -> str:
    """How a moment is named in an index."""
    return f"{song}@{seconds:.3f}"


def moment_at(index: Index, song: str, seconds: float) -> str:
    """The moment of a song that is in the index and nearest to so many seconds."""
    own = [name for name in index.ids if name.startswith(f"{song}@")]
    if not own:
        raise SimilarityError(f"no moment of {song!r:.60} is in the index; add its moments first")
    return min(own, key=lambda name: abs(_parts(name)[1] - seconds))


def moments(index: Index, name: str, count: int = 10, *, apart_seconds: float = APART_SECONDS) -> list[Moment]:
    """The nearest to one moment across all songs; of one song none within `apart_seconds` of another or of the one asked for.

    `apart_seconds=math.inf` gives other songs only, one moment of each.
    """
    query = index.vectors[index.row(name)]
    asked = Moment(song=_parts(name)[0], seconds=_parts(name)[1], score=0)
    fetch = 4 * (count + 1)
    while True:
        found = _apart(asked, nearest(index, query, fetch), apart_seconds)
        if len(found) >= count or fetch >= len(index):
            return found[:count]
        fetch *= 4


def _apart(asked: Moment, matches: Iterable[Match], apart_seconds: float) -> list[Moment]:
    told: dict[str, list[float]] = {asked.song: [asked.seconds]}
    found = []
    for match in matches:
        song, seconds = _parts(match.id)
        others = told.setdefault(song, [])
        if all(abs(seconds - other) >= apart_seconds for other in others):
            others.append(seconds)
            found.append(Moment(song=song, seconds=seconds, score=match.score))
    return found


def _parts(name: str) -> tuple[str, float]:
    song, _, seconds = name.rpartition("@")
    try:
        return song, float(seconds)
    except ValueError as error:
        raise SimilarityError(f"{name!r:.60} is no moment; an index of moments names them song@seconds") from error
