"""The command line: the same engine without a browser."""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from trajectory.errors import TrajectoryError
from trajectory.settings import (
    FORECASTERS,
    HEARD,
    HUES,
    PRESETS,
    Device,
    ModelSettings,
    Scale,
    SectionSettings,
    Settings,
    SpectrogramSettings,
    TrainingSettings,
    WindowSettings,
    preset,
)

if TYPE_CHECKING:
    from trajectory.library import Library
    from trajectory.pipeline import FitProgress
    from trajectory.records import Forecast
    from trajectory.runs import Run

ID = re.compile(r"[0-9a-f]{16}")  # of a song or a run in the library
WEIGHTS = {"alpha": "forecast", "beta": "reconstruction", "gamma": "off_centre", "delta": "curvature", "kappa": "kl"}


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; 0 done, 2 something the user can mend, 130 interrupted."""
    options = _parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # songs have names in every script
    try:
        options.run(options)
    except TrajectoryError as error:
        print(f"trajectory: {_printable(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("trajectory: interrupted; nothing was kept", file=sys.stderr)
        return 130
    return 0


def embed(options: argparse.Namespace) -> None:
    """Trains a song's own network and keeps the run."""
    from tqdm import tqdm

    from trajectory import pipeline, runs

    if options.out:
        runs.check_place(options.out)
    settings = _settings(options)
    song = _library().sound(options.song) if ID.fullmatch(options.song) else Path(options.song)
    quiet = options.json or not sys.stderr.isatty()
    with tqdm(
        total=1.0, bar_format="{percentage:3.0f}% {bar} {desc}", desc="reading the song", file=sys.stderr, leave=False, disable=quiet
    ) as bar:

        def report(progress: FitProgress) -> None:
            bar.set_description_str(f"{progress.seconds_left:.0f} s left, loss {progress.losses['total']:.4f}", refresh=False)
            bar.update(progress.step / progress.steps - bar.n)

        run = pipeline.fit(song, settings, report=report)
    if ID.fullmatch(options.song):
        run = dataclasses.replace(run, song=dataclasses.replace(run.song, name=_library().song(options.song).name))
    _show({**_kept(run, song, options), **_run_facts(run)}, options)


def _kept(run: Run, song: Path, options: argparse.Namespace) -> dict[str, str]:
    """Where the run is from now on: in the folder that was named, else with its song in the library."""
    from trajectory import runs

    if options.out:
        return {"run": str(runs.save(run, options.out))}
    entry = _library().song(options.song) if ID.fullmatch(options.song) else _library().add_song(song, name=song.name)
    return {"song_id": entry.id, "run": _library().add_run(entry.id, run).id}


def info(options: argparse.Namespace) -> None:
    """Says what is known of a song, or of a run and the shape of its trajectory."""
    path = Path(options.what)
    if os.path.isdir(path) or ID.fullmatch(options.what):  # noqa: PTH112 - unlike Path's, it never raises
        _show({"run": options.what, **_run_facts(_run(options.what))}, options)
    else:
        from trajectory import audio

        _show(dataclasses.asdict(audio.probe(path)), options)


