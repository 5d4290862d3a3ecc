"""The beat of a song, heard in its spectrogram: what a trajectory's period is laid beside."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from trajectory.records import Spectrogram

Reals = NDArray[np.float64]

SLOWEST_BPM, FASTEST_BPM, LIKELIEST_BPM = 40.0, 240.0, 120.0
LEAST_ONSET = 0.05  # a frequency, on the logarithmic scale: a steady tone wavers by 0.03, dense metal jumps by 0.08
LEAST_PULSE = 0.1  # music without a pulse stays near 0.05


@dataclass(frozen=True, kw_only=True)
class Beat:
    """A steady pulse through the song."""

    bpm: float
    confidence: float  # how much of an onset comes back a beat, two beats, ... later
    first: float  # seconds of the song at which the first beat falls

    @property
    def seconds(self) -> float:
        return 60 / self.bpm

    def phase(self, times: Reals) -> Reals:
        """How far into its beat each moment is, in [0, 1)."""
        return ((times - self.first) / self.seconds) % 1


def beat(spectrogram: Spectrogram) -> Beat | None:
    """The likeliest tempo of the onsets and where its beats fall; None where there is no pulse."""
    onsets = onset_envelope(spectrogram)
    if onsets.max(initial=0) < LEAST_ONSET * len(spectrogram.frequencies):
        return None
    tempi = np.geomspace(SLOWEST_BPM, FASTEST_BPM, 800)
    pulse = _comb(onsets, 60 / tempi / spectrogram.bin_seconds)
    likely = np.exp(-0.5 * (np.log2(tempi / LIKELIEST_BPM) / 0.9) ** 2)  # people tap between 60 and 200
    best = int(np.argmax(pulse * likely))
    if pulse[best] < LEAST_PULSE:
        return None
    times: Reals = np.arange(0.5, len(onsets)) * spectrogram.bin_seconds
    seconds = _sharpened(onsets, times, 60 / float(tempi[best]))
    first = spectrogram.start + _first_beat(onsets, times, seconds, spectrogram.bin_seconds)
    return Beat(bpm=60 / seconds, confidence=float(min(pulse[best], 1.0)), first=first)


def onset_envelope(spectrogram: Spectrogram) -> Reals:
    """Spectral flux: how much louder, on a logarithmic scale, each bin is than the one before, above the second around it."""
    mean = float(spectrogram.values.mean()) or 1.0
    loudness = np.log1p(np.asarray(spectrogram.values, dtype=np.float64) / mean)  # gentle enough for decibels too
    rise = np.maximum(np.diff(loudness, axis=0, prepend=loudness[:1]), 0).sum(axis=1)
    return np.asarray(np.maximum(rise - ndimage.gaussian_filter1d(rise, 1 / spectrogram.bin_seconds), 0))


def _comb(onsets: Reals, lags: Reals, *, teeth: int = 8) -> Reals:
    """The onsets' mean autocorrelation at the multiples of each lag: subdivisions and groups of beats fail at some of them."""
    count = len(onsets)
    centred = onsets - onsets.mean()
    size = fft.next_fast_len(2 * count)
    products = fft.irfft(np.abs(fft.rfft(centred, size)) ** 2, size)[:count]
    if not products[0] > 0:
        return np.zeros(len(lags))
    correlation = products / products[0] * count / (count - np.arange(count))
    multiples = lags[:, None] * np.arange(1, teeth + 1)
    inside = multiples < 0.75 * count  # later ones rest on too few bins
    heights = np.interp(multiples, np.arange(count), correlation)
    mean: Reals = np.divide((heights * inside).sum(axis=1), inside.sum(axis=1), out=np.zeros(len(lags)), where=inside[:, 1])
    return mean


def _sharpened(onsets: Reals, times: Reals, seconds: float) -> float:
    """The period within 2 % on which the onsets agree best from the first beat to the last."""
    nearby = seconds * np.linspace(0.98, 1.02, 161)
    agreement = [sum(abs(np.exp(-2j * np.pi * harmonic * times / each) @ onsets) for harmonic in (1, 2, 4)) for each in nearby]
    return float(nearby[np.argmax(agreement)])


def _first_beat(onsets: Reals, times: Reals, seconds: float, blur: float) -> float:
    """The shift under which the onsets fall nearest to the beats."""
    shifts = seconds * np.linspace(0, 1, 64, endpoint=False)
    away = (times[:, None] - shifts + seconds / 2) % seconds - seconds / 2  # (bins, shifts) from the nearest beat
    return float(shifts[np.argmax(onsets @ np.exp(-0.5 * (away / blur) ** 2))])
