"""Explore: one run, its sound, and everything that is known of its shape."""

import streamlit as st

from trajectory.colouring import hues
from trajectory.ui import exploring, intake, numbers, place

song, entry = place.song_and_run()
run = exploring.loaded(entry)
heard = exploring.heard(song, run)
hue = st.segmented_control("Colour by", hues(heard, run.song.beat), default="time", key="hue", required=True)
exploring.stage(song, entry, run, heard, hue or "time")
numbers.of_shape(entry.id, run)
with st.expander("What am I looking at?", icon=":material/help:"):
    st.markdown(intake.ABOUT)
    st.markdown(exploring.ABOUT)