def forecast(options: argparse.Namespace) -> None:
    """Foretells where a run's path goes from a moment on, and keeps the forecasts beside what came."""
    import numpy as np

    from trajectory import pipeline

    run = _run(options.what)
    times = run.trajectory.times
    starts = options.at or [float(np.random.default_rng(options.seed).uniform(times[len(times) // 2], times[-1]))]
    found = [
        pipeline.foretell(run, name, start=start, steps=options.steps, protocol=options.protocol)
        for start in starts
        for name in options.methods.split(",")
    ]
    if options.out:
        _write_npz(options.out, **_forecast_arrays(found))
    told = [
        {
            "start": one.start,
            "method": one.method,
            "mean_distance": float(np.linalg.norm(one.path[: len(one.truth)] - one.truth, axis=1).mean()) if len(one.truth) else None,
        }
        for one in found
    ]
    facts = {"run": options.what, "steps": options.steps, "protocol": options.protocol}
    words = {f"{one['method']} at {one['start']:.2f} s": f"mean distance {_spoken(one['mean_distance'])}" for one in told}
    _show({**facts, **({"forecasts": told} if options.json else words)}, options)


def _forecast_arrays(found: list[Forecast]) -> dict[str, Any]:
    """`METHOD.path` and `METHOD.members` of every start, (starts, steps, dims), beside `starts`, `times` and `truth`, NaN after the end."""
    import numpy as np

    arrays: dict[str, Any] = {}
    for name in dict.fromkeys(one.method for one in found):
        same = [one for one in found if one.method == name]
        arrays[f"{name}.path"] = np.stack([one.path for one in same])
        if len(same[0].members):
            arrays[f"{name}.members"] = np.stack([one.members for one in same])
    arrays["starts"] = np.array([one.start for one in same])
    arrays["times"] = np.stack([one.times for one in same])
    arrays["truth"] = np.stack([np.pad(one.truth, ((0, len(one.path) - len(one.truth)), (0, 0)), constant_values=np.nan) for one in same])
    return arrays


def divergence(options: argparse.Namespace) -> None:
    """Measures how fast forecasts part from the truth, for any methods on any runs."""
    from trajectory import divergence as diverging
    from trajectory import pipeline, report

    entries = []
    for place in options.what:
        run = _run(place)
        for name in options.methods.split(","):
            method = pipeline.method(name, run)
            found = diverging.diverge(run.trajectory, method, options.protocol, window=run.window_bins, steps=options.steps)
            entries.append(report.Entry(run=run, name=Path(place).name, method=name, divergence=found))
    folder = report.write(entries, options.out)
    facts = [entry.summary() for entry in entries]
    valid = {f"{one['method']} on {one['run']}": f"{one['valid_seconds']:.2f} s" for one in facts}
    _show({"out": str(folder), "protocol": options.protocol, **({"results": facts} if options.json else valid)}, options)


def export(options: argparse.Namespace) -> None:
    """Writes a run's numbers, a page that stands alone, a curve for 3D programs, or a bundle that can be brought back."""
    from trajectory import audio, pipeline
    from trajectory import export as exporting

    run, sound = _run(options.what), _sound(options)
    heard = pipeline.heard(audio.load(sound, section=run.settings.section)) if sound else None
    kept = exporting.export(
        run,
        options.kinds.split(","),
        options.out,
        name=run.song.title or run.song.name,
        features=heard,
        sound=sound if options.with_sound else None,
        hue=options.hue,
    )
    _show({"written": [str(path) for path in kept]}, options)


def bring_back(options: argparse.Namespace) -> None:
    """Takes back a bundle: as a run folder, or with its song into the library."""
    from trajectory import runs
    from trajectory.bundles import ExportError, import_bundle

    bundle = import_bundle(Path(options.bundle))
    if options.out:
        _show({"run": str(runs.save(bundle.run, options.out))}, options)
        return
    if bundle.sound is None:
        raise ExportError(f"{options.bundle} holds no sound, which the library needs; name a folder for its run with --out")
    song = _library().add_song(bundle.sound, name=bundle.sound_name or bundle.run.song.name)
    _show({"song": song.id, "run": _library().add_run(song.id, bundle.run).id}, options)


def film(options: argparse.Namespace) -> None:
    """Makes a film of a run, a turning loop or a poster: what the file's ending says."""
    from tqdm import tqdm

    from trajectory import audio, filming, pipeline, video

    run, sound = _run(options.what), _sound(options)
    listens = sound and (options.strip or options.hue in HEARD)
    heard = pipeline.heard(audio.load(sound, section=run.settings.section)) if sound and listens else None
    against = _run(options.against) if options.against else None
    width, height = options.size
    settings = video.FilmSettings(
        width=width,
        height=height,
        fps=options.fps,
        quality="draft" if options.draft else "fine",
        camera=video.Held(options.camera) if options.camera else video.Turn(seconds=options.turn),
        background=options.background,
        title=options.title or "",
        artist=options.artist or "",
        time_code=not options.no_time,
        strip=options.strip,
        start=options.start,
        stop=options.stop,
    )
    shots = filming.shots(
        run,
        filming.Scenery(hue=options.hue, forming=options.forming, forecasts=_overlays(run, options)),
        against=against,
        features=heard,
        labels=(run.settings.preset, against.settings.preset) if against else ("", ""),
    )
    with tqdm(unit=" frames", file=sys.stderr, leave=False, disable=options.json or not sys.stderr.isatty()) as bar:

        def report(progress: video.FilmProgress) -> None:
            bar.total = progress.frames
            bar.update(progress.frame - bar.n)

        track = None if options.forming else sound
        out = filming.film(shots, Path(options.out), settings, sound=track, features=heard, time=options.at, report=report)
    _show({"film": str(out), "bytes": out.stat().st_size}, options)


def _overlays(run: Run, options: argparse.Namespace) -> tuple[Forecast, ...]:
    from trajectory import pipeline

    first, last = run.trajectory.times[[0, -1]]
    start = first + 0.7 * (last - first) if options.forecast_at is None else options.forecast_at
    return tuple(pipeline.foretell(run, name, start=start, steps=options.steps) for name in (options.forecast or "").split(",") if name)


def _library() -> Library:
    from trajectory import library

    return library.Library(library.home())


def _run(what: str) -> Run:
    """A run by its folder or its id in the library."""
    from trajectory import runs

    return runs.load(what if os.path.isdir(what) or not ID.fullmatch(what) else _library().place(what))  # noqa: PTH112 - never raises


def _sound(options: argparse.Namespace) -> Path | None:
    """The song of a run: what was named, or what the library has."""
    if options.song:
        return Path(options.song) if not ID.fullmatch(options.song) else _library().sound(options.song)
    return _library().sound(_library().run_entry(options.what).song_id) if ID.fullmatch(options.what) else None


def _write_npz(path: str, **arrays: Any) -> None:
    import numpy as np

    try:
        with open(path, "wb") as file:  # noqa: PTH123 - the very name that was given, with no ending added
            np.savez(file, **arrays)
    except OSError as error:
        raise TrajectoryError(f"{path} cannot be written: {error.strerror}") from error


def _run_facts(run: Run) -> dict[str, Any]:
    from trajectory import geometry

    shape = geometry.shape(run.trajectory, run.song.beat)
    return {
        "song": run.song.title or run.song.name,
        "artist": run.song.artist,
        "preset": run.settings.preset,
        "scale": run.settings.spectrogram.scale,
        "window_seconds": run.settings.window.seconds,
        "points": len(run.trajectory.points),
        "dims": run.trajectory.dims,
        "from_seconds": float(run.trajectory.times[0]),
        "to_seconds": float(run.trajectory.times[-1]),
        "trained_until": run.settings.training.until,
        "steps": len(run.training.losses["total"]),
        "seconds": run.training.seconds,
        "device": run.training.device,
        "reconstruction": run.training.reconstruction,
        "gain": run.training.gain,
        **dataclasses.asdict(shape),
    }


def _show(facts: dict[str, Any], options: argparse.Namespace) -> None:
    known = {name.replace("_", " "): value for name, value in facts.items() if value is not None}
    width = max(map(len, known))
    lines = [json.dumps(facts)] if options.json else [f"{name:{width}}  {_spoken(value)}" for name, value in known.items()]
    try:
        print(*lines, sep="\n", flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whoever read it has enough
    except OSError as error:
        raise TrajectoryError(f"the output cannot be written: {error.strerror}") from error


def _spoken(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(_spoken, value))
    if isinstance(value, dict) and "label" not in value:
        return ", ".join(f"{name} {_spoken(one)}" for name, one in value.items())
    if isinstance(value, dict):  # a section of the song
        return f"{value['label']} {value['start']:.1f}-{value['stop']:.1f}"
    return _printable(str(value))


def _printable(text: str) -> str:
    """A tag or a file's name may come from a stranger; a terminal obeys what it is sent."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _settings(options: argparse.Namespace) -> Settings:
    chosen = preset(
        options.preset,
        section=SectionSettings(**_given(options, "start", "stop")),
        spectrogram=SpectrogramSettings(**_given(options, "scale")),
        window=WindowSettings(**_given(options, "seconds")),
        model=ModelSettings(**_given(options, "dims", "history")),
        training=TrainingSettings(**_given(options, "steps", "batch", "rate", "seed", "device", "until")),
    )
    return dataclasses.replace(
        chosen,
        loss=dataclasses.replace(chosen.loss, **_given(options, *WEIGHTS.values())),
        model=dataclasses.replace(chosen.model, **_given(options, "horizons")),
    )


def _given(options: argparse.Namespace, *names: str) -> dict[str, Any]:
    return {name: getattr(options, name) for name in names if getattr(options, name) is not None}


def _moment(text: str) -> float:
    """`90`, `1:30` or `1:00:30` in seconds."""
    try:
        parts = [float(part) for part in text.split(":")]
    except ValueError:
        parts = []
    if not 1 <= len(parts) <= 3 or any(part < 0 for part in parts):
        raise argparse.ArgumentTypeError(f"'{text}' is no moment; write seconds or m:ss")
    return sum(part * 60**place for place, part in enumerate(reversed(parts)))


def _size(text: str) -> tuple[int, int]:
    try:
        width, height = (int(side) for side in text.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is no size; write one like 1920x1080") from None
    return width, height


def _camera(text: str) -> dict[str, dict[str, float]] | None:
    """None for one that turns."""
    if text == "turn":
        return None
    try:
        numbers = iter([float(part) for part in text.split(",")])
        camera = {name: {axis: next(numbers) for axis in "xyz"} for name in ("eye", "center", "up")}
    except (ValueError, StopIteration):
        raise argparse.ArgumentTypeError(f"'{text}' is no camera; write turn, or the nine numbers of a link to Explore") from None
    return camera


def _steps_ahead(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' are no horizons; write steps like 1,2,4,8") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="trajectory", description="See the shape of music: a song becomes a path through space.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("embed", help="train a song's own network and keep the run", description=embed.__doc__)
    command.set_defaults(run=embed)
    command.add_argument("song", metavar="SONG", help="a sound file of any usual kind, or a song's id in the library")
    command.add_argument("--out", metavar="DIR", help="the folder that the run becomes (default: it is kept in the library)")
    command.add_argument("--preset", default="conditioned", choices=PRESETS, help="the losses (default: %(default)s)")
    command.add_argument("--scale", choices=get_args(Scale), help="of the spectrogram (default: linear)")
    command.add_argument("--window", dest="seconds", type=float, metavar="SECONDS", help="sound that one point stands for (default: 0.5)")
    command.add_argument("--dims", type=int, metavar="N", help="dimensions of the space (default: 3)")
    command.add_argument("--from", dest="start", type=_moment, metavar="TIME", help="use the song from here, in seconds or m:ss")
    command.add_argument("--to", dest="stop", type=_moment, metavar="TIME", help="use the song up to here")
    command.add_argument("--train-until", dest="until", type=float, metavar="SHARE", help="keep the rest of the song from the network")
    command.add_argument("--device", choices=get_args(Device), help="where to train (default: auto, CUDA where there is one)")
    command.add_argument("--seed", type=int, metavar="N", help="same seed, same CPU, same trajectory (default: 0)")
    command.add_argument("--steps", type=int, metavar="N", help="of training (default: by the song's length)")
    command.add_argument("--batch", type=int, metavar="N", help="windows decoded a step")
    command.add_argument("--rate", type=float, metavar="RATE", help="the learning rate's peak")
    command.add_argument("--history", type=int, metavar="POINTS", help="what the forecast branch looks back on (l)")
    command.add_argument("--horizons", type=_steps_ahead, metavar="1,2,...", help="steps ahead that the branch predicts")
    for letter, field in WEIGHTS.items():
        command.add_argument(f"--{letter}", dest=field, type=float, metavar="WEIGHT", help=f"of the loss term {field.replace('_', ' ')}")
    command.add_argument("--json", action="store_true", help="print one JSON object and no progress")

    command = commands.add_parser("forecast", help="where a run's path goes next", description=forecast.__doc__)
    command.set_defaults(run=forecast)
    command.add_argument("what", metavar="RUN", help="a run folder, or its id in the library")
    command.add_argument("--methods", default="default", metavar="A,B", help=f"of {', '.join(FORECASTERS)} (default: %(default)s)")
    command.add_argument("--at", type=_moment, nargs="+", metavar="TIME", help="of the song, in seconds or m:ss (default: a random one)")
    command.add_argument("--steps", type=int, default=200, metavar="N", help="(default: %(default)s)")
    command.add_argument("--protocol", default="past-only", choices=("past-only", "leave-segment-out"), help="what may be known")
    command.add_argument("--seed", type=int, default=0, metavar="N", help="of the random moment")
    command.add_argument("--out", metavar="FILE", help="keep the forecasts as npz")
    command.add_argument("--json", action="store_true", help="print one JSON object")

    command = commands.add_parser("divergence", help="how fast forecasts part from the truth", description=divergence.__doc__)
    command.set_defaults(run=divergence)
    command.add_argument("what", metavar="RUN", nargs="+", help="run folders, or ids in the library")
    command.add_argument("--methods", default="default,knn,mean,persistence", metavar="A,B", help=f"of {', '.join(FORECASTERS)}")
    command.add_argument(
        "--protocol", default="past-only", choices=("published", "past-only", "leave-segment-out"), help="what may be known"
    )
    command.add_argument("--steps", type=int, default=29, metavar="N", help="(default: %(default)s)")
    command.add_argument("--out", required=True, metavar="DIR", help="takes the table, the numbers, the plot and the words")
    command.add_argument("--json", action="store_true", help="print one JSON object")

    command = commands.add_parser("export", help="a run's numbers, page, curve or bundle", description=export.__doc__)
    command.set_defaults(run=export)
    command.add_argument("what", metavar="RUN", help="a run folder, or its id in the library")
    command.add_argument(
        "--as", dest="kinds", default="npz", metavar="A,B", help="of npz, csv, html, gltf and bundle (default: %(default)s)"
    )
    command.add_argument("--out", required=True, metavar="DIR", help="takes the files")
    command.add_argument("--song", metavar="SONG", help="its sound file, for loudness and brightness (default: the library's)")
    command.add_argument("--with-sound", action="store_true", help="put the sound itself into the page and the bundle")
    command.add_argument("--hue", default="time", choices=HUES, help="what colours the path (default: %(default)s)")
    command.add_argument("--json", action="store_true", help="print one JSON object")

    command = commands.add_parser("import", help="takes back a bundle", description=bring_back.__doc__)
    command.set_defaults(run=bring_back)
    command.add_argument("bundle", metavar="BUNDLE", help="a .zip that export made")
    command.add_argument("--out", metavar="DIR", help="the folder that the run becomes (default: into the library)")
    command.add_argument("--json", action="store_true", help="print one JSON object")

    command = commands.add_parser("video", help="a film of a run, a loop or a poster", description=film.__doc__)
    command.set_defaults(run=film)
    command.add_argument("what", metavar="RUN", help="a run folder, or its id in the library")
    command.add_argument("--out", required=True, metavar="FILE", help=".mp4, .webm, .zip of PNGs, .gif, .webp, .png or .svg")
    command.add_argument("--against", metavar="RUN2", help="another run of the song, beside it")
    command.add_argument("--song", metavar="SONG", help="its sound file (default: the library's; without one the film is silent)")
    command.add_argument("--size", type=_size, default="1920x1080", metavar="WxH", help="(default: %(default)s)")
    command.add_argument("--fps", type=int, default=30, metavar="N", help="frames a second (default: %(default)s)")
    command.add_argument(
        "--camera", type=_camera, metavar="turn|NUMBERS", help="slowly turning, or held as a link to Explore says (camera=...)"
    )
    command.add_argument("--turn", type=float, default=48.0, metavar="SECONDS", help="of once round the path (default: %(default)s)")
    command.add_argument("--background", default="dark", choices=("dark", "light", "transparent"), help="(default: %(default)s)")
    command.add_argument("--hue", default="time", choices=HUES, help="what colours the path (default: %(default)s)")
    command.add_argument("--title", metavar="WORDS")
    command.add_argument("--artist", metavar="WORDS")
    command.add_argument("--no-time", action="store_true", help="leave out the time code")
    command.add_argument("--strip", choices=("waveform", "spectrogram"), help="of the sound, below")
    command.add_argument("--forming", action="store_true", help="how the path took shape in training, instead")
    command.add_argument("--forecast", metavar="METHODS", help="draw these forecasts over the path, made past-only")
    command.add_argument("--forecast-at", type=_moment, metavar="TIME", help="where they start (default: at 70 %% of the path)")
    command.add_argument("--forecast-steps", dest="steps", type=int, default=100, metavar="N", help="(default: %(default)s)")
    command.add_argument("--from", dest="start", type=_moment, metavar="TIME", help="of the song, in seconds or m:ss")
    command.add_argument("--to", dest="stop", type=_moment, metavar="TIME")
    command.add_argument("--at", type=_moment, metavar="TIME", help="of a poster (default: the end)")
    command.add_argument("--draft", action="store_true", help="faster, larger, coarser")
    command.add_argument("--json", action="store_true", help="print one JSON object and no progress")

    command = commands.add_parser("info", help="what is known of a song or a run", description=info.__doc__)
    command.set_defaults(run=info)
    command.add_argument("what", metavar="SONG|RUN", help="a sound file, a run folder, or a run's id in the library")
    command.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


if __name__ == "__main__":
    sys.exit(main())
