"""Two songs in one space: both paths of a network that was trained on the pair, on the same axes."""

import streamlit as st

from trajectory import export, figures
from trajectory.catalogue import RunEntry, SongEntry
from trajectory.colouring import Colouring
from trajectory.errors import TrajectoryError
from trajectory.queueing import Job
from trajectory.records import Trajectory
from trajectory.runs import Run
from trajectory.ui import exploring, looking, place, player, scenes, work

HEIGHT = 480
LOOK_SECONDS = 0.5
OTHER = "#e69f00"


def stage(one: SongEntry, other: SongEntry) -> None:
    """Both paths, trained when somebody asks for it."""
    slot = "pair " + " ".join(sorted((one.id, other.id)))
    asked = st.session_state.get(slot)
    if asked is None and not st.button(
        "Put both into one space", icon=":material/join_inner:", help="Trains one network on the two songs."
    ):
        return
    st.session_state[slot] = True
    try:
        found = work.begin_pair(one, other, owner=place.owner())
    except TrajectoryError as error:
        place.say(error)
        return
    if isinstance(found, Job):
        looking.fragment(_follow, None if found.ended else LOOK_SECONDS)(found)
    else:
        _drawn((one, other), found)


def _follow(job: Job) -> None:
    if job.state == "done":
        st.rerun()
    if job.ended:
        place.say(job.error or "cancelled")
        return
    about = job.progress
    if about is None:
        share, words = 0.0, f"waiting, place {job.place} in the queue" if job.place else "reading the songs"
    else:
        share, words = about["step"] / about["steps"], f"step {about['step']} of {about['steps']}, {about['seconds_left']:.0f} s left"
    place.progress(share, words, job.cancel, key=f"cancel {job.key}")


def _drawn(songs: tuple[SongEntry, SongEntry], entries: tuple[RunEntry, RunEntry]) -> None:
    heard = st.radio("Sound", (0, 1), format_func=lambda which: place.plain(songs[which].title), horizontal=True, key="pair-sound")
    runs = [exploring.loaded(entry) for entry in entries]
    space = runs[0].trajectory
    colourings = [export.coloured(run, "time", None) for run in runs]
    panels = [_scene(runs[i], runs[1 - i], colourings[i], space, songs[i], songs[1 - i]) for i in (heard, 1 - heard)]
    player.player(
        (panels[0], panels[1]),
        key="together",
        sound=work.sound_address(songs[heard]),
        span=scenes.span(runs[heard]),
        colouring=scenes.scale(colourings[heard]),
        height=HEIGHT,
    )
    st.caption("One network was trained on both, so a place means the same sound on either side; the other song's path is drawn in orange.")


def _scene(run: Run, other: Run, colouring: Colouring, space: Trajectory, song: SongEntry, beside: SongEntry) -> player.Scene:
    own = player.Line(points=figures.shown(run.trajectory.points, space), times=run.trajectory.times, kind="path", values=colouring.values)
    others = player.Line(
        points=figures.shown(other.trajectory.points, space), times=other.trajectory.times, kind="truth", name=beside.title, colour=OTHER
    )
    return player.Scene(label=song.title, lines=(own, others))
