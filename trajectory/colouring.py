"""What a path is coloured by, and with which colours: one answer for the page, the film and what is exported."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trajectory import geometry, structure
from trajectory.features import Features
from trajectory.records import Floats, Trajectory
from trajectory.rhythm import Beat
from trajectory.settings import HEARD, HUES, Hue

Stops = tuple[tuple[float, str], ...]

# lighter as it goes, for every eye
ALONG: Stops = ((0.0, "#3d4fd1"), (0.25, "#2a9fd6"), (0.5, "#35c9a5"), (0.75, "#c9d94a"), (1.0, "#ffd9a0"))
HEAT: Stops = ((0.0, "#3b2f7f"), (0.3, "#8a3d8f"), (0.55, "#d1586f"), (0.8, "#f59a55"), (1.0, "#fbe9a0"))
ROUND: Stops = ((0.0, "#f0e6c8"), (0.25, "#e39a5b"), (0.5, "#6d4a9c"), (0.75, "#4fa3d9"), (1.0, "#f0e6c8"))
KINDS = ("#56b4e9", "#e69f00", "#009e73", "#f0e442", "#cc79a7", "#d55e00", "#8c9bff", "#b3b3b3")  # Okabe and Ito's, the dark ones lifted


@dataclass(frozen=True, kw_only=True, eq=False)
class Colouring:
    """A value for each point, and the colours from `low` to `high`."""

    title: str
    values: Floats  # (points,)
    low: float
    high: float
    stops: Stops
    ends: tuple[str, str]  # what low and high mean, in words

    def rgb(self) -> Floats:
        """The colour of each point, (points, 3) in [0, 1]."""
        share = np.clip((self.values - self.low) / (self.high - self.low), 0, 1)
        places = [place for place, _ in self.stops]
        colours = np.array([[int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)] for _, colour in self.stops])
        return np.stack([np.interp(share, places, colours[:, i]) for i in range(3)], axis=1).astype(np.float32)


def hues(features: Features | None, beat: Beat | None) -> list[Hue]:
    """What a song's path can be coloured by, with what is known of its sound."""
    missing = {*(HEARD if features is None else ()), *(("beat phase",) if beat is None else ())}
    return [hue for hue in HUES if hue not in missing]


def colour(
    trajectory: Trajectory, hue: Hue, *, features: Features | None = None, beat: Beat | None = None, window_seconds: float = 0.5
) -> Colouring:
    """The path's colours by one of `hues(features, beat)`; a scale leaves out the outermost hundredths, so that no one point decides it."""
    if hue == "section":
        return _by_section(trajectory)
    if hue == "beat phase" and beat is not None:
        values = beat.phase(trajectory.times)
        return Colouring(
            title="phase of the beat", values=values.astype(np.float32), low=0.0, high=1.0, stops=ROUND, ends=("beat", "next beat")
        )
    if hue in HEARD and features is not None:
        heard = features.loudness if hue == "loudness" else features.brightness
        unit = "dB" if hue == "loudness" else "Hz"
        return _scale(hue, features.at(heard, trajectory.times, window_seconds), HEAT, unit)
    if hue == "speed":
        return _scale(hue, geometry.speed(trajectory), HEAT, "a second")
    if hue == "curvature":
        return _scale(hue, np.degrees(geometry.curvature(trajectory)), HEAT, "°")
    low, high = float(trajectory.times[0]), float(trajectory.times[-1])
    return Colouring(
        title="time", values=trajectory.times.astype(np.float32), low=low, high=high, stops=ALONG, ends=(clock(low), clock(high))
    )


def _scale(title: str, values: Floats | geometry.Reals, stops: Stops, unit: str) -> Colouring:
    low, high = (float(value) for value in np.quantile(values, (0.01, 0.99)))
    high = high if high > low else low + 1
    ends = (f"{low:.3g} {unit}", f"{high:.3g} {unit}")
    return Colouring(title=title, values=np.asarray(values, np.float32), low=low, high=high, stops=stops, ends=ends)


def _by_section(trajectory: Trajectory) -> Colouring:
    found = structure.sections(trajectory)
    labels = list(dict.fromkeys(section.label for section in found))
    starts = np.array([section.start for section in found])
    places = np.array([labels.index(section.label) for section in found])
    values = places[np.clip(np.searchsorted(starts, trajectory.times, side="right") - 1, 0, None)]
    return Colouring(
        title=f"section {labels[0]} to {labels[-1]}" if len(labels) > 1 else "one section",
        values=values.astype(np.float32),
        low=-0.5,
        high=len(labels) - 0.5,
        stops=_steps([KINDS[i % len(KINDS)] for i in range(len(labels))]),
        ends=(labels[0], labels[-1]),
    )


def _steps(colours: Sequence[str]) -> Stops:
    """Bands of one colour each."""
    count = len(colours)
    return tuple((edge / count, colour) for i, colour in enumerate(colours) for edge in (i, i + 1))


def clock(seconds: float) -> str:
    """`1:05.25`."""
    return f"{int(seconds // 60)}:{seconds % 60:05.2f}"
