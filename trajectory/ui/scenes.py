"""Runs, forecasts and what was heard -> what the player draws."""

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np

from trajectory import figures, geometry
from trajectory.colouring import ALONG, Colouring, clock
from trajectory.features import Features
from trajectory.records import Floats, Forecast, Forming, Trajectory
from trajectory.runs import Run
from trajectory.ui import player

Kind = Literal["forecast", "truth", "member"]


def of_run(run: Run, colouring: Colouring, *, label: str = "", forecasts: Sequence[Forecast] = ()) -> player.Scene:
    """A run's path, and the forecasts that were made on it."""
    path = player.Line(
        points=figures.shown(run.trajectory.points, run.trajectory), times=run.trajectory.times, kind="path", values=colouring.values
    )
    return player.Scene(label=label, lines=(path, *_told(forecasts, run.trajectory)))


def of_points(points: Floats, times: geometry.Reals, *, label: str, note: str = "", before: Floats | None = None) -> player.Scene:
    """A path that no run stands behind yet: a preview, or a snapshot of a training, held as still as can be to the one before."""
    places = figures.shown(points, Trajectory(points=points, times=times))
    if before is not None and before.shape == places.shape:
        places = geometry.turned_onto(places, before).astype(np.float32)
    line = player.Line(points=places, times=times, kind="path", values=times.astype(np.float32))
    return player.Scene(label=label, note=note, lines=(line,))


def aligned(run: Run, reference: Run, colouring: Colouring, *, label: str) -> player.Scene:
    """A second run's path, laid over the first's."""
    found = figures.laid_over(run.trajectory, reference.trajectory)
    places = figures.shown(found.points, reference.trajectory)
    line = player.Line(points=places, times=found.times, kind="path", values=colouring.values)
    return player.Scene(label=label, lines=(line,))


def _told(forecasts: Sequence[Forecast], trajectory: Trajectory) -> Iterable[player.Line]:
    for told, hue in zip(forecasts, figures.FORECAST_COLOURS * len(forecasts), strict=False):
        if told is forecasts[0] and len(told.truth):
            yield _line(told, told.truth, "truth", "what came", "#ffffff", trajectory)
        for member in told.members:
            yield _line(told, member, "member", told.method, hue, trajectory)
        if np.isfinite(told.path).all():
            yield _line(told, told.path, "forecast", told.method, hue, trajectory)


def _line(told: Forecast, points: Floats, kind: Kind, name: str, hue: str, trajectory: Trajectory) -> player.Line:
    """From the last point that was known."""
    known = trajectory.points[np.searchsorted(trajectory.times, told.start + 1e-9) - 1]
    times = np.concatenate([[told.start], told.times[: len(points)]])
    return player.Line(points=figures.shown(np.vstack([known, points]), trajectory), times=times, kind=kind, name=name, colour=hue)


def span(run: Run) -> tuple[float, float]:
    """The part of the song that the run is about, in its seconds."""
    start = run.settings.section.start
    return start, start + run.song.seconds


def scale(colouring: Colouring) -> player.Colouring:
    """A colouring as the player's legend wants it."""
    return player.Colouring(title=colouring.title, stops=colouring.stops, low=colouring.low, high=colouring.high, ends=colouring.ends)


def time_scale(low: float, high: float) -> player.Colouring:
    """The legend of a path that is coloured by time alone."""
    return player.Colouring(title="time", stops=ALONG, low=low, high=high, ends=(clock(low), clock(high)))


def panes(run: Run, heard: Features) -> player.Panes:
    """Waveform, spectrogram and recurrence plot, on the song's own time."""
    near = geometry.recurrence(run.trajectory, most=geometry.PLOTTED_MOMENTS)
    return player.Panes(
        start=heard.start,
        bin_seconds=heard.bin_seconds,
        waveform=heard.waveform,
        spectrogram=heard.picture,
        recurrence=near.levels(),
        recurrence_span=(float(near.times[0]), float(near.times[-1])),
        window_seconds=run.settings.window.seconds,
    )


def forming(run: Run) -> Forming:
    """How the path took shape, seen as the finished path is."""
    return Forming(steps=run.forming.steps, times=run.forming.times, points=figures.formed(run.forming))
