"""Forecast: where the path goes next, and how fast forecasts part from the truth."""

import streamlit as st

from trajectory.ui import exploring, foretelling, place

song, entry = place.song_and_run()
run = exploring.loaded(entry)
question = foretelling.chooser(run)
made = foretelling.stage(song, entry, run, question)
foretelling.divergence(song, entry, looks=made)
with st.expander("What am I looking at?", icon=":material/help:"):
    st.markdown(foretelling.ABOUT)
