import dataclasses
import functools
import json

import numpy as np
import pytest
from sklearn.decomposition import PCA

from tests.paths import STEP, Reals, noise, random, ring, trajectory, turned
from tests.songs import LOOPS, TRUTH, picture
from trajectory import structure
from trajectory.records import Trajectory
from trajectory.rhythm import Beat
from trajectory.settings import HALF_SECOND, TWO_SECONDS, Scale, WindowSettings
from trajectory.spectrogram import window_bins, window_times, windows

SINGLE_LOOPS = [name for name in LOOPS if "sections" not in TRUTH[name]]


def three_rings(apart: float = 6.0) -> Reals:
    visits = [ring(430, 1.7, centre=(apart * place, 0, 0)) for place in range(3)]
    return np.concatenate(visits) + noise(1290, 0.1)


@functools.cache
def song_path(name: str, scale: Scale = "linear", window: WindowSettings = HALF_SECOND) -> Trajectory:
    """A trajectory that needs no training: the three principal components of the windows themselves."""
    sound = picture(f"tests/truth/{name}.ogg", scale)
    bins = window_bins(window, sound.bin_seconds)
    flat = windows(sound, bins).reshape(sound.bins - bins + 1, -1)
    points = PCA(3, svd_solver="randomized", random_state=0).fit_transform(flat)
    return Trajectory(points=points.astype(np.float32), times=window_times(sound, bins))


# --- Period


def test_recurrence_by_lag_is_its_definition() -> None:
    points = noise(40, 1.0) * [3.0, 2.0, 1.5]
    centred = points - points.mean(axis=0)
    left, spreads, _ = np.linalg.svd(centred, full_matrices=False)
    balanced = left * spreads / np.hypot(spreads, 0.1 * spreads[0])
    for lag, found in enumerate(structure.recurrence_by_lag(points)):
        before, after = balanced[: 40 - lag], balanced[lag:]
        assert found == pytest.approx(1 - ((before - after) ** 2).sum() / ((before**2).sum() + (after**2).sum()))


@pytest.mark.parametrize("seconds", [1.672, 2.4, 5.03])
def test_the_period_of_a_noisy_drifting_ring_is_found_between_bins(seconds: float) -> None:
    drift = np.linspace(0, 1, 1300)[:, None] * [0.5, -0.3, 0.4]
    found = structure.period(trajectory(ring(1300, seconds) + drift + noise(1300, 0.1)))
    assert found is not None
    assert found.seconds == pytest.approx(seconds, rel=0.003)


def test_the_period_is_the_smallest_of_equal_multiples() -> None:
    found = structure.period(trajectory(ring(4000, 2.0)))
    assert found is not None
    assert found.seconds == pytest.approx(2.0, rel=1e-3)
    assert found.strength == pytest.approx(1, abs=0.01)


def test_a_bar_that_differs_makes_the_whole_loop_the_period() -> None:
    bar = ring(1300, 2.0)
    bar[:, 2] += 1.5 * np.sin(2 * np.pi * np.arange(1300) * STEP / 8.0)
    found = structure.period(trajectory(bar))
    assert found is not None
    assert found.seconds == pytest.approx(8.0, rel=0.003)


def test_what_repeats_within_sections_is_found_across_them() -> None:
    points = np.concatenate([ring(600, 2.4), ring(400, 2.4, centre=(9, 0, 0)), ring(600, 2.4)]) + noise(1600, 0.1)
    found = structure.period(trajectory(points))
    assert found is not None
    assert found.seconds == pytest.approx(2.4, rel=0.003)
    assert found.strength > 0.9


def test_what_repeats_within_a_beat_gives_a_period_of_several_beats() -> None:
    found = structure.period(trajectory(ring(1300, 0.4)))
    assert found is not None
    assert found.seconds == pytest.approx(1.6, rel=0.005)


@pytest.mark.parametrize("seed", range(8))
def test_a_random_walk_has_no_period(seed: int) -> None:
    assert structure.period(trajectory(noise(1300, 1.0, seed).cumsum(axis=0))) is None


@pytest.mark.parametrize("points", [np.ones((500, 3)), np.linspace([0.0, 0, 0], [1, 2, 3], 500)], ids=["a rest", "a line"])
def test_a_path_that_never_returns_has_no_period(points: Reals) -> None:
    assert structure.period(trajectory(points)) is None


@pytest.mark.parametrize("window", [HALF_SECOND, TWO_SECONDS], ids=["0.5 s", "2 s"])
@pytest.mark.parametrize("scale", ["linear", "decibel"])
@pytest.mark.parametrize("name", SINGLE_LOOPS)
def test_the_period_of_a_loop_is_its_own_or_its_bars(name: str, scale: Scale, window: WindowSettings) -> None:
    found = structure.period(song_path(name, scale, window))
    assert found is not None
    assert min(abs(found.seconds / TRUTH[name][unit] - 1) for unit in ("bar_s", "loop_s")) < 0.02


@pytest.mark.parametrize(("scale", "window"), [("linear", TWO_SECONDS), ("decibel", HALF_SECOND), ("decibel", TWO_SECONDS)])
def test_the_period_of_a_form_with_a_middle_part_is_its_bar(scale: Scale, window: WindowSettings) -> None:
    found = structure.period(song_path("form_aba_100bpm", scale, window))
    assert found is not None
    assert found.seconds == pytest.approx(2.4, rel=0.005)


