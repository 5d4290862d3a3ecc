"""`make bench`: measures the engine against its targets, prints one table, writes bench/engine.json. ONLY="speed truth" picks parts."""

import dataclasses
import json
import multiprocessing
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from tests.benchmarks import app, collection, films, forecasts, index, likeness, load, music, speech
from tests.benchmarks.forecasts import Row, verdict
from tests.benchmarks.music import CLIPS, ROOT, Measured
from tests.benchmarks.published import train_published
from trajectory import model, training
from trajectory.settings import PRESETS, ModelSettings, Settings, SpectrogramSettings, TrainingSettings, WindowSettings, preset
from trajectory.spectrogram import spectrogram

SEEDS = (0, 1, 2)


def main(wanted: list[str]) -> None:
    torch.set_num_threads(1)
    parts: dict[str, Callable[[ProcessPoolExecutor], tuple[list[Row], Any]]] = {
        "speed": speed,
        "gpu": gpu,
        "long": long_songs,
        "smoothness": smoothness,
        "truth": truth,
        "claims": claims,
        "accuracy": forecasts.accuracy,
        "learned": forecasts.learned,
        "published": forecasts.published_claim,
        "rollouts": forecasts.speed,
        "app": app.app,
        "films": films.speed,
        "film-sizes": films.sizes,
        "film-lengths": films.lengths,
        "retrieval": likeness.retrieval,
        "tempo": likeness.tempo,
        "speech": speech.memory,
        "load": load.crowd,
        "soak": load.soak,
        "indexed": collection.indexed,
        "index": index.search,
        "index-million": index.million,
    }
    rows: list[Row] = []
    found: dict[str, Any] = {"python": platform.python_version(), "torch": torch.__version__}
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn"), initializer=music.warm) as pool:
        list(pool.map(time.sleep, [0.5, 0.5]))  # both workers are up
        for name in wanted or parts:
            print(f"{name} ...", file=sys.stderr, flush=True)
            new, found[name] = parts[name](pool)
            rows += [(f"{name}: {what}", *rest) for what, *rest in new]
    show(rows)
    folder = ROOT / "bench"
    folder.mkdir(exist_ok=True)
    (folder / "engine.json").write_text(json.dumps(found | {"table": rows}, indent=1))


def show(rows: list[Row]) -> None:
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)).rstrip())


def train_all(pool: ProcessPoolExecutor, jobs: Iterable[tuple[Any, Settings]]) -> list[Measured]:
    jobs = list(jobs)
    return list(pool.map(music.measure, *zip(*jobs, strict=True)))


def with_training(settings: Settings, **changes: Any) -> Settings:
    return dataclasses.replace(settings, training=dataclasses.replace(settings.training, **changes))


def speed(pool: ProcessPoolExecutor) -> tuple[list[Row], Any]:
    """The published schedule, one model after the other, against both models side by side in two warm processes."""
    fast = [preset(name, section=music.FORM_40_SECONDS) for name in ("pure", "conditioned")]
    picture = music.picture_of(music.FORM, fast[0])
    ours: list[list[float]] = []

    def pair() -> float:
        began = time.perf_counter()
        ours.append(list(pool.map(music.train_only, [picture] * 2, fast)))
        return time.perf_counter() - began

    walls = [pair(), pair()]
    began = time.perf_counter()
    schedule = [train_published(picture, alpha=alpha) for alpha in (0, 0.001)]
    theirs = time.perf_counter() - began
    walls += [pair(), pair()]
    wall = statistics.median(walls)
    operations = sum(operations_of(picture, settings) for settings in fast) / 2
    floor = operations / matrix_rate()
    rows = [
        (
            "the pair, against the published schedule",
            "20x (aim 35x)",
            f"{theirs / wall:.1f}x ({theirs:.1f} s : {wall:.2f} s)",
            verdict(theirs >= 20 * wall),
        ),
        (
            "floor: operations at the rate of a large matrix product",
            "-",
            f"{floor:.2f} s a model, {wall / floor:.1f}x below the wall clock",
            "-",
        ),
    ]
    for name, mine, published in zip(("pure", "conditioned"), ours[0], schedule, strict=True):
        rows.append((f"R of {name}", f"<= {published:.5f}", f"{mine:.5f}", verdict(mine <= published)))
    return rows, {
        "published_seconds": theirs,
        "pair_seconds": walls,
        "floor_seconds": floor,
        "published_R": schedule,
        "pair_R": ours[0],
    }


