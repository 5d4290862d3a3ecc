"""The app's front door."""

import streamlit as st

st.set_page_config(page_title="Trajectory", page_icon="〰️", layout="wide")
st.title("See the shape of music")
st.write("A small network, trained on one song alone, turns it into a path through space. For now it runs from the command line:")
st.code("python -m trajectory embed assets/songs/03_rock_drums_sample.ogg --out runs/rock", language="bash")
