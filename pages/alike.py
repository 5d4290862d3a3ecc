"""Alike: songs among songs, by what an encoder hears in them."""

import streamlit as st

from trajectory.ui import alike, hearing, place

chosen = place.picked_song()
listener = hearing.chooser()
hearing.catch_up(listener)
alike.show(chosen, listener)
with st.expander("What am I looking at?", icon=":material/help:"):
    st.markdown(alike.ABOUT)
place.write({"song": chosen.id})
