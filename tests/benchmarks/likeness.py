"""Which songs sound alike: retrieval of a song by another piece of it, for every encoder of sound; and of a rhythm at another tempo.

`rhythm` takes no part in the retrieval: it is worked out from a trained path and from lags as long as the pieces.
Nor do wav2vec2, HuBERT and Whisper, whose weights the project does not bring.
"""

import dataclasses
import functools
import itertools
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.fft import dct
from scipy.spatial.distance import cdist
from torchaudio.functional import phase_vocoder

from tests.benchmarks.forecasts import LOOPS, Row, seconds_of, verdict
from tests.benchmarks.music import CLIPS, TRUTH
from trajectory import audio
from trajectory.encoders import Encoder, at_rate, logmel, musicnn, pooled, rhythmic
from trajectory.model import embed
from trajectory.records import Floats, Recording, Trajectory
from trajectory.settings import preset
from trajectory.spectrogram import spectrogram
from trajectory.training import train_autoencoder

SAMPLE_RATE = 16_000  # Hz: everything is limited to 8 kHz, and by the same filter
SONGS = [*CLIPS, *LOOPS]
FOLDS = 3  # logmel-cnn is asked about the songs of one fold and has learned from the other two
LEAST_SECONDS = 4.0  # shorter pieces are repeated, because musicnn hears 3 s at once
COEFFICIENTS = 20
SEMITONES = (-2, 2)
LEVEL_DECIBELS = 10.0  # up or down at most
PARTNERS = (1, 5)  # which songs each is mixed with
POOLINGS = ("mean", "max", "attention")
TARGETS = {"musicnn": 0.9, "logmel-cnn": 0.8}
TASKS = {  # the pieces' seconds, and what lies among them
    "5 s": (5, ("song",)),
    "2 s": (2, ("song",)),
    "1 s": (1, ("song",)),
    "2 s at levels of their own": (2, ("level",)),
    "5 s among mixes": (5, ("song", "mix")),
    "5 s among transpositions": (5, ("song", "transposition")),
}


@dataclass(frozen=True, kw_only=True)
class Piece:
    song: str
    kind: str  # song, level, transposition or mix
    seconds: int
    samples: Floats


@functools.cache
def songs() -> dict[str, Floats]:
    return {path.stem: at_rate(audio.load(path), SAMPLE_RATE) for path in SONGS}


@functools.cache
def pieces() -> list[Piece]:
    """Every piece of every task, one after the other without overlap."""
    found = [piece for song, samples in songs().items() for seconds in (5, 2, 1) for piece in cut(samples, song, "song", seconds)]
    rng = np.random.default_rng(0)
    for piece in [piece for piece in found if piece.seconds == 2]:
        level = np.float32(10 ** (rng.uniform(-LEVEL_DECIBELS, LEVEL_DECIBELS) / 20))
        found.append(dataclasses.replace(piece, kind="level", samples=level * piece.samples))
    for path, semitones in itertools.product(SONGS, SEMITONES):
        found += cut(transposed(audio.load(path), semitones), f"{path.stem} {semitones:+d}", "transposition", 5)
    names = list(songs())
    for at, by in itertools.product(range(len(names)), PARTNERS):
        one, other = songs()[names[at]], songs()[names[(at + by) % len(names)]]
        common = min(len(one), len(other))
        mix = one[:common] / one.std() + other[:common] / other.std()
        found += cut(0.05 * mix, f"{names[at]} and {names[(at + by) % len(names)]}", "mix", 5)
    return found


def cut(samples: Floats, song: str, kind: str, seconds: int) -> list[Piece]:
    size = seconds * SAMPLE_RATE
    return [Piece(song=song, kind=kind, seconds=seconds, samples=samples[at : at + size]) for at in range(0, len(samples) - size + 1, size)]


def transposed(recording: Recording, semitones: float) -> Floats:
    """As a tape that runs faster or slower, which leaves no other trace; what then lies above 8 kHz is filtered out like everywhere."""
    rate = 100 * round(recording.sample_rate * 2 ** (semitones / 12) / 100)
    return at_rate(dataclasses.replace(recording, sample_rate=rate), SAMPLE_RATE)


