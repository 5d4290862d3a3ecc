"""The stage of Forecast: paths that were foretold, drawn over what came, and how fast they part from it."""

import dataclasses
from typing import get_args

import numpy as np
import streamlit as st

from trajectory import export, figures
from trajectory.catalogue import RunEntry, SongEntry
from trajectory.colouring import clock
from trajectory.divergence import Divergence, ProtocolName
from trajectory.queueing import Job
from trajectory.records import Forecast
from trajectory.report import PROTOCOL_WORDS
from trajectory.rhythm import Beat
from trajectory.runs import Run
from trajectory.settings import FORECASTERS
from trajectory.ui import exploring, looking, place, player, scenes, work
from trajectory.ui.services import library

HEIGHT = 520
LOOK_SECONDS = 0.3
USUAL = ["default", "knn", "ensemble"]
JUDGED = ["default", "knn", "mean", "persistence"]

KNOWN = "What a forecaster may know of the path: past-only, what came before the start; leave-segment-out, all but what it foretells."
JUDGED_HOW = "Mean distance over starts, ± standard error; each axis is scaled once to [0, 1] by what the library spans."

ABOUT = """
From the chosen moment on, each forecaster says where the path goes, knowing **only what its protocol allows**; white is what came.

- *knn* follows the five nearest points, as published in 2021; *delay-knn* compares about a second of history instead of one point
- *smap* fits a linear map to what lies near; *mlp*, *lstm* and *causal* are networks trained on the path; *branch* is the song's own
- *ensemble* is a fan of forecasts from parts of what is known; *default* mixes several by what proved best
- *persistence* (nothing moves) and *mean* (straight to the middle) are the baselines to beat
"""


def chooser(run: Run) -> work.Question:
    """Where from, how far, by whom."""
    first, last = float(run.trajectory.times[0]), float(run.trajectory.times[-1])
    where, dice = st.columns([6, 1], vertical_alignment="bottom")
    if dice.button("Random", icon=":material/casino:", width="stretch"):
        st.session_state["start"] = float(np.random.default_rng().uniform(first + (last - first) / 2, last))
    asked = st.session_state.pop("asked", None) or st.session_state.get("start") or place.number("from")
    here = asked or first + 0.7 * (last - first)
    st.session_state["start"] = min(max(here, first), last)
    start = where.slider(
        "From (seconds)", first, last, key="start", step=0.05, help="Or click a moment in the picture, and press the button below it."
    )
    left, middle, right = st.columns([3, 2, 1])
    methods = left.multiselect("Forecasters", FORECASTERS, default=USUAL, key="methods")
    protocol = middle.selectbox("Protocol", ("past-only", "leave-segment-out"), key="protocol", help=KNOWN)
    steps = right.number_input("Steps", 1, 2_000, 100, key="steps")
    if not methods:
        st.info("Choose at least one forecaster.", icon=":material/timeline:")
        st.stop()
    return work.Question(methods=tuple(methods), protocol=protocol, steps=int(steps), starts=(float(start),))


def stage(song: SongEntry, entry: RunEntry, run: Run, question: work.Question) -> bool:
    """The forecasts over the path; they appear when they are made. Gives whether they are."""
    job = work.begin_forecast(entry, question, owner=place.owner())
    _only(job, "forecast-job")
    place.write({"from": f"{question.starts[0]:.2f}"})
    looking.fragment(_stage, None if job.ended else LOOK_SECONDS)(song, run, question, job, job.ended)
    return job.ended


def _only(job: Job, slot: str) -> None:
    """What was asked for before and is not there yet is not wanted any more."""
    former: Job | None = st.session_state.get(slot)
    if former is not None and former is not job and not former.ended:
        former.cancel()
    st.session_state[slot] = job


def _stage(song: SongEntry, run: Run, question: work.Question, job: Job, ended: bool) -> None:
    if job.ended and not ended:
        st.rerun()
    told, refused = work.forecasts(job)
    colouring = export.coloured(run, "time", None)
    seen = player.player(
        (scenes.of_run(run, colouring, label=f"{question.protocol}, from {clock(question.starts[0])}", forecasts=told),),
        key="forecast",
        sound=work.sound_address(song),
        span=scenes.span(run),
        colouring=scenes.scale(colouring),
        view=dataclasses.replace(
            place.view(), time=max(question.starts[0] - 1.0, float(run.trajectory.times[0])), serial=round(question.starts[0] * 1000)
        ),
        height=HEIGHT,
    )
    place.remember(seen)
    if st.button("Forecast from where the comet is", icon=":material/my_location:"):
        st.session_state["asked"] = seen.time
        st.rerun()
    for sentence in refused.values():
        st.warning(place.plain(sentence), icon=":material/info:")
    if job.state == "failed":
        place.say(job.error or "this forecast failed")
        st.button("Try again", on_click=work.forget, args=(job,), key="forecast-again")
    elif not job.ended:
        st.caption(":material/hourglass_top: The forecasters are learning what they may know …")
    else:
        _legend(told)
    st.caption(_known(run, question.protocol))