@pytest.mark.parametrize("window", [HALF_SECOND, TWO_SECONDS], ids=["0.5 s", "2 s"])
@pytest.mark.parametrize("scale", ["linear", "decibel"])
def test_music_that_does_not_repeat_has_no_period(scale: Scale, window: WindowSettings) -> None:
    assert structure.period(song_path("nonrepeating", scale, window)) is None


# --- Sections


def test_a_path_that_leaves_and_returns_has_three_sections() -> None:
    points = np.concatenate([ring(600, 1.9), ring(400, 2.3, centre=(3, 1, 0)), ring(500, 1.9)]) + noise(1500, 0.1)
    found = structure.sections(trajectory(points, start=60.0))
    assert [section.label for section in found] == ["A", "B", "A"]
    assert (found[0].start, found[-1].stop) == pytest.approx((60, 60 + 1499 * STEP))
    assert [section.stop for section in found[:2]] == pytest.approx([60 + 600 * STEP, 60 + 1000 * STEP], abs=0.5)
    assert [section.stop for section in found[:-1]] == [section.start for section in found[1:]]


def test_a_short_excursion_is_no_section() -> None:
    points = ring(1300, 2.0) + noise(1300, 0.1)
    points[600:650] += [8, 0, 0]
    assert [section.label for section in structure.sections(trajectory(points))] == ["A"]


@pytest.mark.parametrize("window", [HALF_SECOND, TWO_SECONDS], ids=["0.5 s", "2 s"])
@pytest.mark.parametrize("scale", ["linear", "decibel"])
def test_the_form_of_a_song_is_heard_with_its_borders(scale: Scale, window: WindowSettings) -> None:
    found = structure.sections(song_path("form_aba_100bpm", scale, window))
    truth = TRUTH["form_aba_100bpm"]["sections"]
    assert [section.label for section in found] == [label for _, _, label in truth]
    assert [section.stop for section in found[:-1]] == pytest.approx([stop for _, stop, _ in truth[:-1]], abs=1.0)


@pytest.mark.parametrize("name", SINGLE_LOOPS)
def test_a_loop_is_one_section(name: str) -> None:
    assert [section.label for section in structure.sections(song_path(name))] == ["A"]


# --- Lobes


def test_three_rings_are_three_lobes_in_the_order_of_their_visits() -> None:
    points = three_rings()
    found = structure.lobes(trajectory(np.concatenate([points[430:860], points[:430], points[860:], points[430:860]])))
    assert (found.count, found.order) == (3, (0, 1, 2, 0))
    np.testing.assert_array_equal(found.labels, np.repeat([0, 1, 2, 0], 430))
    assert found.separation > 0.7


def test_one_ring_is_one_lobe() -> None:
    found = structure.lobes(trajectory(ring(1300, 1.7) + noise(1300, 0.1)))
    assert (found.count, found.order) == (1, (0,))
    assert found.separation < 0.1


def test_lobes_that_blend_are_kept_apart_less() -> None:
    separations = [structure.lobes(trajectory(three_rings(apart))).separation for apart in (9.0, 5.0, 3.0, 0.5)]
    assert separations == sorted(separations, reverse=True)
    assert separations[0] > 0.8
    assert separations[-1] < 0.2


def test_lobes_depend_neither_on_scale_nor_on_the_smoothness_of_the_steps() -> None:
    points = three_rings(5.0)
    shuffled = np.concatenate([random(visit).permutation(points[visit * 430 : (visit + 1) * 430]) for visit in range(3)])
    whole, rough = structure.lobes(trajectory(points)), structure.lobes(trajectory(0.01 * turned(shuffled)))
    assert (rough.count, rough.order) == (whole.count, whole.order) == (3, (0, 1, 2))
    assert rough.separation == pytest.approx(whole.separation, abs=1e-4)


def test_short_visits_to_a_lobe_are_smoothed_away() -> None:
    points = three_rings()
    points[200:210] = points[500:510]
    assert structure.lobes(trajectory(points)).order == (0, 1, 2)


def test_the_two_regions_of_a_song_are_its_lobes() -> None:
    found = structure.lobes(song_path("form_aba_100bpm"))
    assert (found.count, found.order) == (2, (0, 1, 0))


# --- All of it


def test_a_shape_can_be_written_down_and_explains_itself() -> None:
    found = structure.shape(trajectory(three_rings()), Beat(bpm=100, confidence=0.5, first=0.25))
    assert json.loads(json.dumps(dataclasses.asdict(found), allow_nan=False))["sections"][0]["label"] == "A"
    assert (found.beat_bpm, found.lobe_count) == (100, 3)
    assert found.period_seconds == pytest.approx(1.7, rel=0.01)
    assert all(field.metadata["says"] for field in dataclasses.fields(found))


@pytest.mark.parametrize("count", [2, 3, 50])
def test_a_path_that_rests_has_a_shape_too(count: int) -> None:
    found = structure.shape(trajectory(np.ones((count, 3))), None)
    assert (found.turn_cosine, found.path_length, found.radius, found.period_seconds, found.beat_bpm) == (None, 0, 0, None, None)
    assert ([section.label for section in found.sections], found.lobe_count, found.lobe_separation) == (["A"], 1, 0)


@pytest.mark.parametrize("count", [2, 3, 40])
def test_a_very_short_path_has_a_shape_too(count: int) -> None:
    found = structure.shape(trajectory(noise(count, 1.0)), None)
    assert (found.sections[0].label, found.period_seconds) == ("A", None)
