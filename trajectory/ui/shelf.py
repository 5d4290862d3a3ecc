"""What the Library page is made of: entries that can be opened, renamed and deleted, and brought back."""

import streamlit as st

from trajectory.audio import clock
from trajectory.catalogue import RunEntry, SongEntry
from trajectory.errors import TrajectoryError
from trajectory.ui import links, place
from trajectory.ui.services import deployment, jobs, library, own_library, visitors, visitors_secret

SHOWN = 100  # entries at once; a search finds the others


def found(search: str) -> list[SongEntry]:
    """What a search finds, the newest first."""
    songs = library().songs(search)
    if len(songs) > SHOWN:
        st.caption(f"The newest {SHOWN} of {len(songs)}; search for the others.")
    return songs[:SHOWN]


def entry(song: SongEntry) -> None:
    """One song, its runs and what can be done with them."""
    with st.container(border=True):
        words, opening, more = st.columns([6, 1, 1], vertical_alignment="center")
        words.markdown(f"**{place.plain(place.title(song))}**")
        length = clock(song.seconds) if song.seconds is not None else "of unknown length"
        words.caption(f"{length} · {song.runs} run{'' if song.runs == 1 else 's'} · {megabytes(song.bytes)} · {place.ago(song.added)}")
        target = place.EXPLORE if song.runs else place.LISTEN
        opening.page_link(target, label="Open", icon=":material/play_circle:", query_params={"song": song.id})
        with more.popover("More", width="stretch"):
            title = st.text_input("Title", song.title, key=f"title-{song.id}", max_chars=200)
            st.button("Rename", key=f"rename-{song.id}", on_click=_rename, args=(song.id,), disabled=not title.strip())
            runs = library().runs_of(song.id) if song.runs else []
            for run in runs:
                _run(song, run)
            links.of_song(song, runs)
            st.button(
                "Delete the song and its runs", key=f"delete-{song.id}", icon=":material/delete:", on_click=_delete_song, args=(song,)
            )


def _run(song: SongEntry, run: RunEntry) -> None:
    link, button = st.columns([4, 1], vertical_alignment="center")
    link.page_link(place.EXPLORE, label=f"{run.label} · {run.points} points", query_params={"song": song.id, "run": run.id})
    button.button("", key=f"delete-{run.id}", icon=":material/delete:", help=f"Delete {run.label}", on_click=_delete_run, args=(run,))


def undo() -> None:
    """What was deleted last can be brought back."""
    last: tuple[str, str, str] | None = st.session_state.get("deleted")
    problem = st.session_state.pop("problem", None)
    if problem:
        place.say(problem)
    if last is not None:
        words, button = st.columns([5, 1], vertical_alignment="center")
        words.info(f"Deleted: {place.plain(last[2])}. It can be brought back for ten minutes.", icon=":material/delete:")
        button.button("Undo", key="undo", on_click=_undo, width="stretch")


def disk_use() -> None:
    """How much room it all takes: of the quotas, or of this machine's disk, and where it lies."""
    may = deployment()
    if not may.shared:
        st.caption(f"{megabytes(library().disk_use())} on disk, in {place.plain(str(library().root))}")
        return
    own, under_way = own_library(), len(jobs().active())
    now = own.usage()
    st.caption(
        f"{megabytes(now.live_bytes)} of {megabytes(may.bytes)} · {now.seconds / 60:.1f} of {may.minutes:g} minutes of sound · "
        f"{under_way} of {may.jobs} pieces of work at once · {len(own.exports())} of {may.exports} exports within 24 hours. "
        f"Only you see your songs. They are kept until you have not been here for {may.idle_days:g} days, and known by a cookie of this "
        "browser: without it nobody comes to them again."
    )


def megabytes(size: int) -> str:
    """Bytes, as people read them."""
    return f"{size / 1e6:.1f} MB" if size < 1e9 else f"{size / 1e9:.2f} GB"


def _rename(song_id: str) -> None:
    _tried(lambda: library().rename(song_id, st.session_state[f"title-{song_id}"]))


def _delete_song(song: SongEntry) -> None:
    def delete() -> None:
        for run in library().runs_of(song.id):
            jobs().forget(run.id)
        library().delete_song(song.id)
        st.session_state["deleted"] = ("song", song.id, place.title(song))
        if st.session_state.get("song") == song.id:
            place.choose(None)

    _tried(delete)


def _delete_run(run: RunEntry) -> None:
    def delete() -> None:
        library().delete_run(run.id)
        jobs().forget(run.id)
        st.session_state["deleted"] = ("run", run.id, run.label)

    _tried(delete)


def _undo() -> None:
    kind, name, _ = st.session_state.pop("deleted")
    _tried(lambda: library().restore_song(name) if kind == "song" else library().restore_run(name))


def _tried(change: object) -> None:
    try:
        change()  # type: ignore[operator]
    except TrajectoryError as error:
        st.session_state["problem"] = str(error)


def forgetting() -> None:
    """The way to be gone: everything of a visitor at once, and for good."""
    if not deployment().shared:
        return
    with st.popover("Forget me", icon=":material/person_remove:"):
        st.markdown(
            "Deletes **all that is yours here, at once and for good**: songs, runs, films and links. Nothing of it can be brought back."
        )
        st.button("Delete all that is mine", key="forget-me", type="primary", on_click=_forget)
    if st.session_state.pop("forgotten", False):
        st.success("All that was yours is deleted. The next page that you load knows nothing of you.", icon=":material/check:")


def _forget() -> None:
    secret = visitors_secret()
    for job in jobs().active():
        job.cancel()
    if secret is not None:
        try:
            visitors().forget(secret)
        except TrajectoryError as error:
            st.session_state["problem"] = str(error)
            return
    st.session_state.clear()
    st.session_state["forgotten"] = True
