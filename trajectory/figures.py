"""Records -> Plotly figures. Draws what it is given; computes nothing but what the eye needs."""

import itertools
from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go

from trajectory.divergence import Divergence
from trajectory.geometry import principal_coordinates
from trajectory.records import Trajectory

BACKGROUND = "#0b0b12"
QUIET = "#262838"
TIME_COLOURS = [  # from early to late; told apart by lightness alone, whatever the eye
    [0.0, "#3d4fd1"],
    [0.25, "#2a9fd6"],
    [0.5, "#35c9a5"],
    [0.75, "#c9d94a"],
    [1.0, "#ffd9a0"],
]
LINE_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")  # Okabe and Ito's, for every eye


def scene(trajectory: Trajectory, *, title: str = "") -> go.Figure:
    """The path through space, coloured by time: its own points, turned onto their widest axes, one scale for all."""
    places = principal_coordinates(trajectory.points)
    x, y, z = np.pad(places, ((0, 0), (0, 3 - places.shape[1]))).T
    line = {"color": trajectory.times, "colorscale": TIME_COLOURS, "width": 3, "showscale": False}
    figure = go.Figure(
        go.Scatter3d(x=x, y=y, z=z, mode="lines", line=line, hovertemplate="%{text}<extra></extra>", text=_moments(trajectory))
    )
    axis = {
        "showbackground": False,
        "showticklabels": False,
        "title": "",
        "gridcolor": QUIET,
        "zeroline": False,
        "showspikes": False,
        "nticks": 2,
    }
    figure.update_layout(
        title={"text": title, "font": {"color": "#d8dae6", "size": 18}, "x": 0.03, "y": 0.95},
        paper_bgcolor=BACKGROUND,
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
        scene={"xaxis": axis, "yaxis": axis, "zaxis": axis, "aspectmode": "data", "camera": {"eye": {"x": 1.1, "y": 1.1, "z": 0.8}}},
    )
    return figure


def _moments(trajectory: Trajectory) -> list[str]:
    return [f"{int(time // 60)}:{time % 60:05.2f}" for time in trajectory.times]


def divergence_curves(curves: Mapping[str, Divergence], *, beat_seconds: float | None, protocol: str) -> go.Figure:
    """Mean distance to the truth by step, with bands of one standard error; seconds, and beats where there are any, in the words."""
    figure = go.Figure()
    for (name, found), colour in zip(curves.items(), itertools.cycle(LINE_COLOURS), strict=False):
        steps = np.arange(1, len(found.mean) + 1)
        low, high = found.mean - found.standard_error, found.mean + found.standard_error
        band = {"x": [*steps, *steps[::-1]], "y": [*high, *low[::-1]], "fill": "toself", "line": {"width": 0}, "hoverinfo": "skip"}
        figure.add_scatter(**band, fillcolor=colour, opacity=0.2, showlegend=False, legendgroup=name)
        moments = [_lengths(step * found.step_seconds, beat_seconds) for step in steps]
        figure.add_scatter(x=steps, y=found.mean, name=name, text=moments, line={"color": colour}, legendgroup=name)
    figure.update_traces(hovertemplate="%{y:.3f} after %{text}", selector={"showlegend": None})
    figure.update_layout(
        title=protocol,
        xaxis_title="steps ahead",
        yaxis_title="mean distance to the truth",
        yaxis_rangemode="tozero",
        template="plotly_white",
    )
    return figure


def _lengths(seconds: float, beat_seconds: float | None) -> str:
    return f"{seconds:.2f} s" + (f", {seconds / beat_seconds:.2f} beats" if beat_seconds else "")
