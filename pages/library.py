"""Library: every song and run that was kept."""

import streamlit as st

from trajectory.ui import hearing, place, shelf

st.title("Library", anchor=False)
search = st.text_input("Search", placeholder="title, artist or file", key="search", label_visibility="collapsed", icon=":material/search:")
shelf.undo()
found = shelf.found(search)
if not found:
    st.info("Nothing is called that." if search else "There is no song yet.", icon=":material/library_music:")
    st.page_link(place.LISTEN, label="Drop one on Listen", icon=":material/headphones:")
for song in found:
    shelf.entry(song)
hearing.heard_by()
shelf.disk_use()
shelf.forgetting()
