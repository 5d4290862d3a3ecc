import dataclasses

import numpy as np
import pytest

from tests.songs import LOOPS, TRUTH, picture
from trajectory.records import Recording, Spectrogram
from trajectory.rhythm import Beat, beat
from trajectory.settings import Scale, SpectrogramSettings
from trajectory.spectrogram import spectrogram

STEP = 1024 / 44_100


def clicks(bpm: float, first: float, seconds: float = 30.0, bins: float = STEP) -> Spectrogram:
    values = np.abs(np.random.default_rng(0).normal(0, 0.01, (int(seconds / bins), 20)))
    at = ((np.arange(first, seconds - bins, 60 / bpm)) / bins).astype(int)
    values[at] += 1.0
    return Spectrogram(values=values.astype(np.float32), frequencies=np.arange(20.0), bin_seconds=bins, start=100.0, low=0.0, high=1.0)


@pytest.mark.parametrize(("bpm", "first"), [(72, 0.7), (97.3, 0.1), (128, 0.3), (174, 0.2)])
def test_clicks_give_their_tempo_and_their_first_beat(bpm: float, first: float) -> None:
    found = beat(clicks(bpm, first))
    assert found is not None
    assert found.bpm == pytest.approx(bpm, rel=0.002)
    assert found.first == pytest.approx(100 + first, abs=0.02)
    assert found.confidence > 0.5


def test_the_phase_of_a_beat_runs_from_one_beat_to_the_next() -> None:
    pulse = Beat(bpm=120, confidence=1, first=10.25)
    assert pulse.seconds == 0.5
    np.testing.assert_allclose(pulse.phase(np.array([10.25, 10.375, 10.5, 0.0, 11.25])), [0, 0.25, 0.5, 0.5, 0], atol=1e-9)


@pytest.mark.parametrize("scale", ["linear", "decibel", "mel"])
def test_a_steady_tone_has_no_beat(scale: Scale) -> None:
    tone = np.sin(2 * np.pi * 440 * np.arange(441_000) / 44_100).astype(np.float32)
    assert beat(spectrogram(Recording(samples=tone, sample_rate=44_100, name="tone"), SpectrogramSettings(scale=scale))) is None


def test_noise_and_silence_have_no_beat() -> None:
    quiet = clicks(120, 99)
    assert beat(quiet) is None
    assert beat(dataclasses.replace(quiet, values=np.zeros_like(quiet.values))) is None


@pytest.mark.parametrize("scale", ["linear", "decibel", "mel"])
@pytest.mark.parametrize("name", LOOPS)
def test_the_beat_of_a_loop_is_its_tempo_from_its_start(name: str, scale: Scale) -> None:
    found = beat(picture(f"tests/truth/{name}.ogg", scale))
    assert found is not None
    assert found.bpm == pytest.approx(TRUTH[name]["bpm"], rel=0.002)
    assert min(found.first, found.seconds - found.first) < 0.03


@pytest.mark.parametrize("scale", ["linear", "decibel", "mel"])
def test_music_without_a_pulse_has_no_beat(scale: Scale) -> None:
    assert beat(picture("tests/truth/nonrepeating.ogg", scale)) is None


@pytest.mark.parametrize(("name", "bpm"), [("01_electronic_loop", 100), ("03_rock_drums_sample", 150), ("07_cc0_loop_120bpm", 120)])
def test_the_beat_of_a_song_is_its_known_tempo(name: str, bpm: float) -> None:
    found = beat(picture(f"assets/songs/{name}.ogg"))
    assert found is not None
    assert found.bpm == pytest.approx(bpm, rel=0.005)
