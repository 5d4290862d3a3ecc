"""Numbers about runs as pages show them, each with one line that says what it means."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from trajectory import structure
from trajectory.colouring import clock
from trajectory.divergence import Divergence
from trajectory.runs import Run
from trajectory.ui.services import library

NAMES = {
    "turn_cosine": "Smoothness",
    "period_seconds": "Period",
    "beat_bpm": "Beat",
    "path_length": "Length of the path",
    "radius": "Size",
    "lobe_count": "Regions",
}


@st.cache_data(max_entries=64, show_spinner=False)
def _shape(root: Path, run_id: str, _run: Run) -> structure.Shape:  # noqa: ARG001 - Streamlit keeps it by library and id
    return structure.shape(_run.trajectory, _run.song.beat)


def of_shape(run_id: str, run: Run) -> None:
    """The shape in numbers, the period beside the beat."""
    shape = _shape(library().root, run_id, run)
    says = {field.name: field.metadata["says"] for field in dataclasses.fields(shape)}
    with st.container(horizontal=True):
        for name, label in NAMES.items():
            st.metric(label, _said(name, getattr(shape, name)), help=says[name].capitalize() + ".", border=True, width="content")
    if shape.period_seconds and shape.beat_bpm:
        beats = shape.period_seconds * shape.beat_bpm / 60
        st.caption(f"The path comes back to itself after {shape.period_seconds:.2f} s: {beats:.2f} beats of this song.")
    elif not shape.period_seconds:
        st.caption("The path never comes back to itself closely enough to have a period.")
    parts = " · ".join(f"**{section.label}** {clock(section.start)} to {clock(section.stop)}" for section in shape.sections)
    st.caption(f"Sections ({says['sections']}): {parts}")


def _said(name: str, value: Any) -> str:
    if value is None:
        return "none"
    if name == "period_seconds":
        return f"{value:.2f} s"
    if name == "beat_bpm":
        return f"{value:.1f} bpm"
    return f"{value:.2f}" if name == "turn_cosine" else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def side_by_side(runs: Sequence[Run], ids: Sequence[str], labels: Sequence[str], told: Sequence[dict[str, Divergence]]) -> None:
    """Smoothness, reconstruction and forecasts of two runs of one song."""
    shapes = [_shape(library().root, run_id, run) for run_id, run in zip(ids, runs, strict=True)]
    rows: dict[str, list[str]] = {
        "Smoothness (mean cosine of one step with the next; 1 is straight)": [_number(shape.turn_cosine) for shape in shapes],
        "Reconstruction R (cross-entropy; lower is better)": [_drawn(run, run.training.reconstruction) for run in runs],
        "Gain over the mean spectrum (higher is better)": [_drawn(run, run.training.gain) for run in runs],
        "Period": [f"{shape.period_seconds:.2f} s" if shape.period_seconds else "none" for shape in shapes],
    }
    for method in [name for name in told[0] if all(name in each for each in told)]:
        rows[f"{method}: distance to the truth after 1, 10 and 29 steps"] = [
            ", ".join(f"{each[method].mean[step - 1]:.3f}" for step in (1, 10, 29)) for each in told
        ]
        rows[f"{method}: half of the forecasts hold for (NRMSE up to 0.4)"] = [
            f"{np.median(each[method].valid_steps) * each[method].step_seconds:.2f} s" for each in told
        ]
    st.caption("Forecasts are judged past-only, each axis scaled once to [0, 1] by what the forecasters know.")
    st.table({"": list(rows), **{label: [row[i] for row in rows.values()] for i, label in enumerate(labels)}})


def _drawn(run: Run, value: float) -> str:
    return "draws no sound" if run.settings.encoder else f"{value:.5f}"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"
