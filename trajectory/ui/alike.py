"""The stages of Alike: songs and moments like one, a map of all, two songs beside each other, and what an encoder hears in one."""

import html
from collections.abc import Callable, Sequence
from contextlib import suppress

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from trajectory import similarity
from trajectory.catalogue import SongEntry
from trajectory.collection import CollectionError, Heard
from trajectory.colouring import clock
from trajectory.errors import TrajectoryError
from trajectory.queueing import Job
from trajectory.settings import RHYTHMS, WHOLE
from trajectory.ui import around, place, together, work
from trajectory.ui.hearing import Hearing
from trajectory.ui.services import library
from trajectory.ui.sounds import audio, row

ALIKE = "pages/alike.py"
SHOWN = 10
HEATMAP_COLUMNS = 1_200
DEAD = 1e-3  # of the widest swing: a dimension that moves less is still

ABOUT = """
Every song was heard by one **encoder**, which gives a vector for each moment; a song's own vector pools them over time. Two songs are alike
where their vectors point the same way (cosine: 1 is the same) or lie close together (Euclidean: 0 is the same).

- *musicnn* was trained to tag music by people's words; *wav2vec 2.0*, *HuBERT* and *Whisper* were trained on speech
- the *log-mel CNN* is trained here, on your own library: pieces of one song belong together, pieces of two songs do not
- *rhythm* hears no sound at all: it compares after which time each song's path comes back to itself

Likeness is what the encoder makes of it, not a judgement of taste.
"""


def show(song: SongEntry, hearing: Hearing) -> None:
    """The view that was chosen, and no other: each takes its time."""
    views = {
        "Songs like this": songs_like,
        "Moments like this": moments_like,
        "Map": lambda _, hearing: around.around(hearing),
        "Two songs": pair,
        "Inside": inside,
    }
    chosen = st.segmented_control(
        "Show", list(views), default="Songs like this", key="show", required=True, bind="query-params", label_visibility="collapsed"
    )
    views[chosen](song, hearing)


def _guarded(draw: Callable[[], None]) -> None:
    try:
        draw()
    except TrajectoryError as error:
        st.info(place.words(error), icon=":material/hearing:")


# --- Songs and moments like this one


def songs_like(song: SongEntry, hearing: Hearing) -> None:
    """The nearest songs, each to be heard in place."""

    def draw() -> None:
        _heard(song, hearing)
        found = similarity.neighbours(hearing.songs, song.id, SHOWN)
        if not found:
            st.info("There is no other song yet to compare it with.", icon=":material/library_music:")
        titles = {each.id: each for each in library().songs()}
        for match in found:
            if match.id in titles:
                row(titles[match.id], _score(match.score, hearing))

    _guarded(draw)


def moments_like(song: SongEntry, hearing: Hearing) -> None:
    """The nearest few seconds across the library."""

    def draw() -> None:
        heard = _heard(song, hearing)
        first, last = float(heard.frames.times[0]), float(heard.frames.times[-1])
        now = min(max(place.view().time, first), last)
        moment = st.slider("Moment of this song (seconds)", first, last, now, step=0.5, key=f"moment-{song.id}")
        elsewhere = st.checkbox("Only in other songs", value=True, key="elsewhere")
        audio(song, moment)
        index = hearing.collection.moments(hearing.pooling, hearing.likeness)
        apart = float("inf") if elsewhere else similarity.APART_SECONDS
        found = similarity.moments(index, similarity.moment_at(index, song.id, moment), SHOWN, apart_seconds=apart)
        titles = {each.id: each for each in library().songs()}
        for each in found:
            if each.song in titles:
                row(titles[each.song], _score(each.score, hearing), at=each.seconds)

    _guarded(draw)


def _score(score: float, hearing: Hearing) -> str:
    return f"{'cosine' if hearing.likeness == 'cosine' else 'distance'} {score:.3f}"


def _heard(song: SongEntry, hearing: Hearing) -> Heard:
    found = hearing.collection.heard(song.id)
    if found is None:
        raise CollectionError(f"{song.title} has not been heard by {hearing.ear.encoder} yet; let it listen first")
    return found


# --- Two songs


def pair(song: SongEntry, hearing: Hearing) -> None:
    """One number for two songs, and where along them they agree."""

    def draw() -> None:
        others = {each.id: each for each in library().songs() if each.id != song.id}
        if not others:
            st.info("There is no other song yet to lay beside it.", icon=":material/library_music:")
            return
        picked = st.selectbox(
            "Beside",
            list(others),
            _first(song, hearing, list(others)),
            format_func=lambda one: place.title(others[one]),
            key=f"beside-{song.id}",
        )
        other = others[picked]
        together.stage(song, other)
        found = similarity.agreement(_heard(song, hearing).frames, _heard(other, hearing).frames)
        help_ = "The mean cosine of each piece with the most alike piece of the other song, both ways."
        st.metric("Likeness", f"{found.likeness:.3f}", help=help_)
        figure = go.Figure(go.Heatmap(z=found.matrix, x=found.b_times, y=found.a_times, colorscale="Viridis", colorbar={"title": "cosine"}))
        line = {"mode": "lines", "line": {"color": "#ffffff", "width": 3}, "showlegend": False}
        for each in found.stretches:
            figure.add_scatter(x=[each.b_start, each.b_stop], y=[each.a_start, each.a_stop], **line)
        figure.update_layout(
            height=440, margin={"l": 0, "r": 0, "t": 10, "b": 0}, xaxis_title=f"{_shown(other)} (s)", yaxis_title=f"{_shown(song)} (s)"
        )
        st.plotly_chart(figure, key="agreement")
        for each in found.stretches:
            with st.container(border=True):
                left, right, number = st.columns([3, 3, 1], vertical_alignment="center")
                for column, whose, start, stop in ((left, song, each.a_start, each.a_stop), (right, other, each.b_start, each.b_stop)):
                    column.caption(f"{place.plain(whose.title)}, {clock(start)} to {clock(stop)}")
                    with column:
                        audio(whose, start)
                number.metric("cosine", f"{each.likeness:.2f}", label_visibility="collapsed")

    _guarded(draw)


