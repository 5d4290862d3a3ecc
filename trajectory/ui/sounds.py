"""Songs that are heard where they are named."""

import html

import streamlit as st

from trajectory.catalogue import SongEntry
from trajectory.colouring import clock
from trajectory.ui import place, work

BEFORE = 2.0  # seconds of a moment's own past that are heard


def audio(song: SongEntry, at: float | None = None) -> None:
    """The browser's own controls, from that moment on; nothing is fetched before it is played."""
    source = work.sound_address(song)
    if source is None:
        st.caption("no browser plays this file")
        return
    begin = f"#t={max(0.0, at - BEFORE):.2f}" if at is not None else ""
    label = html.escape(f"Hear {song.title}", quote=True)
    st.html(f'<audio controls preload="none" style="width:100%;height:2.2rem" aria-label="{label}" src="{source}{begin}"></audio>')


def row(song: SongEntry, words: str, *, at: float | None = None) -> None:
    """One song of a list, to be heard in place and opened."""
    with st.container(border=True):
        left, middle, right = st.columns([4, 3, 1], vertical_alignment="center")
        moment = f" · at {clock(at)}" if at is not None else ""
        left.markdown(f"**{place.plain(place.title(song))}**{moment}")
        if words:
            left.caption(words)
        with middle:
            audio(song, at)
        query = {"song": song.id} | ({"t": f"{at:.2f}"} if at is not None else {})
        right.page_link(place.EXPLORE if song.runs else place.LISTEN, label="Open", icon=":material/explore:", query_params=query)
