"""Links that share a song or a run: made and taken back in the Library, and what whoever opens one may look at."""

from urllib.parse import urlencode, urlsplit

import streamlit as st

from trajectory.catalogue import RunEntry, SongEntry
from trajectory.errors import TrajectoryError
from trajectory.sharing import READ_ONLY, Share, SharedLibrary, SharingError
from trajectory.ui import place, services

LOOKED_AT = ("Explore", "Compare", "Forecast", "About")  # the pages that change nothing


def check(page: str) -> None:
    """Ends the page with one sentence where whoever asks has no library, or looks at somebody else's and this page would change it."""
    try:
        kept = services.asked_library()
    except TrajectoryError as error:
        st.error(place.words(error), icon=":material/error:")
        if isinstance(error, SharingError):
            _way_back()
        elif isinstance(error, services.VisitorError) and st.context.url:
            st.link_button("Open it in a tab of its own", st.context.url)
        st.stop()
    if isinstance(kept, SharedLibrary):
        _looked_at(page)


def _looked_at(page: str) -> None:
    arrives = services.SHARED not in st.session_state
    token = st.session_state[services.SHARED] = services.shared_token()
    if arrives and page not in LOOKED_AT:
        st.switch_page(place.EXPLORE, query_params={services.SHARED: token or ""})
    place.write({services.SHARED: token})
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(":material/share: Somebody shared this with you: you can look at it and hear it." if page in LOOKED_AT else "")
        _way_back()
    if page not in LOOKED_AT:
        st.info(f"{READ_ONLY[:1].upper()}{READ_ONLY[1:]}.", icon=":material/share:")
        st.page_link(place.EXPLORE, label="Look at it in Explore", icon=":material/explore:")
        st.stop()


def _way_back() -> None:
    st.button("Go to your own songs", icon=":material/library_music:", on_click=_leave)


def _leave() -> None:
    st.session_state.pop(services.SHARED, None)
    place.write({services.SHARED: None})
    place.choose(None)


# --- In the owner's library


def of_song(song: SongEntry, runs: list[RunEntry]) -> None:
    """What is shared of a song, and the buttons for more."""
    if not services.deployment().shared:
        return
    labels: dict[str | None, str] = {None: "the song with all its runs", **{run.id: run.label for run in runs}}
    what = st.selectbox("Share by a link", list(labels), format_func=labels.__getitem__, key=f"what-{song.id}")
    st.button("Make a link", key=f"share-{song.id}", icon=":material/share:", on_click=_make, args=(song.id, what), disabled=not runs)
    fresh = st.session_state.get(f"link-{song.id}")
    if fresh:
        st.caption("Copy it now: it is shown only here. Whoever has it can look at this and hear it.")
        st.code(fresh, language=None)
    for share in services.visitors().shares.of(services.own_library().name):
        if share.song == song.id:
            words, button = st.columns([3, 2], vertical_alignment="center")
            words.caption(f"Shared {place.ago(share.made)}: {place.plain(labels.get(share.run, 'a run'))}")
            button.button("Take back", key=f"unshare-{share.digest}", on_click=_take_back, args=(share,), width="stretch")


def _make(song: str, run: str | None) -> None:
    try:
        token = services.visitors().shares.make(services.own_library().name, song, run)
    except TrajectoryError as error:
        st.session_state["problem"] = str(error)
        return
    here = urlsplit(st.context.url or "")
    site = f"{here.scheme}://{here.netloc}" if here.netloc else ""
    st.session_state[f"link-{song}"] = f"{site}{services.BASE}/explore?{urlencode({services.SHARED: token})}"


def _take_back(share: Share) -> None:
    services.visitors().shares.end(services.own_library().name, digest=share.digest)
    st.session_state.pop(f"link-{share.song}", None)
