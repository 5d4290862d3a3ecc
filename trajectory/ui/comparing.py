"""The stage of Compare: two runs of one song in step, and the settings from which another can be trained."""

import dataclasses
from typing import get_args

import streamlit as st

from trajectory import export
from trajectory.catalogue import RunEntry, SongEntry
from trajectory.errors import TrajectoryError
from trajectory.library import run_id
from trajectory.queueing import Job
from trajectory.runs import Run
from trajectory.settings import (
    PRESETS,
    Device,
    LossSettings,
    ModelSettings,
    Scale,
    Settings,
    SpectrogramSettings,
    TrainingSettings,
    WindowSettings,
    preset,
)
from trajectory.ui import exploring, looking, numbers, place, player, scenes, training, work
from trajectory.ui.services import library

HEIGHT = 480
LOOK_SECONDS = 0.4
WINDOWS = (0.25, 0.5, 1.0, 2.0, 4.0)
MEASURED = work.Question(methods=("knn", "default"), protocol="past-only", steps=29)

ABOUT = """
Two networks were trained on the same song, and the comet flies through both at once. The second path is turned, moved and scaled onto
the first (Procrustes), since a network is free to choose how its space lies. The forecasts below are judged **past-only**: forecasters
know the first 70 % of the path, and each axis is scaled to [0, 1] by what that part spans, so that a larger path is no worse for it.
"""


def other(song: SongEntry, first: RunEntry) -> RunEntry | Job:
    """The run on the right: one that was chosen, else the first's counterpart, trained if it is missing."""
    settings = wanted(song, first)
    chosen = next((each for each in library().runs_of(song.id) if each.id == st.query_params.get("against") != first.id), None)
    if chosen is not None and _key(song) not in st.session_state:
        return chosen
    (found,) = training.begin(song, [settings])
    if not isinstance(found, Job):
        st.session_state.pop(_key(song), None)
        place.write({"against": found.id})
    return found


def wanted(song: SongEntry, first: RunEntry) -> Settings:
    """What is trained for the right: what was asked for below, else what conditioning is to be judged against."""
    asked: Settings | None = st.session_state.get(_key(song))
    if asked is not None and run_id(song.id, asked) != first.id:
        return asked
    settings = exploring.loaded(first).settings
    if settings.encoder:
        return preset("conditioned", section=settings.section)
    like = preset("pure" if first.preset != "pure" else "conditioned")
    return dataclasses.replace(
        settings, partner="", loss=like.loss, model=dataclasses.replace(settings.model, horizons=like.model.horizons)
    )


def _key(song: SongEntry) -> str:
    return f"against-settings {song.id}"


def chooser(song: SongEntry, first: RunEntry, second: RunEntry | Job) -> None:
    """Which run stands on the right."""
    labels = {each.id: each.label for each in library().runs_of(song.id) if each.id != first.id}
    if not labels:
        return
    shown = second.id if isinstance(second, RunEntry) else None
    key = f"against-{first.id}-{shown}-{len(labels)}"
    index = list(labels).index(shown) if shown else None
    hint = "one is being trained; or choose"
    names = labels.__getitem__
    st.selectbox("Against", list(labels), index=index, format_func=names, key=key, placeholder=hint, on_change=_turn_to, args=(song, key))


def _turn_to(song: SongEntry, key: str) -> None:
    st.session_state.pop(_key(song), None)
    place.write({"against": st.session_state[key]})


def waiting(song: SongEntry, first: RunEntry) -> None:
    """Follows the missing model's training; the page goes on when it is there."""
    settings = wanted(song, first)

    def look() -> None:
        (found,) = training.begin(song, [settings])
        if isinstance(found, RunEntry):
            st.rerun()
        training.status(song, settings, found)

    looking.fragment(look, LOOK_SECONDS)()


@st.fragment
def stage(song: SongEntry, one: Run, two: Run, labels: tuple[str, str]) -> None:
    """Both paths, one sound, cameras linked."""
    colourings = [export.coloured(run, "time", None) for run in (one, two)]
    left = scenes.of_run(one, colourings[0], label=labels[0])
    try:
        right = scenes.aligned(two, one, colourings[1], label=labels[1])
    except TrajectoryError as error:
        st.warning(f"The two are shown as they are: {place.words(error)}", icon=":material/info:")
        right = scenes.of_run(two, colourings[1], label=labels[1])
    seen = player.player(
        (left, right),
        key="compare",
        sound=work.sound_address(song),
        span=scenes.span(one),
        colouring=scenes.scale(colourings[0]),
        view=place.view(),
        height=HEIGHT,
    )
    place.remember(seen)


