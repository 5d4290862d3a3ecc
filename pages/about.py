"""About: the version, and the licences of all that is in it."""

from pathlib import Path

import streamlit as st

import trajectory
from trajectory.ui import about

st.title("About", anchor=False)
st.markdown(
    f"**Trajectory {trajectory.__version__}**: a small neural network, trained on one song alone, turns it into a path through space."
)
about.licences(Path())
