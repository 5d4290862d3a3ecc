"""The map of all songs on Alike: where each lies, what belongs together, and what is circled becomes a playlist."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import streamlit as st

from trajectory import similarity
from trajectory.catalogue import SongEntry
from trajectory.errors import TrajectoryError
from trajectory.queueing import Job
from trajectory.records import Floats
from trajectory.similarity import Index, Plane
from trajectory.ui import looking, place, work
from trajectory.ui.hearing import Hearing
from trajectory.ui.services import library
from trajectory.ui.songmap import Place, songmap
from trajectory.ui.sounds import row

COLOURS = (
    "#e69f00",
    "#56b4e9",
    "#009e73",
    "#f0e442",
    "#0072b2",
    "#d55e00",
    "#cc79a7",
    "#999999",
)  # told apart by all eyes; the last for the rest
TEMPI = ("#440154", "#31688e", "#35b779", "#fde725")  # slow to fast
NONE = "#999999"
OWN = "#ffffff"
LOOK_SECONDS = 0.5
Colour = Literal["cluster", "tag", "tempo"]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Drawn:
    """What the map shows beside the songs' own vectors."""

    names: tuple[str, ...] = ()
    vectors: Floats | None = None


def around(hearing: Hearing) -> None:
    """All songs at once; near means alike."""
    try:
        index = hearing.songs
        how, dims, colour = _chooser()
        own = _own(index)
        songs = {each.id: each for each in library().songs()}
        found = _made(work.begin_clusters(index.vectors, hearing.likeness, owner=place.owner()), "Looking for clusters …")
        groups = found or similarity.Clusters.unknown(len(index.ids))
        colours, legend = _coloured(index.ids, hearing, groups, colour)
        vectors = index.vectors if own.vectors is None else np.concatenate([index.vectors, own.vectors])
        at = _principal(vectors, dims)
        if how != "pca":
            made = _made(work.begin_map(vectors, how, dims, owner=place.owner()), f"{how} is being worked out; by pca until then …")
            how, at = (how, made) if made is not None else ("pca", at)
    except TrajectoryError as error:
        st.info(place.words(error), icon=":material/hub:")
        return
    chosen = songmap(
        [*_songs(index.ids, songs, at, colours), *_diamonds(own.names, at[len(index.ids) :])],
        key="songmap",
        colour_title=colour,
        legend=legend,
    )
    st.caption(f"{len(index.ids)} songs, {how} to {dims} dimensions. {groups.says[:1].upper()}{groups.says[1:]} (silhouette).")
    if chosen.opened in songs and st.session_state.get("map-serial") != chosen.serial:
        st.session_state["map-serial"] = chosen.serial
        place.choose(chosen.opened)
        st.rerun()
    _playlist([songs[each] for each in chosen.lassoed if each in songs])


def _chooser() -> tuple[Plane, Literal[2, 3], Colour]:
    first, second, third = st.columns(3)
    with first:
        how: Plane = st.segmented_control(
            "Map by", ("pca", "tsne", "umap"), default="pca", key="map-how", required=True, bind="query-params"
        )
    with second:
        dims: Literal[2, 3] = st.segmented_control("Dimensions", (2, 3), default=2, key="map-dims", required=True, bind="query-params")
    with third:
        colour: Colour = st.segmented_control(
            "Colour by", ("cluster", "tag", "tempo"), default="cluster", key="map-colour", required=True, bind="query-params"
        )
    return how, dims, colour


def _own(index: Index) -> _Drawn:
    """A visitor's vectors, laid on the map as diamonds."""
    with st.popover("Lay vectors of your own on it", icon=":material/upload_file:"):
        st.caption(f"A csv or npz with a name and {index.space.dims} numbers a row, of the same encoder: {index.space}.")
        given = st.file_uploader("Vectors", type=["csv", "npz"], key="own-vectors")
    if given is None:
        return _Drawn()
    names, vectors = similarity.read_vectors(given)
    return _Drawn(names=tuple(names), vectors=Index.build(names, vectors, index.space).vectors)


