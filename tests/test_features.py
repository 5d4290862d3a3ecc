import numpy as np
import pytest

from trajectory.features import FeatureError, Features, features
from trajectory.records import Recording
from trajectory.settings import SectionSettings, SpectrogramSettings
from trajectory.spectrogram import spectrogram

RATE = 44_100


def heard(samples: np.ndarray, start: float = 0.0) -> Features:
    recording = Recording(samples=samples.astype(np.float32), sample_rate=RATE, name="made", section=SectionSettings(start=start))
    return features(recording, spectrogram(recording, SpectrogramSettings()))


def tone(hertz: float, seconds: float) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE)


def test_a_tones_brightness_is_its_frequency() -> None:
    found = heard(np.concatenate([tone(500, 2), tone(2_000, 2)]))
    middle = len(found.brightness) // 2
    np.testing.assert_allclose(found.brightness[2 : middle - 2], 500, atol=60)
    np.testing.assert_allclose(found.brightness[middle + 2 : -2], 2_000, atol=60)


def test_loudness_is_in_decibels_below_the_loudest() -> None:
    found = heard(np.concatenate([tone(440, 2), 0.1 * tone(440, 2), np.zeros(RATE)]))
    third = len(found.loudness) // 5
    assert found.loudness[third] == pytest.approx(0, abs=0.2)
    assert found.loudness[3 * third] == pytest.approx(-20, abs=0.2)
    assert found.loudness[-2] == -80


def test_silence_has_no_brightness() -> None:
    assert heard(np.concatenate([tone(440, 1), np.zeros(RATE)])).brightness[-2] == 0


def test_the_waveform_holds_every_click() -> None:
    samples = np.zeros(10 * RATE)
    samples[7 * RATE] = -0.9
    samples[: RATE // 10] = tone(440, 0.1) / 2
    found = heard(samples)
    assert found.waveform.shape == (2_000, 2)
    assert found.waveform[1_400, 0] == pytest.approx(-0.9)
    assert np.abs(found.waveform[1_401:]).max() == 0


def test_values_are_meant_over_the_window_around_each_moment() -> None:
    found = heard(tone(440, 4), start=60.0)
    ramp = np.arange(len(found.loudness), dtype=np.float32)
    times = np.array([61.0, 62.0, 63.0])
    np.testing.assert_allclose(found.at(ramp, times, 0.5), (times - 60) / found.bin_seconds - 0.5, atol=0.02)  # bins are steps
    assert found.stop == pytest.approx(64, abs=0.03)


def test_the_picture_is_brightest_where_the_sound_is() -> None:
    found = heard(tone(1_000, 2))
    row = found.picture[10]
    assert abs(int(row.argmax()) * found.highest_hz / (len(row) - 1) - 1_000) < 45
    assert row.max() > 250
    assert row[-1] < 150


def test_what_was_heard_is_read_back_as_it_was() -> None:
    found = heard(tone(440, 2), start=3.0)
    again = Features.from_bytes(found.to_bytes())
    assert vars(again).keys() == vars(found).keys()
    for name, value in vars(found).items():
        np.testing.assert_array_equal(getattr(again, name), value)
    for broken in (b"", b"nothing", found.to_bytes()[:200]):
        with pytest.raises(FeatureError, match="heard again"):
            Features.from_bytes(broken)