def heard(piece: Piece) -> Recording:
    least = round(LEAST_SECONDS * SAMPLE_RATE)
    return recording_of(np.resize(piece.samples, max(least, len(piece.samples))), piece.song)


def recording_of(samples: Floats, name: str) -> Recording:
    return Recording(samples=samples, sample_rate=SAMPLE_RATE, name=name)


def vectors(job: tuple[str, int]) -> tuple[dict[str, Floats], float]:
    """Every piece as one encoder hears it, by pooling; and the seconds that its training took."""
    name, fold = job
    if name == "mfcc":
        return {"mean and std": np.stack([mfcc(heard(piece).samples) for piece in pieces()])}, 0.0
    began = time.perf_counter()
    encoder: Encoder = musicnn.opened() if name == "musicnn" else trained(fold, steps=1 if "one step" in name else None)
    seconds = time.perf_counter() - began
    frames = [encoder.frames(heard(piece)) for piece in pieces()]
    return {pooling: np.stack([pooled(each, pooling) for each in frames]) for pooling in POOLINGS}, seconds


def trained(fold: int, *, steps: int | None) -> logmel.LogmelEncoder:
    """On the songs of the other folds alone."""
    others = [recording_of(samples, name) for name, samples in songs().items() if name not in of_fold(fold)]
    settings = logmel.LogmelSettings() if steps is None else logmel.LogmelSettings(steps=steps)
    return logmel.fit(others, settings)


def of_fold(fold: int) -> list[str]:
    return list(songs())[fold::FOLDS]