def measured(entries: tuple[RunEntry, RunEntry], runs: tuple[Run, Run]) -> None:
    """The numbers of both, the forecasts as soon as they are there."""
    asked = [work.begin_divergence(entry, MEASURED, owner=place.owner()) for entry in entries]

    def table() -> None:
        ready = all(job.ended for job in asked)
        told = [work.divergences(job)[0] for job in asked]
        numbers.side_by_side(runs, [entry.id for entry in entries], [entry.label for entry in entries], told)
        sentences = [*(job.error or "" for job in asked if job.state == "failed")]
        sentences += [sentence for job in asked for sentence in work.divergences(job)[1].values()]
        for sentence in dict.fromkeys(sentences):
            st.warning(f"No forecasts to compare: {place.plain(sentence)}", icon=":material/info:")
        if not ready:
            st.caption(":material/hourglass_top: The forecasts are being made and judged …")
        elif running:
            st.rerun()

    running = not all(job.ended for job in asked)
    looking.fragment(table, LOOK_SECONDS if running else None)()


def advanced(song: SongEntry, left: RunEntry, like: Run) -> None:
    """Everything that can be set of a training; what it makes stands on the right."""
    now = like.settings
    with st.expander("Train another", icon=":material/tune:"), st.form("advanced", border=False):
        first, second, third = st.columns(3)
        name = first.selectbox("Preset", list(PRESETS), index=list(PRESETS).index("pure"), help="Gives the weights that are left empty.")
        at = WINDOWS.index(now.window.seconds) if now.window.seconds in WINDOWS else WINDOWS.index(0.5)
        window = first.selectbox("Window (seconds)", WINDOWS, index=at)
        scale: Scale = first.selectbox("Scale of the spectrogram", get_args(Scale))
        dims = second.number_input("Dimensions", 2, 32, now.model.dims)
        history = second.number_input("History of the branch, l (points)", 1, 1_000, now.model.history)
        horizons = second.text_input("Horizons (steps)", placeholder="the preset's, like 1,2,4,8")
        steps = third.number_input("Steps (0: by the song's length)", 0, 5_000, 0)
        seed = third.number_input("Seed", 0, 2**31 - 1, 0)
        device: Device = third.selectbox("Device", get_args(Device))
        st.markdown("**Loss weights.** Leave a term empty for the preset's weight; 0 switches it off.")
        weights = {
            field: column.number_input(label, 0.0, 10.0, None, format="%g", key=f"weight-{field}")
            for (field, label), column in zip(_terms(), st.columns(len(_terms())), strict=True)
        }
        if st.form_submit_button("Train and put it on the right", type="primary"):
            try:
                chosen = preset(
                    name,
                    section=now.section,
                    window=WindowSettings(seconds=window),
                    spectrogram=SpectrogramSettings(scale=scale),
                    model=ModelSettings(dims=int(dims), history=int(history)),
                    training=TrainingSettings(steps=int(steps) or None, seed=int(seed), device=device),
                )
                loss = dataclasses.replace(chosen.loss, **{field: value for field, value in weights.items() if value is not None})
                model = chosen.model if not horizons else dataclasses.replace(chosen.model, horizons=_steps(horizons))
                asked = dataclasses.replace(chosen, loss=loss, model=model)
            except (TrajectoryError, ValueError) as error:
                place.say(error)
                return
            if run_id(song.id, asked) == left.id:
                st.info("These are the settings of the run on the left.", icon=":material/info:")
                return
            training.again(song, asked)
            st.session_state[_key(song)] = asked
            st.rerun()


def _terms() -> tuple[tuple[str, str], ...]:
    """The loss terms, with the letters by which they are known."""
    letters = {"reconstruction": "beta", "forecast": "alpha", "off_centre": "gamma", "curvature": "delta", "kl": "kappa"}
    return tuple((field.name, f"{letters[field.name]}: {field.name.replace('_', ' ')}") for field in dataclasses.fields(LossSettings))


def _steps(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"'{text}' are no horizons; write steps like 1,2,4,8") from None
