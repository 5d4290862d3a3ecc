"""How a song comes in: a file that is dropped, a sample that ships with the app, and the part of a long one that is wanted."""

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from trajectory.audio import clock
from trajectory.catalogue import SongEntry
from trajectory.errors import TrajectoryError
from trajectory.settings import SONG_ENDINGS, WHOLE, AudioLimits, SectionSettings
from trajectory.ui import place, training, work
from trajectory.ui.services import library
from trajectory.visitors import VisitorLibrary

LIMITS = AudioLimits()
LONG = 90.0  # seconds after which a part can be chosen
DEFAULT_PART = 300.0  # seconds of a song that is too long to be used whole
SHORTEST_PART = 5.0  # seconds

ABOUT = """
Every point is **half a second of sound**, placed in space by a small neural network that was trained on this song alone. The network had
to draw each half second again from its three numbers, so moments that sound alike lie close together. As the song plays, the point
moves: **music that repeats draws loops**, a new part moves to another region, silence rests.

The *conditioned* network was also asked to make its next step predictable, which smooths the path; the *pure* one was not.
"""


def welcome() -> None:
    """What a first visitor reads."""
    st.title("See the shape of music")
    st.markdown(
        "Drop a song. A small neural network, trained on it alone, turns it into a path through space, and you hear it along the way."
    )


def chooser(samples: Path, *, open_wide: bool) -> None:
    """A place to drop a file, and the samples one click away."""
    with st.expander("Another song", icon=":material/library_music:", expanded=open_wide) if not open_wide else st.container():
        problems, told = st.session_state.pop("refused", ()), st.session_state.pop("taken", None)
        count = st.session_state.setdefault("uploads", 0)
        st.file_uploader(
            f"Drop a song or several (up to {LIMITS.bytes // 10**6} MB; of more than {LIMITS.seconds / 60:.0f} minutes you choose a part)",
            type=SONG_ENDINGS,
            accept_multiple_files=True,
            key=f"upload-{count}",
            on_change=_take_upload,
            max_upload_size=_most_megabytes(),
        )
        for problem in problems:
            place.say(problem)
        if told:
            st.success(told, icon=":material/library_music:")
        st.caption("or take one of these")
        with st.container(horizontal=True):
            for sample in sorted(samples.glob("*.*")):
                if sample.suffix.lstrip(".") in SONG_ENDINGS:
                    st.button(_spoken(sample), key=sample.name, icon=":material/play_circle:", on_click=_take_sample, args=(sample,))
    with st.expander("What am I looking at?", icon=":material/help:"):
        st.markdown(ABOUT)


def _spoken(sample: Path) -> str:
    return " ".join(part for part in sample.stem.split("_") if not part.isdigit() and part != "sample").capitalize()


def _most_megabytes() -> int:
    """Of one file: what a song may have, or what its visitor may still keep."""
    kept = library()
    left = kept.bytes_left() if isinstance(kept, VisitorLibrary) else LIMITS.bytes
    return max(1, min(LIMITS.bytes, left) // 10**6)


def _take_upload() -> None:
    """Keeps the files, chooses the first, and empties the place they were dropped on: the app need not hold them in memory."""
    count = st.session_state["uploads"]
    dropped = st.session_state.get(f"upload-{count}")
    if dropped:
        st.session_state["uploads"] = count + 1
        _add([(file, file.name) for file in dropped])


def _take_sample(sample: Path) -> None:
    _add([(sample, sample.name)])


def _add(sources: Sequence[tuple[Path | BinaryIO, str]]) -> None:
    kept, problems = [], []
    for source, name in sources:
        try:
            kept.append(library().add_song(source, name=name).id)
        except TrajectoryError as error:
            problems.append(str(error))
    st.session_state["refused"] = problems
    if kept:
        place.choose(kept[0])
    if len(kept) > 1:
        st.session_state["taken"] = f"{len(kept)} songs are in the Library now; the first of them is here."


def section(song: SongEntry) -> SectionSettings:
    """The part of the song that is used: all of it, unless it is long and somebody says otherwise."""
    st.subheader(place.plain(place.title(song)), anchor=False)
    if song.seconds is None:
        return _part_of_unknown(song)
    if song.seconds <= LONG:
        return WHOLE
    too_long = song.seconds > LIMITS.seconds
    whole = (0.0, float(song.seconds))
    now = place.part() or ((0.0, DEFAULT_PART) if too_long else whole)
    now = min(now[0], whole[1]), min(now[1], whole[1])
    with st.expander(f"Use a part of its {clock(song.seconds)}", icon=":material/content_cut:", expanded=too_long):
        if too_long:
            st.caption(f"A song of more than {LIMITS.seconds / 60:.0f} minutes is used in parts.")
        else:
            _waveform(song)
        with st.form(f"part-{song.id}", border=False):
            chosen = st.slider("From and to (seconds)", *whole, now, step=0.5, key=f"ends-{song.id}")
            if st.form_submit_button("Use this part"):
                now = _chosen(song, chosen, now)
    return WHOLE if now == whole else _checked(now)


def _part_of_unknown(song: SongEntry) -> SectionSettings:
    """Of a song whose file does not say how long it is."""
    now = place.part()
    with st.expander("Use a part of it", icon=":material/content_cut:"):
        st.caption(f"Its file does not say how long it is. Of more than {LIMITS.seconds / 60:.0f} minutes only a part can be used.")
        with st.form(f"part-{song.id}", border=False):
            low, high = now or (0.0, DEFAULT_PART)
            first = st.number_input("From (seconds)", 0.0, value=low, key=f"begin-{song.id}")
            last = st.number_input("To (seconds)", 0.0, value=high, key=f"end-{song.id}")
            if st.form_submit_button("Use this part"):
                now = _chosen(song, (first, last), now)
    return WHOLE if now is None else _checked(now)


def _chosen(song: SongEntry, part: tuple[float, float], before: tuple[float, float] | None) -> tuple[float, float]:
    if part != before:
        training.give_up(song)
        place.write({"part": f"{part[0]:g},{part[1]:g}"})
    return part


def _checked(part: tuple[float, float]) -> SectionSettings:
    low, high = part
    if high - low < SHORTEST_PART or high - low > LIMITS.seconds:
        length = clock(high - low) if high > low else "no time at all"
        st.warning(f"A part lasts from {SHORTEST_PART:g} s to {LIMITS.seconds / 60:.0f} minutes; this one {length}.")
        st.stop()
    return SectionSettings(start=low, stop=high)


def _waveform(song: SongEntry) -> None:
    try:
        heard = work.heard(song, WHOLE)
    except TrajectoryError as error:
        st.caption(place.words(error))
        return
    if heard is None:
        st.caption("The waveform is still being drawn; come back in a moment.")
        return
    low, high = heard.waveform.T
    times = np.linspace(heard.start, heard.stop, len(low))
    figure = go.Figure()
    figure.add_scatter(x=times, y=high, line={"width": 0}, hoverinfo="skip", showlegend=False)
    figure.add_scatter(x=times, y=low, line={"width": 0}, fill="tonexty", fillcolor="#2a9fd6", hoverinfo="x", showlegend=False)
    figure.update_layout(height=90, margin={"l": 0, "r": 0, "t": 0, "b": 20}, yaxis={"visible": False, "fixedrange": True})
    st.plotly_chart(figure, config={"displayModeBar": False}, key=f"waveform-{song.id}")