def _first(song: SongEntry, hearing: Hearing, others: Sequence[str]) -> int:
    """The song that is most alike, as far as anybody has listened."""
    with suppress(TrajectoryError):
        found = (match.id for match in similarity.neighbours(hearing.songs, song.id, SHOWN))
        return next((others.index(each) for each in found if each in others), 0)
    return 0


def _shown(song: SongEntry) -> str:
    """A title for Plotly, which takes tags in a text for its own."""
    return html.escape(song.title, quote=False)


# --- Inside one song


def inside(song: SongEntry, hearing: Hearing) -> None:
    """What the encoder hears moment by moment, and its path beside the song's own."""

    def draw() -> None:
        heard = _heard(song, hearing)
        if heard.tags:
            st.markdown("**Tags** " + " · ".join(f"{place.plain(tag)} {share:.0%}" for tag, share in heard.tags[:8]))
        _heatmap(song, heard)
        _statistics(heard)
        _path(song, hearing)

    _guarded(draw)


def _heatmap(song: SongEntry, heard: Heard) -> None:
    """The dimensions with the widest swings first, under the waveform."""
    points, times = heard.frames.points, heard.frames.times
    every = -(-len(points) // HEATMAP_COLUMNS)
    points, times = points[::every], times[::every]
    spread = points.std(axis=0)
    lively = np.argsort(-spread)[: np.count_nonzero(spread > DEAD * spread.max())]
    if not len(lively):
        st.caption("Nothing changes along this song for this encoder.")
        return
    scaled = (points[:, lively] - points[:, lively].mean(axis=0)) / spread[lively]
    figure = go.Figure()
    figure.add_heatmap(z=scaled.T, x=times, colorscale="RdBu", zmid=0, zmin=-3, zmax=3, colorbar={"title": "σ"}, yaxis="y")
    try:
        found = work.heard(song, WHOLE)
        wave = found.waveform if found else np.zeros((0, 2))
        along = np.linspace(0, float(song.seconds or times[-1]), len(wave))
        figure.add_scatter(x=along, y=wave[:, 1], line={"width": 0}, hoverinfo="skip", showlegend=False, yaxis="y2")
        figure.add_scatter(
            x=along, y=wave[:, 0], line={"width": 0}, fill="tonexty", fillcolor="#2a9fd6", hoverinfo="skip", showlegend=False, yaxis="y2"
        )
    except TrajectoryError as error:
        st.caption(f"The waveform cannot be drawn: {place.words(error)}")
    figure.update_layout(
        height=460,
        margin={"l": 0, "r": 0, "t": 10, "b": 0},
        xaxis={"title": "seconds", "range": [0, float(song.seconds or times[-1])]},
        yaxis={"domain": [0, 0.8], "title": "dimensions, the liveliest first", "autorange": "reversed"},
        yaxis2={"domain": [0.84, 1], "visible": False},
    )
    st.plotly_chart(figure, key="heatmap")
    if len(lively) < len(spread):
        st.caption(f"{len(spread) - len(lively)} of {len(spread)} dimensions never change along this song and are not drawn.")


def _statistics(heard: Heard) -> None:
    points = heard.frames.points
    with st.expander("Statistics by dimension", icon=":material/table_chart:"):
        told = {
            "dimension": np.arange(points.shape[1]),
            "mean": points.mean(axis=0),
            "standard deviation": points.std(axis=0),
            "least": points.min(axis=0),
            "most": points.max(axis=0),
            "share of the variance": points.var(axis=0) / max(float(points.var(axis=0).sum()), 1e-12),
        }
        st.dataframe(told, hide_index=True, height=280)


def _path(song: SongEntry, hearing: Hearing) -> None:
    """The encoder in the autoencoder's place: see what changes."""
    if hearing.ear.encoder in RHYTHMS:
        return  # it is of the song's own path already
    entry = work.path_by(song, hearing.ear.encoder)
    if entry is None:
        if st.button("Draw the song's path as this encoder hears it", icon=":material/swap_horiz:"):
            job = work.begin_path(song, hearing.weights, owner=place.owner())
            with st.spinner("It listens …"):
                waited = isinstance(job, Job) and not job.wait(120)
            if isinstance(job, Job) and job.state != "done":
                place.say("this takes longer than two minutes; look again in a while" if waited else job.error or "cancelled")
            else:
                st.rerun()
        return
    with st.container(horizontal=True):
        query = {"song": song.id, "run": entry.id}
        st.page_link(place.EXPLORE, label="Its path in Explore", icon=":material/explore:", query_params=query)
        st.page_link(place.COMPARE, label="Beside the song's own network", icon=":material/compare:", query_params=query)