def _known(run: Run, protocol: str) -> str:
    """What forecasters may know is not all: the space itself was made by a network that heard something."""
    until = run.settings.training.until
    saw = "the whole song" if until >= 1 else f"the first {until:.0%} of the song"
    window = run.settings.window.seconds
    return (
        f"Protocol {protocol}. The encoder, and the branch with it, was trained on {saw}. A point stands for {window:g} s of sound "
        f"around its moment, so the last one known has heard {window / 2:g} s more than the start."
    )


def _legend(told: list[Forecast]) -> None:
    colours = dict(zip((each.method for each in told), figures.FORECAST_COLOURS * len(told), strict=False))
    words = []
    for each in told:
        away = np.linalg.norm(each.path[: len(each.truth)] - each.truth, axis=1)
        mean = f" (mean distance {away.mean():.3g})" if len(away) else ""
        words.append(f"<span style='color:{colours[each.method]}'>●</span> {each.method}{mean}")
    st.html("<span style='color:#888'>○</span> what came &nbsp; " + " &nbsp; ".join(words))


def divergence(song: SongEntry, entry: RunEntry, *, looks: bool) -> None:
    """How fast forecasts part from the truth, for the chosen methods, runs and protocol. One part of a page looks again at a time."""
    st.subheader("How fast do they part from the truth?", anchor=False)
    labels = {each.id: each.label for each in library().runs_of(song.id)}
    left, middle, right = st.columns([3, 3, 2])
    methods = left.multiselect("Forecasters", FORECASTERS, default=JUDGED, key="judged")
    runs = middle.multiselect("Runs", list(labels), default=[entry.id], format_func=labels.__getitem__, key=f"judged-runs-{entry.id}")
    protocol: ProtocolName = right.selectbox("Protocol", get_args(ProtocolName), index=1, key="judged-protocol")
    unit: figures.Unit = st.segmented_control("Ahead in", get_args(figures.Unit), default="seconds", key="unit", required=True)
    if not (methods and runs):
        return
    question = work.Question(methods=tuple(methods), protocol=protocol, steps=29)
    asked = {each: work.begin_divergence(library().run_entry(each), question, owner=place.owner()) for each in runs}
    ended = all(job.ended for job in asked.values())
    beats = {each: exploring.loaded(library().run_entry(each)).song.beat for each in runs}

    def curves() -> None:
        if not ended and all(job.ended for job in asked.values()):
            st.rerun()
        _curves(asked, beats, labels, protocol, unit)

    looking.fragment(curves, LOOK_SECONDS if looks and not ended else None)()


def _curves(
    asked: dict[str, Job], beats: dict[str, Beat | None], labels: dict[str, str], protocol: ProtocolName, unit: figures.Unit
) -> None:
    found: list[figures.Curve] = []
    for each, job in asked.items():
        beat = beats[each]
        told, refused = work.divergences(job)
        for method, sentence in refused.items():
            st.warning(f"{method} on {labels[each]}: {place.plain(sentence)}", icon=":material/info:")
        if job.state == "failed":
            place.say(f"{labels[each]}: {job.error}")
            st.button("Try again", on_click=work.forget, args=(job,), key=f"again-{each}")
        for method, divergence_ in told.items():
            seconds = beat.seconds if beat else None
            found.append(figures.Curve(method=method, run=labels[each], divergence=divergence_, beat_seconds=seconds))
    if any(not job.ended for job in asked.values()):
        st.caption(":material/hourglass_top: Forecasts are being made and judged …")
    if not found:
        return
    known = unit if all(curve.along(unit) is not None for curve in found) else "seconds"
    figure = figures.divergence_curves(found, protocol="", unit=known)
    figure.update_layout(height=380, margin={"l": 0, "r": 0, "t": 10, "b": 0})
    st.plotly_chart(figure, key="divergence")
    st.markdown(_sentence(found))
    missing = sum(curve.divergence.missing for curve in found)
    silent = f" {missing} forecasts came to no number, for want of neighbours or of a past, and are left out." if missing else ""
    st.caption(f"Protocol {PROTOCOL_WORDS[protocol]}. {JUDGED_HOW}{silent}")


def _sentence(found: list[figures.Curve]) -> str:
    """What the plot says, in words."""

    def last(curve: figures.Curve) -> float:
        return float(curve.divergence.mean[-1])

    def valid(divergence_: Divergence) -> float:
        return float(np.median(divergence_.valid_steps)) * divergence_.step_seconds

    best = min(found, key=lambda curve: float(np.nanmean(curve.divergence.nrmse)))  # it can be compared between spaces
    seconds = len(best.divergence.mean) * best.divergence.step_seconds
    words = f"Over {seconds:.2f} s **{best.method}** on *{best.run}* stays nearest to the truth: {last(best):.3f} away at the end"
    same = {curve.method: curve for curve in found if curve.run == best.run}
    if "persistence" in same and best.method != "persistence":
        words += f", where standing still is {last(same['persistence']):.3f} away"
    return words + f". Half of its forecasts hold for {valid(best.divergence):.2f} s or longer."