@st.cache_data(max_entries=32, show_spinner=False)
def _principal(vectors: Floats, dims: Literal[2, 3]) -> Floats:
    return similarity.plane(vectors, "pca", dims)


def _made(job: Job, words: str) -> Any:
    """What came of it; None while it is worked out, and where it was refused, which is said."""
    if job.ended:
        if job.state != "done":
            place.say(job.error or "cancelled")
        return job.result
    looking.fragment(_wait, LOOK_SECONDS)(job, words)
    return None


def _wait(job: Job, words: str) -> None:
    if job.ended:
        st.rerun()
    st.caption(words)


def _coloured(ids: Sequence[str], hearing: Hearing, groups: similarity.Clusters, colour: Colour) -> tuple[list[str], list[tuple[str, str]]]:
    """A colour for each song, and what the colours mean."""
    if colour == "cluster":
        words = [f"cluster {label + 1}" for label in groups.labels]
        return _by_word(words if groups.count > 1 else [""] * len(ids))
    told = [_told(hearing, str(hearing.collection.library.root), hearing.ear.file, each) for each in ids]
    if colour == "tag":
        return _by_word([tag for tag, _ in told])
    tempi = [tempo for _, tempo in told]
    known = [tempo for tempo in tempi if tempo is not None]
    if not known:
        return [NONE] * len(ids), [("no beat heard", NONE)]
    edges = np.quantile(known, (0.25, 0.5, 0.75))
    colours = [NONE if tempo is None else TEMPI[int(np.searchsorted(edges, tempo))] for tempo in tempi]
    ends = [min(known), *edges, max(known)]
    legend = [(f"{low:.0f} to {high:.0f} bpm", TEMPI[i]) for i, (low, high) in enumerate(itertools.pairwise(ends))]
    return colours, [*legend, *([("no beat heard", NONE)] if None in tempi else [])]


def _by_word(words: Sequence[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """The commonest words have a colour each; the rest share one."""
    named = sorted({word for word in words if word}, key=lambda word: (-words.count(word), word))[: len(COLOURS) - 1]
    legend = list(zip(named, COLOURS, strict=False))
    colours = dict(legend)
    rest = [("others", NONE)] if any(word not in colours for word in words) and named else []
    return [colours.get(word, NONE) for word in words], [*legend, *rest]


@st.cache_data(max_entries=4_096, show_spinner=False)
def _told(_hearing: Hearing, root: str, file: str, song: str) -> tuple[str, float | None]:  # noqa: ARG001 - it is kept by library, file and song
    """A song's likeliest tag and its tempo."""
    heard = _hearing.collection.heard(song)
    return (heard.tags[0][0] if heard and heard.tags else "", heard.bpm if heard else None)


def _songs(ids: Sequence[str], songs: dict[str, SongEntry], at: Floats, colours: Sequence[str]) -> list[Place]:
    made = []
    for each, where, colour in zip(ids, at, colours, strict=False):
        song = songs.get(each)
        if song is not None:  # deleted a moment ago
            start = (song.seconds or 0.0) / 3
            made.append(
                Place(
                    id=each,
                    label=song.title,
                    note=song.artist or "",
                    colour=colour,
                    sound=work.known_address(song),
                    start=start,
                    **_xyz(where),
                )
            )
    return made


def _diamonds(names: Sequence[str], at: Floats) -> list[Place]:
    return [
        Place(id=f"own {i}", label=name, note="of your own", colour=OWN, own=True, **_xyz(where))
        for i, (name, where) in enumerate(zip(names, at, strict=True))
    ]


def _xyz(where: Floats) -> dict[str, Any]:
    return dict(zip("xyz", map(float, where), strict=False))


def _playlist(songs: Sequence[SongEntry]) -> None:
    if not songs:
        st.caption("Circle some songs (the lasso, or Shift and drag) to make a playlist of them.")
        return
    st.subheader(f"{len(songs)} song{'' if len(songs) == 1 else 's'}", anchor=False)
    for song in songs:
        row(song, "")
