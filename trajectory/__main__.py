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
from typing import TYPE_CHECKING, Any

from trajectory.errors import TrajectoryError
from trajectory.options import WEIGHTS, Command, parser
from trajectory.settings import (
    HEARD,
    ModelSettings,
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


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; 0 done, 2 something the user can mend, 130 interrupted."""
    options = parser(COMMANDS).parse_args(arguments)
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
    from trajectory import runs, sources

    if options.out:
        folder = runs.save(run, options.out)
        sources.remember(run, song)
        return {"run": str(folder)}
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

    run = _run(options.what)
    sound = _sound(run, options, wanted="the page and the bundle hold no sound" if options.with_sound else None)
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

    run, has_sound = _run(options.what), not options.forming and Path(options.out).suffix in video.SOUNDING
    sound = _sound(run, options, wanted="the film is silent" if has_sound else None)
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

        track = sound if has_sound else None
        out = filming.film(shots, Path(options.out), settings, sound=track, features=heard, time=options.at, report=report)
    _show({"film": str(out), "bytes": out.stat().st_size}, options)


def _overlays(run: Run, options: argparse.Namespace) -> tuple[Forecast, ...]:
    from trajectory import pipeline

    first, last = run.trajectory.times[[0, -1]]
    start = first + 0.7 * (last - first) if options.forecast_at is None else options.forecast_at
    return tuple(pipeline.foretell(run, name, start=start, steps=options.steps) for name in (options.forecast or "").split(",") if name)


def index(options: argparse.Namespace) -> None:
    """Takes a folder's songs into the library and lets an encoder hear each; goes on where it was stopped, tells at the end what failed."""
    from tqdm import tqdm

    from trajectory import indexing
    from trajectory.collection import Collection
    from trajectory.jobs import Jobs

    library, jobs = _library(), Jobs.start(address=os.environ.get("TRAJECTORY_SCHEDULER"), workers=options.workers)
    weights = indexing.weights(library, options.encoder, options.model)
    with tqdm(unit=" songs", file=sys.stderr, leave=False, disable=options.json or not sys.stderr.isatty()) as bar:
        try:
            tally = indexing.index(library, jobs, Path(options.folder), weights, report=lambda tally: bar.update(tally.heard - bar.n))
            ear = indexing.ear_of(jobs, weights)
        finally:
            jobs.close()
    collection = Collection(library, ear)
    if options.rebuild:
        collection.rebuild()
    songs = len(collection.songs()) if library.holders(ear.file) else 0
    for name, sentence in tally.failed:
        print(_printable(f"{name}: {sentence}"), file=sys.stderr)
    _show({**dataclasses.asdict(tally), "failed": len(tally.failed), "songs_in_index": songs}, options)


def similar(options: argparse.Namespace) -> None:
    """Names the songs of the library that an encoder finds most like one, or the moments most like a moment."""
    from trajectory import audio, encoders, indexing, pipeline, similarity, workers
    from trajectory.collection import Collection

    library, known = _library(), bool(ID.fullmatch(options.song))
    weights = indexing.weights(library, options.encoder, options.model)
    collection = Collection(library, workers.version_of(weights))
    if options.at is not None:
        moments = collection.moments(options.pooling, options.likeness)
        here = similarity.moment_at(moments, options.song, options.at)
        found = [dataclasses.asdict(each) for each in similarity.moments(moments, here, options.count)]
    else:
        songs = collection.songs(options.pooling, options.likeness)
        if known:
            near = similarity.neighbours(songs, options.song, options.count)
        else:
            heard = pipeline.listened(audio.load(options.song), workers.encoder(weights))
            near = similarity.nearest(songs, encoders.pooled(heard.frames, options.pooling), options.count)
        found = [{"song": each.id, "score": each.score} for each in near]
    titles = {song.id: song.title for song in library.songs()}
    facts = [{"title": titles.get(one["song"], ""), **one} for one in found]
    words = {_label(one): one["score"] for one in facts}
    _show({"like": options.song, **({"similar": facts} if options.json else words)}, options)


def _label(found: dict[str, Any]) -> str:
    at = f" at {found['seconds']:.1f} s" if "seconds" in found else ""
    return f"{_printable(found['title'])[:60]}{at} ({found['song']})"


def _library() -> Library:
    from trajectory import library

    return library.Library(library.home())


def _run(what: str) -> Run:
    """A run by its folder or its id in the library."""
    from trajectory import runs

    return runs.load(what if os.path.isdir(what) or not ID.fullmatch(what) else _library().place(what))  # noqa: PTH112 - never raises


def _sound(run: Run, options: argparse.Namespace, *, wanted: str | None = None) -> Path | None:
    """The song of a run: what was named, what the library has, or the file that the run was made from.

    Where there is none and it is wanted for something, a sentence says what goes without, and how it can have it.
    """
    from trajectory import sources

    if options.song:
        return Path(options.song) if not ID.fullmatch(options.song) else _library().sound(options.song)
    if ID.fullmatch(options.what):
        return _library().sound(_library().run_entry(options.what).song_id)
    try:
        return sources.find(run)
    except sources.SourceError as error:
        if wanted is not None:
            print(_printable(f"trajectory: {wanted}: {error}; name the song's file with --song"), file=sys.stderr)
        return None


def _write_npz(path: str, **arrays: Any) -> None:
    import numpy as np

    try:
        with open(path, "wb") as file:  # noqa: PTH123 - the very name that was given, with no ending added
            np.savez(file, **arrays)
    except OSError as error:
        raise TrajectoryError(f"{path} cannot be written: {error.strerror}") from error


def _run_facts(run: Run) -> dict[str, Any]:
    from trajectory import structure

    shape = structure.shape(run.trajectory, run.song.beat)
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


COMMANDS: dict[str, Command] = {
    "embed": embed,
    "info": info,
    "forecast": forecast,
    "divergence": divergence,
    "export": export,
    "import": bring_back,
    "video": film,
    "index": index,
    "similar": similar,
}


if __name__ == "__main__":
    sys.exit(main())