def mfcc(samples: Floats) -> Floats:
    """The plainest description of timbre: a cosine transform of the same log-mel spectra."""
    coefficients = dct(musicnn.log_mel(samples, 0, 1 + len(samples) // musicnn.HOP).numpy(), axis=1, norm="ortho")[:, :COEFFICIENTS]
    return np.concatenate([coefficients.mean(axis=0), coefficients.std(axis=0)])


def first_hits(found: Floats, task: str, likeness: str, asked: list[str]) -> list[bool]:
    """For each piece of the songs that are asked about: whether the piece that is most like it, of all others, is of the same song."""
    seconds, kinds = TASKS[task]
    chosen = [at for at, piece in enumerate(pieces()) if piece.seconds == seconds and piece.kind in kinds]
    owners = np.array([pieces()[at].song for at in chosen])
    distances = cdist(found[chosen], found[chosen], likeness)
    np.fill_diagonal(distances, np.inf)
    right = owners[distances.argmin(axis=1)] == owners
    return [bool(hit) for hit, owner in zip(right, owners, strict=True) if owner in asked]


def retrieval(pool: ProcessPoolExecutor) -> tuple[list[Row], Any]:
    """How often another piece of the same song comes first: every encoder, pooling and likeness, on tasks that grow harder."""
    learned = [(name, fold) for name in ("logmel-cnn", "logmel-cnn after one step") for fold in range(FOLDS)]
    jobs = [("mfcc", 0), ("musicnn", 0), *learned]
    results = dict(zip(jobs, pool.map(vectors, jobs), strict=True))
    rows: list[Row] = []
    kept: dict[str, dict[str, float]] = {}
    for task in TASKS:
        for name, pooling, shares in shares_of(results, task):
            kept.setdefault(task, {}).update({f"{name}, {pooling}, {likeness}": share for likeness, share in shares.items()})
            words = ", ".join(f"{likeness} {share:.1%}" for likeness, share in shares.items())
            target = TARGETS.get(name) if task == "5 s" else None
            met = "-" if target is None else verdict(min(shares.values()) >= target)
            rows.append((f"{task}: {name}, {pooling}", "-" if target is None else f">= {target:.0%}", words, met))
    longest = max(results[job][1] for job in learned)
    rows.append((f"logmel-cnn: training on {len(SONGS) - len(of_fold(0))} songs", "< 60 s", f"{longest:.1f} s", verdict(longest < 60)))
    encoder, song = trained(0, steps=1), recording_of(songs()[CLIPS[0].stem], "song")
    hearing = seconds_of(lambda: encoder.frames(song), times=5)
    rows.append((f"logmel-cnn: hearing {song.seconds:.0f} s", "< 0.3 s", f"{hearing:.2f} s", verdict(hearing < 0.3)))
    return rows, kept | {"training_seconds": longest, "hearing_seconds": hearing}


def shares_of(results: dict[tuple[str, int], tuple[dict[str, Floats], float]], task: str) -> Iterator[tuple[str, str, dict[str, float]]]:
    """The share of right answers by encoder, pooling and likeness; a song is asked of the logmel-cnn that has not learned from it."""
    for name in dict.fromkeys(name for name, _ in results):
        folds = {fold: found for (other, fold), (found, _) in results.items() if other == name}
        for pooling in folds[0]:
            shares = {}
            for likeness in ("cosine", "euclidean"):
                hits = [
                    hit
                    for fold, found in folds.items()
                    for hit in first_hits(found[pooling], task, likeness, of_fold(fold) if len(folds) > 1 else list(songs()))
                ]
                shares[likeness] = float(np.mean(hits))
            yield name, pooling, shares


SLOWER = 1.25
LOOPING = [LOOPS[0], *(path for path in sorted(TRUTH.glob("*.ogg")) if path.stem != "nonrepeating")]
PLAYED = {"tiled_128bpm": "loop4bar_120bpm"}  # its bass and drums are the other's, note for note in their scores: one loop at two tempi


def tempo(pool: ProcessPoolExecutor) -> tuple[list[Row], Any]:
    """Every loop and the same loop slower by a quarter: whose rhythm is most like whose, with the tempo and without it."""
    jobs = [(path, factor) for path in LOOPING for factor in (1.0, SLOWER)]
    profiles = list(pool.map(rhythms, *zip(*jobs, strict=True)))
    rows: list[Row] = []
    kept: dict[str, list[bool]] = {}
    for at, words in enumerate(("as it is", "tempo set aside")):
        found = np.stack([each[at] for each in profiles])
        distances = cdist(found, found, "cosine")
        np.fill_diagonal(distances, np.inf)
        nearest = distances.argmin(axis=1)
        loops = [PLAYED.get(path.stem, path.stem) for path, _ in jobs]
        hits = [loops[other] == loops[own] for own, other in enumerate(nearest)]
        recordings = sum(int(other // 2 == own // 2) for own, other in enumerate(nearest))
        kept[words] = hits
        names = [f"{path.stem} x {1 / factor:g}" for path, factor in jobs]
        missed = ", ".join(f"{names[own]} is by {names[nearest[own]]}" for own, hit in enumerate(hits) if not hit)
        words = f"rhythm, {words}: the same loop at another tempo is nearest"
        measured = f"{sum(hits)} of {len(hits)} ({recordings} by the same recording)" + (f"; {missed}" if missed else "")
        rows.append((words, "all" if at else "-", measured, verdict(all(hits)) if at else "-"))
    return rows, kept


def rhythms(path: Path, factor: float) -> tuple[Floats, Floats]:
    """The rhythm of a song at another tempo, from a path trained on it, with its tempo and without."""
    found = path_of(slower(audio.load(path), factor))
    return rhythmic.profile(found), rhythmic.profile(found, tempo_free=True)


def path_of(recording: Recording) -> Trajectory:
    settings = preset("conditioned")
    picture = spectrogram(recording, settings.spectrogram)
    return embed(train_autoencoder(picture, settings).network, picture)


def slower(recording: Recording, factor: float) -> Recording:
    """At another tempo and the same pitch."""
    if factor == 1:
        return recording
    size, hop = 2048, 512
    window = torch.hann_window(size)
    waves = torch.stft(torch.from_numpy(recording.samples), size, hop, window=window, return_complex=True)
    advance = torch.linspace(0, torch.pi * hop, size // 2 + 1)[:, None]
    stretched = torch.istft(phase_vocoder(waves, 1 / factor, advance), size, hop, window=window)
    return dataclasses.replace(recording, samples=stretched.numpy())
