"""What one hears in a song beside its path: how loud and how bright it is, and the pictures of its sound that a page draws."""

import io
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from trajectory.errors import DAMAGE, TrajectoryError
from trajectory.records import Floats, Recording, Spectrogram

WAVEFORM_COLUMNS = 2_000
PICTURE_DECIBELS = 70.0  # between the darkest and the brightest of the picture
ROLL_OFF = 1e-4  # of the loudest: what is quieter has no brightness of its own


class FeatureError(TrajectoryError):
    """Features that cannot be read back."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Features:
    """A song's sound, bin by bin."""

    start: float  # seconds of the song at which bin 0 begins
    bin_seconds: float
    loudness: Floats  # (bins,) decibels below the loudest bin
    brightness: Floats  # (bins,) Hz: the spectral centroid
    waveform: Floats  # (columns, 2): least and greatest sample, evenly spaced
    picture: NDArray[np.uint8]  # (bins, frequencies): the spectrogram on a decibel scale
    highest_hz: float

    @property
    def stop(self) -> float:
        return self.start + len(self.loudness) * self.bin_seconds

    def at(self, values: Floats, times: NDArray[np.float64], window_seconds: float) -> Floats:
        """The mean of `values` over the window around each moment."""
        edges = self.start + np.arange(len(values) + 1) * self.bin_seconds
        sums = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)]) * self.bin_seconds
        low, high = (np.clip(times + side * window_seconds / 2, edges[0], edges[-1]) for side in (-1, 1))
        means = (np.interp(high, edges, sums) - np.interp(low, edges, sums)) / np.maximum(high - low, 1e-9)
        return np.asarray(means, dtype=np.float32)

    def to_bytes(self) -> bytes:
        """As an npz."""
        kept = io.BytesIO()
        np.savez_compressed(kept, **vars(self))
        return kept.getvalue()

    @classmethod
    def from_bytes(cls, kept: bytes) -> Self:
        """Reads back what `to_bytes` wrote."""
        try:
            with np.load(io.BytesIO(kept), allow_pickle=False) as arrays:
                return cls(**{name: arrays[name].item() if arrays[name].ndim == 0 else arrays[name] for name in arrays.files})
        except DAMAGE as error:
            raise FeatureError(f"what was heard in the song cannot be read back ({error}); it is heard again") from error


def features(recording: Recording, spectrogram: Spectrogram) -> Features:
    """Everything above, from the sound and its spectrogram on the linear scale."""
    values = spectrogram.values * np.float32(spectrogram.high - spectrogram.low) + np.float32(spectrogram.low)
    power = np.square(values, dtype=np.float64)
    sound = np.lib.stride_tricks.sliding_window_view(recording.samples, _hop(recording, spectrogram))[:: _hop(recording, spectrogram)]
    rms = np.sqrt(np.square(sound[: spectrogram.bins], dtype=np.float64).mean(axis=1))
    total = values.sum(axis=1, dtype=np.float64)
    audible = total > ROLL_OFF * total.max()
    centroid = np.divide(values @ spectrogram.frequencies, total, out=np.zeros(len(total)), where=audible)
    level = 10 * np.log10(np.maximum(power / power.max(), 1e-12))
    return Features(
        start=spectrogram.start,
        bin_seconds=spectrogram.bin_seconds,
        loudness=(20 * np.log10(np.maximum(rms / max(rms.max(), 1e-12), 1e-4))).astype(np.float32),
        brightness=centroid.astype(np.float32),
        waveform=_extremes(recording.samples, WAVEFORM_COLUMNS),
        picture=(255 * np.clip(1 + level / PICTURE_DECIBELS, 0, 1)).astype(np.uint8),
        highest_hz=float(spectrogram.frequencies[-1]),
    )


def _hop(recording: Recording, spectrogram: Spectrogram) -> int:
    return round(spectrogram.bin_seconds * recording.sample_rate)


def _extremes(samples: Floats, columns: int) -> Floats:
    """(samples,) -> (columns, 2), each column the least and greatest of its share."""
    columns = min(columns, len(samples))
    firsts = np.linspace(0, len(samples), columns, endpoint=False).astype(np.int64)
    return np.stack([np.minimum.reduceat(samples, firsts), np.maximum.reduceat(samples, firsts)], axis=1)
