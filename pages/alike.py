"""Alike: songs among songs, by what an encoder hears in them."""

import streamlit as st

from trajectory.ui import alike, around, hearing, place

chosen = place.picked_song()
listener = hearing.chooser()
hearing.catch_up(listener)
songs, moments, everyone, pair, inside = st.tabs(["Songs like this", "Moments like this", "Map", "Two songs", "Inside"])
with songs:
    alike.songs_like(chosen, listener)
with moments:
    alike.moments_like(chosen, listener)
with everyone:
    around.around(listener)
with pair:
    alike.pair(chosen, listener)
with inside:
    alike.inside(chosen, listener)
with st.expander("What am I looking at?", icon=":material/help:"):
    st.markdown(alike.ABOUT)
place.write({"song": chosen.id})
