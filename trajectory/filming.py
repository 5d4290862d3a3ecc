"""Runs -> what a film shows of them, and the film, loop or poster that a file's ending asks for."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from trajectory import figures, video
from trajectory.export import coloured, written
from trajectory.features import Features
from trajectory.records import Floats, Forecast, Trajectory
from trajectory.runs import Run
from trajectory.settings import Hue

Kind = Literal["truth", "member", "forecast"]


@dataclass(frozen=True, kw_only=True)
class Scenery:
    """What of a run a film or a poster shows."""

    hue: Hue = "time"
    forming: bool = False  # how the path took shape, in its stead
    forecasts: tuple[Forecast, ...] = ()


def shots(
    run: Run, scenery: Scenery, *, against: Run | None = None, features: Features | None = None, labels: tuple[str, str] = ("", "")
) -> list[video.Shot]:
    """One panel, or two of which the second is laid over the first's space."""
    found = [_shot(run, run.trajectory, run, scenery, features, labels[0])]
    if against is not None:
        path = figures.laid_over(against.trajectory, run.trajectory)
        found.append(_shot(against, path, run, replace(scenery, forecasts=()), features, labels[1]))
    return found


def _shot(run: Run, path: Trajectory, space: Run, scenery: Scenery, features: Features | None, label: str) -> video.Shot:
    """`path` as it lies in the space of one run, coloured as the other's."""
    if scenery.forming:
        last = Trajectory(points=run.forming.points[-1], times=run.forming.times)
        snapshots = figures.formed(run.forming)
        return video.Shot(points=snapshots[-1], times=last.times, rgb=_rgb(last, run, scenery, features), label=label, snapshots=snapshots)
    seen = space.trajectory
    return video.Shot(
        points=figures.shown(path.points, seen),
        times=path.times,
        rgb=_rgb(run.trajectory, run, scenery, features),
        label=label,
        overlays=tuple(_overlays(scenery, seen)),
    )


def _overlays(scenery: Scenery, seen: Trajectory) -> Iterator[video.Overlay]:
    for told, colour in zip(scenery.forecasts, figures.FORECAST_COLOURS * len(scenery.forecasts), strict=False):
        lines: list[tuple[Kind, Floats]] = [("truth", told.truth), *(("member", each) for each in told.members), ("forecast", told.path)]
        for kind, points in lines:
            if len(points):
                yield video.Overlay(points=figures.shown(points, seen), times=told.times[: len(points)], kind=kind, colour=colour)


def _rgb(path: Trajectory, run: Run, scenery: Scenery, features: Features | None) -> Floats:
    return coloured(run, scenery.hue, features, path=path).rgb()


def film(
    made: Sequence[video.Shot],
    out: Path,
    settings: video.FilmSettings,
    *,
    sound: Path | None = None,
    features: Features | None = None,
    time: float | None = None,
    report: Callable[[video.FilmProgress], None] | None = None,
) -> Path:
    """What the file's ending says: a film (.mp4, .webm, .zip), a turning loop (.gif, .webp), or a poster (.png, .svg) of a moment."""
    if out.suffix in (".gif", ".webp"):
        return video.loop(made, settings=settings, out=out, features=features, report=report)
    if out.suffix in (".png", ".svg"):
        moment = float(made[0].times[-1]) if time is None else time
        if out.suffix == ".svg":
            kept = video.poster_svg(made, time=moment, settings=settings, features=features).encode()
        else:
            kept = video.poster_png(made, time=moment, settings=settings, features=features)
        return written(out, lambda file: file.write(kept))
    return video.film(made, sound=sound, settings=settings, out=out, features=features, report=report)
