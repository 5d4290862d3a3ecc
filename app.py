"""The app's front door: `streamlit run app.py` imports it for the server, then runs it at every visit for its pages."""

from pathlib import Path

import streamlit as st

from trajectory.errors import TrajectoryError
from trajectory.ui import links, looking, place, player, services

if __name__ == "__main__":
    st.set_page_config(page_title="Trajectory", page_icon="〰️", layout="wide")
    st.html(Path("assets/app.css"))
    chosen = st.navigation(
        [
            st.Page("pages/listen.py", title="Listen", icon=":material/headphones:", default=True),
            st.Page("pages/explore.py", title="Explore", icon=":material/explore:"),
            st.Page("pages/compare.py", title="Compare", icon=":material/compare:"),
            st.Page("pages/forecast.py", title="Forecast", icon=":material/timeline:"),
            st.Page("pages/alike.py", title="Alike", icon=":material/hub:"),
            st.Page("pages/export.py", title="Export", icon=":material/movie:"),
            st.Page("pages/library.py", title="Library", icon=":material/library_music:"),
            st.Page("pages/about.py", title="About", icon=":material/info:"),
        ],
        position="top",
    )
    links.check(chosen.title)
    try:
        chosen.run()
        player.prepare()
    except TrajectoryError as error:
        place.say(error)  # what no part of a page expected, and a person can do something about
    finally:
        looking.hand_over()
else:
    services.begin()
    from trajectory.ui import alike, around, comparing, foretelling, intake, listening, numbers, taking  # noqa: F401 - now, not while a visitor waits

    app = st.App(__file__, lifespan=services.lifespan, routes=services.ROUTES, middleware=services.middleware())
