"""Compare: two runs of one song, side by side."""

import streamlit as st

from trajectory.queueing import Job
from trajectory.ui import comparing, exploring, place

song, entry = place.song_and_run()
run = exploring.loaded(entry)
second = comparing.other(song, entry)
comparing.chooser(song, entry, second)
if isinstance(second, Job):
    comparing.waiting(song, entry)
else:
    other = exploring.loaded(second)
    comparing.stage(song, run, other, (entry.label, second.label))
    comparing.measured((entry, second), (run, other))
comparing.advanced(song, entry, run)
with st.expander("What am I looking at?", icon=":material/help:"):
    st.markdown(comparing.ABOUT)