def gpu(_pool: ProcessPoolExecutor) -> tuple[list[Row], Any]:
    """The pair and a 5 min song on a CUDA device, after a first training that warms it up."""
    targets = (("the pair", 1.0), ("5 min", 3.0))
    if not torch.cuda.is_available():
        return [(what, f"< {seconds:g} s", "no CUDA device here", "NOT MEASURED") for what, seconds in targets], None
    pair = [with_training(preset(name, section=music.FORM_40_SECONDS), device="cuda") for name in ("pure", "conditioned")]
    picture = music.picture_of(music.FORM, pair[0])
    long = spectrogram(music.five_minutes(), pair[1].spectrogram)
    for settings in pair:
        music.train_only(picture, settings)
    walls = []
    for jobs in ([(picture, settings) for settings in pair], [(long, pair[1])]):
        began = time.perf_counter()
        for job in jobs:
            music.train_only(*job)
        walls.append(time.perf_counter() - began)
    rows = [(what, f"< {most:g} s", f"{wall:.2f} s", verdict(wall < most)) for (what, most), wall in zip(targets, walls, strict=True)]
    return rows, walls


def operations_of(picture: Any, settings: Settings) -> float:
    """Floating-point operations of a whole training, counted on one step."""
    network = model.Autoencoder(settings, frequencies=picture.values.shape[1], bin_seconds=picture.bin_seconds)
    terms = training.SongTerms(network, torch.from_numpy(picture.values), settings)
    with FlopCounterMode(display=False) as counter:
        torch.stack(list(terms().values())).sum().backward()
    recurrent = 0
    if settings.loss.forecast:  # the counter knows no LSTM: 4 gates, forward once and backward twice
        sizes = settings.model
        recurrent = 3 * 2 * 4 * settings.training.batch * sizes.history * sizes.branch_units * (sizes.branch_units + sizes.dims)
    return (counter.get_total_flops() + recurrent) * training.steps_for(picture.bins, settings.training)


def matrix_rate(size: int = 1024) -> float:
    """Operations a second on one thread, the best of some large products."""
    one, other = torch.randn(2, size, size)
    best = float("inf")
    for _ in range(10):
        began = time.perf_counter()
        one @ other
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best


def long_songs(_pool: ProcessPoolExecutor) -> tuple[list[Row], Any]:
    """30 s and 5 min, each in a fresh process; then the 5 min with steps in proportion to its length."""
    song = music.five_minutes()
    settings = preset("conditioned")
    proportional = round(training.steps_for(0, settings.training) * 300 / 30)
    short, long, patient = (
        alone(song_, chosen)
        for song_, chosen in (
            (music.strung([CLIPS[2]], 30), settings),
            (song, settings),
            (song, with_training(settings, steps=proportional)),
        )
    )
    cost, kept = long[0].seconds / short[0].seconds, long[0].gain / patient[0].gain
    rows = [
        ("5 min against 30 s", "< 4x", f"{cost:.2f}x ({long[0].seconds:.1f} s : {short[0].seconds:.1f} s)", verdict(cost < 4)),
        ("memory for 5 min", "< 1.5 GB", f"{long[1]:.2f} GB", verdict(long[1] < 1.5)),
        (
            "gain kept, against steps in proportion",
            ">= 90 %",
            f"{kept:.1%} ({long[0].steps} : {patient[0].steps} steps)",
            verdict(kept >= 0.9),
        ),
    ]
    return rows, plain([short[0], long[0], patient[0]])


def alone(song: Any, settings: Settings) -> tuple[Measured, float]:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(music.measure_with_memory, song, settings).result()


def smoothness(pool: ProcessPoolExecutor) -> tuple[list[Row], Any]:
    """Every preset on every clip, linear, the median of three seeds."""
    names = ("pure", "conditioned", "smooth", "published", "variational")
    jobs = [(clip, with_training(preset(name), seed=seed)) for clip in CLIPS for name in names for seed in SEEDS]
    results = iter(train_all(pool, jobs))
    rows: list[Row] = []
    kept: dict[str, Any] = {}
    for clip in CLIPS:
        runs = {name: [next(results) for _ in SEEDS] for name in names}
        kept[clip.stem] = {name: plain(each) for name, each in runs.items()}
        turn = {name: statistics.median(run.turn_cosine for run in each) for name, each in runs.items()}
        gain = {name: statistics.median(run.gain for run in each) for name, each in runs.items()}
        rise, share = turn["conditioned"] - turn["pure"], gain["conditioned"] / gain["pure"]
        rows += [
            (
                f"{clip.stem} conditioned above pure",
                ">= 0.15",
                f"{rise:+.2f} ({turn['conditioned']:.2f}, {turn['pure']:.2f})",
                verdict(rise >= 0.15),
            ),
            (f"{clip.stem} conditioned keeps of pure's gain", ">= 85 %", f"{share:.0%}", verdict(share >= 0.85)),
            (
                f"{clip.stem} smooth",
                ">= 0.88",
                f"{turn['smooth']:.2f} ({gain['smooth'] / gain['pure']:.0%} of the gain)",
                verdict(turn["smooth"] >= 0.88),
            ),
            (f"{clip.stem} published, variational", "-", f"{turn['published']:.2f}, {turn['variational']:.2f}", "-"),
        ]
    return rows, kept


