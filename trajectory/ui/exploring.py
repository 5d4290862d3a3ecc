"""The stage of Explore: the player with its panes, and the sound that a point of space means."""

from contextlib import suppress
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from trajectory import export, figures
from trajectory.catalogue import RunEntry, SongEntry
from trajectory.errors import TrajectoryError
from trajectory.features import Features
from trajectory.records import Floats
from trajectory.runs import Run
from trajectory.settings import Hue
from trajectory.ui import looking, place, player, scenes, taking, work
from trajectory.ui.services import library

HEIGHT = 560
PATIENCE = 0.3  # seconds that the page waits for what can come later
LOOK_SECONDS = 0.5

ABOUT = """
- **Play** and the comet flies along the path: what it has passed is bright, what is to come dim. Drag to turn, scroll to come closer.
- The frame in the **spectrogram** is the sound that the comet's point stands for.
- The **recurrence plot** is bright where two moments of the song lie close together in space; stripes beside the diagonal are loops. Click
  one to jump to where the music returned.
- Click a point of the path to hear it; click beside the path, and the network draws the half second that **would** lie there.
"""


@st.cache_resource(max_entries=16, show_spinner=False)
def _read(root: Path, run_id: str, added: float) -> Run:  # noqa: ARG001 - another library's, or one trained anew, is read anew
    return library().run(run_id)


def loaded(entry: RunEntry) -> Run:
    """The run, or the sentence that says why not."""
    try:
        return _read(library().root, entry.id, entry.added)
    except TrajectoryError as error:
        place.say(error)
        st.stop()


def heard(song: SongEntry, run: Run) -> Features | None:
    """What one hears in the part of the song that the run was made from; without it the page goes on, and looks again."""
    try:
        found = work.heard(song, run.settings.section, seconds=PATIENCE)
    except TrajectoryError as error:
        st.warning(f"The sound could not be looked at: {place.words(error)}", icon=":material/hearing_disabled:")
        return None
    if found is None:
        looking.fragment(_listen, LOOK_SECONDS)(song, run)
    return found


def _listen(song: SongEntry, run: Run) -> None:
    with suppress(TrajectoryError):
        if work.heard(song, run.settings.section, seconds=0) is None:
            st.caption("The sound is being looked at; its waveform, spectrogram and colours come in a moment.")
            return
    st.rerun()


@st.fragment
def stage(song: SongEntry, entry: RunEntry, run: Run, found: Features | None, hue: Hue) -> None:
    """The player; what is picked in it is drawn below."""
    colouring = export.coloured(run, hue, found)
    seen = player.player(
        (scenes.of_run(run, colouring, label=entry.label),),
        key="explore",
        sound=work.sound_address(song),
        span=scenes.span(run),
        colouring=scenes.scale(colouring),
        panes=scenes.panes(run, found) if found else None,
        view=place.view(),
        height=HEIGHT,
    )
    place.remember(seen)
    help_ = "Keeps this moment and camera: a film's camera can go from one such view to the next."
    st.button("Key view for a film", icon=":material/add_a_photo:", on_click=taking.remember_view, help=help_)
    if seen.picked is not None and st.session_state.setdefault(f"pick {seen.picked.serial}", entry.id) == entry.id:  # not another run's
        _meaning(run, np.array(seen.picked.point, np.float32))


def _meaning(run: Run, shown: Floats) -> None:
    """The spectrogram slice that the decoder draws for a point of space."""
    point = figures.unshown(shown[None], run.trajectory)
    try:
        slice_ = work.decoded(run, point)[0]
    except TrajectoryError as error:
        place.say(error)
        return
    away = float(np.linalg.norm(run.trajectory.points - point, axis=1).min())
    times = (np.arange(len(slice_)) + 0.5) * run.scaling.bin_seconds
    figure = go.Figure(go.Heatmap(z=slice_.T, x=times, y=run.scaling.frequencies, colorscale="Viridis", showscale=False))
    figure.update_layout(height=260, margin={"l": 0, "r": 0, "t": 0, "b": 0}, xaxis_title="seconds", yaxis_title="Hz")
    st.markdown(f"**What would sound there**, as the network draws it ({away:.3g} from the path)")
    st.plotly_chart(figure, config={"displayModeBar": False}, key="meaning")
