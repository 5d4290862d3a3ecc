import dataclasses

import numpy as np
import pytest

from trajectory.records import Floats, Recording
from trajectory.settings import SectionSettings, SpectrogramSettings, WindowSettings
from trajectory.spectrogram import SpectrogramError, spectrogram, window_bins, window_times, windows

RATE = 44_100
BIN = 1024 / RATE


def recording(samples: Floats, start: float = 0.0) -> Recording:
    return Recording(samples=samples.astype(np.float32), sample_rate=RATE, name="test.wav", section=SectionSettings(start=start))


def tone(hz: float, seconds: float = 2.0) -> Floats:
    return np.sin(2 * np.pi * hz * np.arange(int(seconds * RATE)) / RATE).astype(np.float32)


def noise(seconds: float, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).normal(0, 0.1, int(seconds * RATE)).astype(np.float32)


def test_the_published_spectrogram_has_94_frequencies_up_to_4_khz() -> None:
    picture = spectrogram(recording(noise(2)), SpectrogramSettings())
    assert picture.values.shape == (2 * RATE // 1024, 94)
    assert picture.frequencies[-1] == pytest.approx(93 * RATE / 1024)
    assert (picture.values.min(), picture.values.max()) == (0, 1)


@pytest.mark.parametrize("scale", ["linear", "decibel", "mel"])
def test_a_tone_is_brightest_at_its_own_frequency(scale: str) -> None:
    picture = spectrogram(recording(tone(1000) + 1e-3 * noise(2)), SpectrogramSettings(scale=scale))
    assert abs(picture.frequencies[picture.values.mean(0).argmax()] - 1000) < 25


def test_a_magnitude_is_the_tones_amplitude_before_scaling() -> None:
    picture = spectrogram(recording(0.25 * tone(RATE / 1024 * 20)), SpectrogramSettings())
    assert picture.high == pytest.approx(0.125, rel=1e-3)  # half of it at +f, half at -f


def test_decibels_span_the_range_below_the_loudest_value() -> None:
    picture = spectrogram(recording(tone(1000)), SpectrogramSettings(scale="decibel", decibels=40))
    assert picture.high - picture.low == pytest.approx(40, abs=1e-3)


def test_a_click_lights_the_bin_that_holds_it() -> None:
    samples = 1e-6 * noise(3)
    samples[RATE] = 1
    picture = spectrogram(recording(samples, start=10), SpectrogramSettings())
    lit = int(picture.values.sum(1).argmax())
    assert picture.start + lit * BIN <= 11 < picture.start + (lit + 1) * BIN


@pytest.mark.parametrize(("seconds", "bins"), [(0.25, 12), (0.5, 22), (1, 44), (2, 88), (4, 174)])
def test_window_lengths_are_the_published_ones(seconds: float, bins: int) -> None:
    assert window_bins(WindowSettings(seconds=seconds), BIN) == bins


def test_a_windows_time_is_its_centre_in_the_song() -> None:
    picture = spectrogram(recording(noise(2), start=30), SpectrogramSettings())
    times = window_times(picture, 22)
    assert len(times) == len(windows(picture, 22)) == picture.bins - 21
    assert times[:2] == pytest.approx([30 + 11 * BIN, 30 + 12 * BIN])


def test_windows_are_the_spectrograms_own_rows() -> None:
    picture = spectrogram(recording(noise(2)), SpectrogramSettings())
    np.testing.assert_array_equal(windows(picture, 22)[5], picture.values[5:27])


@pytest.mark.parametrize("scale", ["linear", "decibel", "mel"])
def test_what_comes_after_the_fitted_part_does_not_change_it(scale: str) -> None:
    quiet, loud = noise(4), noise(4)
    loud[3 * RATE :] *= 50
    settings = SpectrogramSettings(scale=scale)
    one, other = (spectrogram(recording(samples), settings, until=0.7) for samples in (quiet, loud))
    seen = round(0.7 * one.bins)
    np.testing.assert_array_equal(one.values[:seen], other.values[:seen])
    assert other.values[seen:].max() > 1


def test_the_scaling_is_the_same_at_any_volume() -> None:
    settings = SpectrogramSettings()
    one, other = spectrogram(recording(noise(2)), settings), spectrogram(recording(noise(2) / 8), settings)
    np.testing.assert_allclose(one.values, other.values, atol=1e-6)


@pytest.mark.parametrize(("samples", "part"), [(noise(0.01), "lasts"), (np.zeros(RATE, np.float32), "no sound")])
def test_too_little_sound_is_refused(samples: Floats, part: str) -> None:
    with pytest.raises(SpectrogramError, match=part):
        spectrogram(recording(samples), SpectrogramSettings())


def test_sound_that_begins_too_late_for_the_fitted_part_is_refused() -> None:
    late = dataclasses.replace(recording(np.concatenate([np.zeros(2 * RATE, np.float32), noise(2)])))
    with pytest.raises(SpectrogramError, match="first 50%"):
        spectrogram(late, SpectrogramSettings(), until=0.5)
