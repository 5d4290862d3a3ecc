"""Recording -> Spectrogram, and its windows: the only code that turns seconds into bins and back."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import signal
from torchaudio.functional import melscale_fbanks

from trajectory.errors import TrajectoryError
from trajectory.records import Floats, Recording, Spectrogram
from trajectory.settings import SpectrogramSettings, WindowSettings


class SpectrogramError(TrajectoryError):
    """A recording without enough sound to make a picture of."""


def spectrogram(recording: Recording, settings: SpectrogramSettings, *, until: float = 1.0) -> Spectrogram:
    """The whole recording; the scaling to [0, 1] is fitted on its first `until` alone, so that nothing later leaks into it."""
    rate = recording.sample_rate
    if len(recording.samples) < 2 * settings.hop:
        raise SpectrogramError(f"{recording.name} lasts {recording.seconds:.2g} s; at least {2 * settings.hop / rate:.2g} s are needed")
    values, frequencies = _magnitudes(recording.samples, rate, settings)
    seen = values[: seen_bins(len(values), until)]
    if settings.scale != "linear":
        values = _decibels(values, loudest=float(seen.max()), decibels=settings.decibels)
        seen = values[: len(seen)]
    low, high = float(seen.min()), float(seen.max())
    if not high > low:
        raise SpectrogramError(
            f"{recording.name} has no sound below {settings.highest_hz:.0f} Hz in its first {until:.0%}; choose another section"
        )
    return Spectrogram(
        values=(values - low) / np.float32(high - low),
        frequencies=frequencies,
        bin_seconds=settings.hop / rate,
        start=recording.start,
        low=low,
        high=high,
    )


def seen_bins(bins: int, until: float) -> int:
    """How many of a song's bins lie in its first `until`."""
    return max(2, round(until * bins))


def window_bins(window: WindowSettings, bin_seconds: float) -> int:
    """The bin whose centre lies nearest the wanted length, counted from 1 and rounded up to even."""
    nearest = round(window.seconds / bin_seconds - 0.5)
    return nearest + 1 + (nearest + 1) % 2


def window_times(spectrogram: Spectrogram, bins: int) -> NDArray[np.float64]:
    """The centre of every window of so many bins, in seconds of the song."""
    starts = np.arange(spectrogram.bins - bins + 1, dtype=np.float64)
    return spectrogram.start + (starts + bins / 2) * spectrogram.bin_seconds


def windows(spectrogram: Spectrogram, bins: int) -> Floats:
    """Every window of so many bins, as a view: (windows, bins, frequencies)."""
    return np.lib.stride_tricks.sliding_window_view(spectrogram.values, bins, axis=0).swapaxes(1, 2)


def _magnitudes(samples: Floats, rate: int, settings: SpectrogramSettings) -> tuple[Floats, NDArray[np.float64]]:
    frequencies, _, values = signal.spectrogram(
        samples,
        rate,
        window=signal.windows.tukey(settings.hop, alpha=settings.taper),
        noverlap=0,
        scaling="spectrum",
        mode="magnitude",
    )
    if settings.scale == "mel":
        bands = melscale_fbanks(len(frequencies), 0.0, settings.highest_hz, settings.mel_bands, rate, norm="slaney", mel_scale="slaney")
        return (torch.from_numpy(values.T).float() @ bands).numpy(), _mel_centres(settings)
    count = int(np.abs(frequencies - settings.highest_hz).argmin()) + 1
    return np.ascontiguousarray(values[:count].T, dtype=np.float32), frequencies[:count]


def _mel_centres(settings: SpectrogramSettings) -> NDArray[np.float64]:
    """Slaney's scale: linear up to 1 kHz, 27 steps for each factor of 6.4 above."""
    top = settings.highest_hz
    steps = np.linspace(0, 3 * top / 200 if top < 1000 else 15 + 27 * np.log(top / 1000) / np.log(6.4), settings.mel_bands + 2)[1:-1]
    hertz = np.where(steps < 15, steps * (200 / 3), 1000 * np.exp((steps - 15) * (np.log(6.4) / 27)))
    return np.asarray(hertz, dtype=np.float64)


def _decibels(values: Floats, *, loudest: float, decibels: float) -> Floats:
    floor = max(loudest, 1e-30) * 10 ** (-decibels / 20)
    return 20 * np.log10(np.maximum(values, np.float32(floor)))
