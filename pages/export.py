"""Export: a film, the numbers, a page: what a visitor takes away."""

import streamlit as st

from trajectory.ui import exploring, place, taking
from trajectory.ui.services import library

if not library().songs():
    taking.bring_back()
song, entry = place.song_and_run()
run = exploring.loaded(entry)
heard = exploring.heard(song, run)
film, data, back = st.tabs(["Film", "Data", "Bring back a bundle"])
with film:
    taking.films(song, entry, run, heard)
with data:
    taking.data(song, run, heard)
with back:
    taking.bring_back()