def truth(pool: ProcessPoolExecutor) -> tuple[list[Row], Any]:
    """The period of every clip whose loop is known, from the paths of three presets."""
    known = json.loads((music.TRUTH / "truth.json").read_text())
    jobs = [(music.TRUTH / f"{name}.ogg", preset(kind)) for name in known for kind in ("pure", "conditioned", "smooth")]
    results = iter(train_all(pool, jobs))
    rows: list[Row] = []
    kept = {}
    for name, facts in known.items():
        found = [next(results).period_seconds for _ in range(3)]
        kept[name] = found
        right = [facts["loop_s"], facts["bar_s"]] if facts["repeats"] else []
        good = all(any(abs(one - true) <= 0.02 * true for true in right) if one else not right for one in found)
        target = f"{right[0]} or {right[1]} s within 2 %" if right else "none"
        rows.append(
            (
                f"{name}: pure, conditioned, smooth",
                target,
                ", ".join("none" if one is None else f"{one:.3f} s" for one in found),
                verdict(good),
            )
        )
    return rows, kept


def claims(pool: ProcessPoolExecutor) -> tuple[list[Row], Any]:
    """Every preset, scale, window and number of dimensions on every clip; what the write-up of 2021 says of them, one by one."""
    grid = [(name, scale, window, dims) for name in PRESETS for scale in ("linear", "decibel") for window in (0.5, 2.0) for dims in (3, 12)]
    jobs = [(clip, grid_settings(*cell)) for cell in grid for clip in CLIPS]
    results = train_all(pool, jobs)
    cells = {cell: results[i * len(CLIPS) : (i + 1) * len(CLIPS)] for i, cell in enumerate(grid)}
    rows: list[Row] = []
    for (name, scale, window, dims), runs in cells.items():
        turn, apart = (statistics.median(values) for values in ([run.turn_cosine for run in runs], [run.separation for run in runs]))
        rows.append(
            (
                f"{name:11} {scale:7} {window:g} s {dims:2} dims",
                "-",
                f"turn cosine {turn:5.2f}, separation {apart:.2f}",
                "median of 6 clips",
            )
        )
    for words, one, other, value in (
        ("smoother when conditioned", "conditioned", "pure", "turn_cosine"),
        ("smoother when conditioned as published", "published", "pure", "turn_cosine"),
        ("lobes blend when conditioned", "pure", "conditioned", "separation"),
        ("lobes blend when conditioned as published", "pure", "published", "separation"),
    ):
        pairs = [(cells[one, *rest], cells[other, *rest]) for name, *rest in grid if name == one]
        rows.append(compared(words, pairs, value))
    pairs = [(cells[name, scale, 2.0, dims], cells[name, scale, 0.5, dims]) for name, scale, window, dims in grid if window == 2]
    rows.append(compared("2 s much smoother than 0.5 s", pairs, "turn_cosine"))
    return rows, {" ".join(map(str, cell)): plain(runs) for cell, runs in cells.items()}


def grid_settings(name: str, scale: str, window: float, dims: int) -> Settings:
    return preset(
        name,
        spectrogram=SpectrogramSettings(scale=scale),
        window=WindowSettings(seconds=window),
        model=ModelSettings(dims=dims),
        training=TrainingSettings(),
    )


def compared(words: str, pairs: list[tuple[list[Measured], list[Measured]]], value: str) -> Row:
    """In how many runs the first of two is above the second, of those in which they differ."""
    rises = [getattr(a, value) - getattr(b, value) for one, other in pairs for a, b in zip(one, other, strict=True)]
    above, below = sum(rise > 0 for rise in rises), sum(rise < 0 for rise in rises)
    share = above / max(1, above + below)
    holds = "holds" if share >= 0.75 else "does not hold" if share <= 0.5 else "holds in part"
    return (
        f"write-up: {words}",
        "-",
        f"{above} above, {below} below, {len(rises) - above - below} alike, mean {statistics.mean(rises):+.3f}",
        holds,
    )


def plain(runs: list[Measured]) -> list[dict[str, Any]]:
    return [dataclasses.asdict(run) for run in runs]


if __name__ == "__main__":
    main(sys.argv[1:])
