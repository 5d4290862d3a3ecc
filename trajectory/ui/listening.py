"""The stage of Listen: a preview at once, the path as it forms, and the finished one with its sound."""

from collections.abc import Sequence
from contextlib import suppress

import streamlit as st

from trajectory import export
from trajectory.catalogue import RunEntry, SongEntry
from trajectory.errors import TrajectoryError
from trajectory.queueing import Job
from trajectory.records import Trajectory
from trajectory.settings import Settings
from trajectory.ui import exploring, looking, place, player, scenes, training, work

HEIGHT = 560
LOOK_SECONDS = 0.8  # between two looks at a training: each takes from it where there are few cores
KEY = "listen"
PREVIEW_NOTE = "Preview: principal components of the sound. Nothing is trained yet."


def stage(song: SongEntry, wanted: Sequence[Settings]) -> None:
    """Everything of one song; looks again by itself for as long as something is under way."""
    if work.is_new(song, wanted[0]):
        _looked(song, wanted[0])  # before its trainings take the processors
    found = training.begin(song, wanted)
    active = bool(work.running(found))
    if active:
        with suppress(TrajectoryError):  # which Explore would say
            work.begin_heard(song, wanted[0].section)  # what Explore needs is there before it is opened
    looking.fragment(_stage, LOOK_SECONDS if active else None)(song, tuple(wanted), active)


def _stage(song: SongEntry, wanted: Sequence[Settings], active: bool) -> None:
    found = training.begin(song, wanted)
    if active != bool(work.running(found)):
        st.rerun()  # the whole page: from now on it looks again by itself, or need not any more
    _scene(song, wanted[0], found[0])
    with st.container():
        for settings, each in zip(wanted, found, strict=True):
            training.status(song, settings, each)
    if isinstance(found[0], RunEntry):
        place.choose(song.id, found[0].id)
        with st.container(horizontal=True):
            query = {"song": song.id, "run": found[0].id}
            st.page_link(place.EXPLORE, label="Explore it", icon=":material/explore:", query_params=query)
            st.page_link(place.COMPARE, label="Compare with the pure network", icon=":material/compare:", query_params=query)
            st.page_link(place.FORECAST, label="Where does it go next?", icon=":material/timeline:", query_params=query)


def _scene(song: SongEntry, settings: Settings, wanted: RunEntry | Job) -> None:
    try:
        if isinstance(wanted, RunEntry):
            _finished(song, wanted)
        elif wanted.snapshot is not None and not wanted.ended:
            _live(song, settings, wanted)
        else:
            _preview(song, settings)
    except TrajectoryError as error:
        place.say(error)


def _finished(song: SongEntry, entry: RunEntry) -> None:
    run = exploring.loaded(entry)
    colouring = export.coloured(run, "time", None)
    seen = player.player(
        (scenes.of_run(run, colouring, label=entry.label),),
        key=KEY,
        sound=work.sound_address(song),
        span=scenes.span(run),
        colouring=scenes.scale(colouring),
        forming=scenes.forming(run),
        view=place.view(),
        height=HEIGHT,
    )
    place.remember(seen)


def _live(song: SongEntry, settings: Settings, job: Job) -> None:
    assert job.snapshot is not None  # noqa: S101 - looked at by the caller
    points, times = job.snapshot
    key = f"shown {job.key}"
    scene = scenes.of_points(points, times, label=f"{settings.preset}, forming", before=st.session_state.get(key))
    st.session_state[key] = scene.lines[0].points
    _show(song, scene, live=True)


def _preview(song: SongEntry, settings: Settings) -> None:
    path = _looked(song, settings)
    if isinstance(path, str):
        place.say(path)
    else:
        _show(song, scenes.of_points(path.points, path.times, label="preview", note=PREVIEW_NOTE), live=False)


def _looked(song: SongEntry, settings: Settings) -> Trajectory | str:
    """The first look at a song, or the sentence that says why there is none."""
    key = f"preview {song.id} {settings.fingerprint()}"
    if key not in st.session_state:
        try:
            st.session_state[key] = work.preview(song, settings)
        except TrajectoryError as error:
            st.session_state[key] = str(error)
    found: Trajectory | str = st.session_state[key]
    return found


def _show(song: SongEntry, scene: player.Scene, *, live: bool) -> None:
    times = scene.lines[0].times
    low, high = float(times[0]), float(times[-1])
    colouring = scenes.time_scale(low, high)
    player.player(
        (scene,),
        key=KEY,
        sound=work.sound_address(song),
        span=(low, high),
        colouring=colouring,
        view=place.view(),
        height=HEIGHT,
        live=live,
    )
