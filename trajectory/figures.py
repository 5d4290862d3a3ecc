"""Records -> Plotly figures. Draws what it is given; computes nothing but what the eye needs."""

import io
import itertools
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from trajectory.colouring import ALONG, clock
from trajectory.divergence import Divergence
from trajectory.geometry import align, principal_axes
from trajectory.records import Floats, Forecast, Forming, Trajectory

BACKGROUND = "#0b0b12"
QUIET = "#262838"
FORECAST_COLOURS = ("#ff9d5c", "#f78fd0", "#7ad7ff", "#e8e36b", "#8df0b8")  # bright enough for the dark scene
DASHES = ("solid", "dash", "dot", "dashdot")
LINE_COLOURS = (  # Okabe and Ito's, for every eye, and four more
    *("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"),
    *("#8c6d31", "#7f7f7f", "#9467bd", "#17becf"),
)


def scene(trajectory: Trajectory, *, title: str = "") -> go.Figure:
    """The path through space, coloured by time: its own points, turned onto their widest axes, one scale for all."""
    x, y, z = shown(trajectory.points, trajectory).T
    line = {"color": trajectory.times, "colorscale": [list(stop) for stop in ALONG], "width": 3, "showscale": False}
    figure = go.Figure(
        go.Scatter3d(
            x=x, y=y, z=z, mode="lines", line=line, hovertemplate="%{text}<extra></extra>", text=[clock(time) for time in trajectory.times]
        )
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


def shown(points: Floats, trajectory: Trajectory) -> Floats:
    """Points of a trajectory's own space, as its scene shows them: (n, dims) -> (n, 3)."""
    centre, axes = principal_axes(trajectory.points)
    turned = (np.asarray(points, dtype=np.float64) - centre) @ axes
    return np.asarray(np.pad(turned, ((0, 0), (0, 3 - turned.shape[1]))), dtype=np.float32)


def unshown(places: Floats, trajectory: Trajectory) -> Floats:
    """Places of a scene in the trajectory's own space, (n, 3) -> (n, dims); dimensions that are not shown rest at their mean."""
    centre, axes = principal_axes(trajectory.points)
    return np.asarray(np.asarray(places, np.float64)[:, : axes.shape[1]] @ axes.T + centre, dtype=np.float32)


def formed(forming: Forming) -> Floats:
    """The snapshots of a forming, seen as the last of them is: (snapshots, points, 3)."""
    last = Trajectory(points=forming.points[-1], times=forming.times)
    return shown(forming.points.reshape(-1, last.dims), last).reshape(*forming.points.shape[:2], 3)


def laid_over(trajectory: Trajectory, reference: Trajectory) -> Trajectory:
    """A second path turned, moved and scaled onto the first, in as many dimensions as that one has."""
    found = align(trajectory, reference).trajectory
    points = np.pad(found.points, ((0, 0), (0, max(0, reference.dims - found.dims))))[:, : reference.dims]
    return Trajectory(points=points, times=found.times)


def forecast_scene(trajectory: Trajectory, forecasts: Sequence[Forecast], *, title: str = "") -> go.Figure:
    """The path, faint; over it what came, in white, and each forecast in its colour with its members as thin lines."""
    figure = scene(trajectory, title=title)
    figure.data[0].update(opacity=0.25, name="the path", showlegend=False)
    if forecasts:
        _add_line(figure, shown(forecasts[0].truth, trajectory), "what came", "#ffffff", 5)
    for told, colour in zip(forecasts, itertools.cycle(FORECAST_COLOURS), strict=False):
        name = f"{told.method}, {told.protocol}"
        _add_line(figure, shown(told.path, trajectory), name, colour, 5)
        if len(told.members):
            gap = np.full((len(told.members), 1, told.members.shape[2]), np.nan, np.float32)  # lifts the pen between members
            every = np.concatenate([told.members, gap], axis=1).reshape(-1, told.members.shape[2])
            _add_line(figure, shown(every, trajectory), f"members of {name}", colour, 1, opacity=0.5)
    return figure.update_layout(legend={"font": {"color": "#d8dae6"}, "x": 0.02, "y": 0.88, "bgcolor": "rgba(0,0,0,0)"})


def _add_line(figure: go.Figure, places: Floats, name: str, colour: str, width: int, **more: float) -> None:
    x, y, z = places.T
    figure.add_scatter3d(x=x, y=y, z=z, mode="lines", name=name, line={"color": colour, "width": width}, hoverinfo="name", **more)


# --- Divergence

Unit = Literal["steps", "seconds", "beats"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Curve:
    """One method's divergence on one run."""

    method: str
    run: str
    divergence: Divergence
    beat_seconds: float | None = None

    def along(self, unit: Unit) -> NDArray[np.float64] | None:
        """How far ahead each step lies; None in beats where none is known."""
        steps = np.arange(1.0, len(self.divergence.mean) + 1)
        seconds = self.divergence.step_seconds
        if unit == "beats":
            return steps * seconds / self.beat_seconds if self.beat_seconds else None
        return steps if unit == "steps" else steps * seconds


def styles(curves: Sequence[Curve]) -> list[tuple[str, int]]:
    """A colour for each method and a dash for each run."""
    methods, runs = list(dict.fromkeys(curve.method for curve in curves)), list(dict.fromkeys(curve.run for curve in curves))
    return [(LINE_COLOURS[methods.index(curve.method) % len(LINE_COLOURS)], runs.index(curve.run) % len(DASHES)) for curve in curves]


def divergence_curves(curves: Sequence[Curve], *, protocol: str, unit: Unit | None = None) -> go.Figure:
    """Mean distance to the truth with bands of one standard error; buttons change between steps, seconds and beats, unless one is given."""
    buttons = [] if unit else [_unit_buttons(curves)]
    unit = unit or "steps"
    figure = go.Figure()
    several = len({curve.run for curve in curves}) > 1
    for curve, (colour, dash) in zip(curves, styles(curves), strict=True):
        mean, error = curve.divergence.mean, curve.divergence.standard_error
        name = f"{curve.method} on {curve.run}" if several else curve.method
        x = curve.along(unit)
        hidden = {"x": x, "line": {"width": 0}, "mode": "lines", "hoverinfo": "skip", "showlegend": False, "legendgroup": name}
        figure.add_scatter(y=mean - error, **hidden)
        figure.add_scatter(y=mean + error, **hidden, fill="tonexty", fillcolor=_faint(colour))
        hover = "%{y:.3f} ± %{customdata:.3f}, %{x:.3g} ahead"
        line = {"color": colour, "dash": DASHES[dash]}
        figure.add_scatter(x=x, y=mean, customdata=error, name=name, mode="lines", line=line, legendgroup=name, hovertemplate=hover)
    figure.update_layout(
        title=protocol,
        xaxis_title=f"{unit} ahead",
        yaxis_title="mean distance to the truth",
        yaxis_rangemode="tozero",
        template=None if not buttons else "plotly_white",  # an app has its own, and copying one takes a while
        updatemenus=buttons,
    )
    return figure


def _unit_buttons(curves: Sequence[Curve]) -> dict[str, Any]:
    known: list[Unit] = ["steps", "seconds", *(["beats"] if all(curve.beat_seconds for curve in curves) else [])]  # type: ignore[list-item]
    buttons = [
        {
            "label": unit,
            "method": "update",
            "args": [{"x": [curve.along(unit) for curve in curves for _ in range(3)]}, {"xaxis.title.text": f"{unit} ahead"}],
        }
        for unit in known
    ]
    return {"type": "buttons", "direction": "right", "x": 1, "xanchor": "right", "y": 1.08, "yanchor": "bottom", "buttons": buttons}


def divergence_picture(curves: Sequence[Curve], *, protocol: str) -> bytes:
    """The same curves as a PNG, in steps with seconds above."""
    from matplotlib.figure import Figure  # half a second that a page need not wait for

    figure = Figure(figsize=(9, 5), dpi=160, layout="constrained")
    plot = figure.add_subplot()
    for curve, (colour, dash) in zip(curves, styles(curves), strict=True):
        mean, error = curve.divergence.mean, curve.divergence.standard_error
        steps = np.arange(1.0, len(mean) + 1)
        plot.fill_between(steps, mean - error, mean + error, color=colour, alpha=0.2, linewidth=0)
        plot.plot(steps, mean, color=colour, linestyle=("-", "--", ":", "-.")[dash], label=f"{curve.method} on {curve.run}")
    seconds = curves[0].divergence.step_seconds
    above = plot.secondary_xaxis("top", functions=(lambda step: np.multiply(step, seconds), lambda second: np.divide(second, seconds)))
    above.set_xlabel("seconds ahead")
    plot.set(xlabel="steps ahead", ylabel="mean distance to the truth, ± standard error", ylim=(0, None))
    figure.legend(frameon=False, loc="outside right upper")
    figure.suptitle(textwrap.fill(protocol, 90), fontsize=10)
    plot.spines[["top", "right"]].set_visible(False)
    kept = io.BytesIO()
    figure.savefig(kept, format="png")
    return kept.getvalue()


def _faint(colour: str) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.18)"
