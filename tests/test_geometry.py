import dataclasses
import functools
import itertools
import json

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from tests.songs import LOOPS, TRUTH, picture
from trajectory import geometry
from trajectory.geometry import GeometryError
from trajectory.records import Trajectory
from trajectory.settings import HALF_SECOND, TWO_SECONDS, Scale, WindowSettings
from trajectory.spectrogram import window_bins, window_times, windows

Reals = NDArray[np.float64]

SINGLE_LOOPS = [name for name in LOOPS if "sections" not in TRUTH[name]]
STEP = 1024 / 44_100


def trajectory(points: Reals, step: float = STEP, start: float = 0.0) -> Trajectory:
    return Trajectory(points=points.astype(np.float32), times=np.asarray(start + np.arange(len(points)) * step, dtype=np.float64))


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def noise(count: int, size: float, seed: int = 0, dims: int = 3) -> Reals:
    return random(seed).normal(0, size, (count, dims))


def ring(count: int, period: float, *, centre: tuple[float, float, float] = (0, 0, 0), size: float = 1.0) -> Reals:
    angle = 2 * np.pi * np.arange(count) * STEP / period
    return np.array(centre) + size * np.stack([np.cos(angle), np.sin(angle), 0.3 * np.sin(2 * angle)], axis=1)


def turned(points: Reals, seed: int = 0) -> Reals:
    rotation, _ = np.linalg.qr(random(seed).normal(size=(points.shape[1],) * 2))
    return np.asarray(points @ rotation)


def curve(times: Reals) -> Reals:
    return np.stack([np.cos(times), np.sin(2 * times), times], axis=1)


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


# --- The path itself


def test_a_straight_path_never_turns() -> None:
    points = np.arange(10.0)[:, None] * [3.0, 4.0]
    assert geometry.mean_turn_cosine(points) == pytest.approx(1)
    assert geometry.path_length(points) == pytest.approx(45)


def test_a_zigzag_turns_back_at_every_step() -> None:
    assert geometry.mean_turn_cosine(np.array([[0.0], [1.0]] * 5)) == pytest.approx(-1)


def test_steps_round_a_polygon_turn_by_its_angle() -> None:
    angles = 2 * np.pi * np.arange(50) / 12
    assert geometry.mean_turn_cosine(np.stack([np.cos(angles), np.sin(angles)], axis=1)) == pytest.approx(np.cos(np.pi / 6))


def test_turns_from_or_into_a_rest_do_not_count() -> None:
    corner = np.array([[0, 0], [1, 0], [1, 1], [1, 1], [0, 1], [0, 2]], dtype=float)
    assert geometry.mean_turn_cosine(corner) == pytest.approx(0)


def test_a_path_that_does_not_move_has_no_turns() -> None:
    assert geometry.mean_turn_cosine(np.ones((20, 3))) is None
    assert geometry.path_length(np.ones((20, 3))) == 0


def test_a_circles_speed_and_curvature_are_its_own() -> None:
    angle = 2 * np.pi * np.arange(200) / 50
    circle = Trajectory(points=(3 * np.stack([np.cos(angle), np.sin(angle)], 1)).astype(np.float32), times=np.arange(200) * 0.1)
    np.testing.assert_allclose(geometry.speed(circle), 2 * 3 * np.sin(np.pi / 50) / 0.1, rtol=1e-4)
    np.testing.assert_allclose(geometry.curvature(circle)[1:-1], 2 * np.pi / 50, rtol=1e-3)


def test_a_path_that_rests_or_turns_back_has_a_curvature() -> None:
    path = Trajectory(points=np.array([[0], [1], [1], [2], [1]], np.float32), times=np.arange(5.0))
    np.testing.assert_allclose(geometry.curvature(path), [0, 0, 0, np.pi, 0])


def test_points_are_turned_onto_others_without_growing() -> None:
    points = noise(60, 1.0)
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    np.testing.assert_allclose(geometry.turned_onto(points @ turn, points), points, atol=1e-9)
    np.testing.assert_allclose(geometry.turned_onto(0.1 * points @ turn, points), 0.1 * points, atol=1e-9)


def test_principal_coordinates_keep_every_distance() -> None:
    points = ring(200, 2.0, centre=(5, -3, 2)) + noise(200, 0.2)
    shown = geometry.principal_coordinates(points)
    np.testing.assert_allclose(
        np.linalg.norm(shown[:, None] - shown, axis=-1), np.linalg.norm(points[:, None] - points, axis=-1), atol=1e-9
    )
    np.testing.assert_allclose(shown.mean(axis=0), 0, atol=1e-9)
    spreads = shown.std(axis=0)
    assert spreads[0] >= spreads[1] >= spreads[2]


def test_principal_coordinates_do_not_depend_on_how_the_space_was_turned() -> None:
    points = random(1).gamma(1.0, [3.0, 2.0, 1.0], (300, 3))
    rotation = np.linalg.qr(random(2).normal(size=(3, 3)))[0]
    rotation *= np.linalg.det(rotation)  # a turn, no mirror
    np.testing.assert_allclose(geometry.principal_coordinates(points @ rotation), geometry.principal_coordinates(points), atol=1e-9)


def test_principal_coordinates_never_mirror_the_path() -> None:
    points = random(1).gamma(1.0, [3.0, 2.0, 1.0], (300, 3))
    for signs in itertools.product([-1.0, 1.0], repeat=3):
        mirrored = points * signs
        step = geometry.principal_coordinates(mirrored)[:3] - geometry.principal_coordinates(mirrored)[3]
        assert np.linalg.det(step) == pytest.approx(np.linalg.det(mirrored[:3] - mirrored[3]))


@pytest.mark.parametrize(("dims", "shown"), [(2, 2), (3, 3), (12, 3)])
def test_principal_coordinates_show_three_dimensions_at_most(dims: int, shown: int) -> None:
    assert geometry.principal_coordinates(noise(50, 1.0, dims=dims)).shape == (50, shown)


# --- Two paths


def test_alignment_undoes_a_turn_a_mirror_a_shift_and_a_scale() -> None:
    reference = ring(300, 2.0) + noise(300, 0.1)
    moved = 0.2 * turned(reference * [1, 1, -1], seed=3) + [4, 5, 6]
    aligned = geometry.align(trajectory(moved), trajectory(reference))
    np.testing.assert_allclose(aligned.trajectory.points, reference, atol=1e-5)
    assert aligned.disparity == pytest.approx(0, abs=1e-9)


def test_disparity_grows_with_noise_and_ends_at_one() -> None:
    reference = ring(600, 2.0)
    disparities = [geometry.align(trajectory(reference + noise(600, size)), trajectory(reference)).disparity for size in (0.1, 0.5, 100.0)]
    assert disparities[0] < 0.05 < disparities[1] < 0.6 < 0.95 < disparities[2] <= 1


def test_disparity_is_the_share_of_the_reference_that_stays_unexplained() -> None:
    moving, fixed = trajectory(ring(400, 2.0) + noise(400, 0.3)), trajectory(ring(400, 2.0))
    left = ((geometry.align(moving, fixed).trajectory.points - fixed.points) ** 2).sum()
    assert geometry.align(moving, fixed).disparity == pytest.approx(
        left / ((fixed.points - fixed.points.mean(axis=0)) ** 2).sum(), rel=1e-3
    )


def test_alignment_matches_points_by_their_times() -> None:
    fine, coarse = np.linspace(0, 10, 1001), np.linspace(2, 13, 150)
    reference = Trajectory(points=curve(fine).astype(np.float32), times=fine)
    aligned = geometry.align(Trajectory(points=3 * curve(coarse).astype(np.float32), times=coarse), reference).trajectory
    np.testing.assert_allclose(aligned.points, curve(coarse), atol=0.02)
    np.testing.assert_array_equal(aligned.times, coarse)


def test_alignment_lifts_a_flat_path_into_the_space_of_the_other() -> None:
    flat = ring(300, 2.0)[:, :2]
    reference = turned(np.pad(flat, ((0, 0), (0, 10))))
    aligned = geometry.align(trajectory(flat), trajectory(reference))
    np.testing.assert_allclose(aligned.trajectory.points, reference, atol=1e-5)


def test_trajectories_of_different_moments_cannot_be_aligned() -> None:
    with pytest.raises(GeometryError, match="share 0 moments"):
        geometry.align(trajectory(ring(100, 1.0)), trajectory(ring(100, 1.0), start=60))


def test_a_resting_trajectory_cannot_be_aligned() -> None:
    with pytest.raises(GeometryError, match="stays at one point"):
        geometry.align(trajectory(np.ones((100, 3))), trajectory(ring(100, 1.0)))


# --- Recurrence and period


def test_recurrence_holds_the_distances_between_moments() -> None:
    found = geometry.recurrence(trajectory(np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 0.0]])))
    np.testing.assert_allclose(found.distances, [[0, 5, 0], [5, 0, 5], [0, 5, 0]])
    assert (found.graded()[0, [0, 2]] == 1).all()
    assert found.graded()[0, 1] < 0.01
    np.testing.assert_array_equal(found.thresholded(share=0.5), found.distances == 0)


def test_recurrence_of_a_long_path_is_decimated_with_its_times() -> None:
    found = geometry.recurrence(trajectory(noise(13_000, 1.0)))
    assert found.distances.shape == (1445, 1445)
    np.testing.assert_allclose(np.diff(found.times), 9 * STEP)


def test_recurrence_by_lag_is_its_definition() -> None:
    points = noise(40, 1.0) * [3.0, 2.0, 1.5]
    centred = points - points.mean(axis=0)
    left, spreads, _ = np.linalg.svd(centred, full_matrices=False)
    balanced = left * spreads / np.hypot(spreads, 0.1 * spreads[0])
    for lag, found in enumerate(geometry.recurrence_by_lag(points)):
        before, after = balanced[: 40 - lag], balanced[lag:]
        assert found == pytest.approx(1 - ((before - after) ** 2).sum() / ((before**2).sum() + (after**2).sum()))


@pytest.mark.parametrize("seconds", [1.672, 2.4, 5.03])
def test_the_period_of_a_noisy_drifting_ring_is_found_between_bins(seconds: float) -> None:
    drift = np.linspace(0, 1, 1300)[:, None] * [0.5, -0.3, 0.4]
    found = geometry.period(trajectory(ring(1300, seconds) + drift + noise(1300, 0.1)))
    assert found is not None
    assert found.seconds == pytest.approx(seconds, rel=0.003)


def test_the_period_is_the_smallest_of_equal_multiples() -> None:
    found = geometry.period(trajectory(ring(4000, 2.0)))
    assert found is not None
    assert found.seconds == pytest.approx(2.0, rel=1e-3)
    assert found.strength == pytest.approx(1, abs=0.01)


def test_a_bar_that_differs_makes_the_whole_loop_the_period() -> None:
    bar = ring(1300, 2.0)
    bar[:, 2] += 1.5 * np.sin(2 * np.pi * np.arange(1300) * STEP / 8.0)
    found = geometry.period(trajectory(bar))
    assert found is not None
    assert found.seconds == pytest.approx(8.0, rel=0.003)


def test_what_repeats_within_sections_is_found_across_them() -> None:
    points = np.concatenate([ring(600, 2.4), ring(400, 2.4, centre=(9, 0, 0)), ring(600, 2.4)]) + noise(1600, 0.1)
    found = geometry.period(trajectory(points))
    assert found is not None
    assert found.seconds == pytest.approx(2.4, rel=0.003)
    assert found.strength > 0.9


def test_what_repeats_within_a_beat_gives_a_period_of_several_beats() -> None:
    found = geometry.period(trajectory(ring(1300, 0.4)))
    assert found is not None
    assert found.seconds == pytest.approx(1.6, rel=0.005)


@pytest.mark.parametrize("seed", range(8))
def test_a_random_walk_has_no_period(seed: int) -> None:
    assert geometry.period(trajectory(noise(1300, 1.0, seed).cumsum(axis=0))) is None


@pytest.mark.parametrize("points", [np.ones((500, 3)), np.linspace([0.0, 0, 0], [1, 2, 3], 500)], ids=["a rest", "a line"])
def test_a_path_that_never_returns_has_no_period(points: Reals) -> None:
    assert geometry.period(trajectory(points)) is None


@pytest.mark.parametrize("window", [HALF_SECOND, TWO_SECONDS], ids=["0.5 s", "2 s"])
@pytest.mark.parametrize("scale", ["linear", "decibel"])
@pytest.mark.parametrize("name", SINGLE_LOOPS)
def test_the_period_of_a_loop_is_its_own_or_its_bars(name: str, scale: Scale, window: WindowSettings) -> None:
    found = geometry.period(song_path(name, scale, window))
    assert found is not None
    assert min(abs(found.seconds / TRUTH[name][unit] - 1) for unit in ("bar_s", "loop_s")) < 0.02


@pytest.mark.parametrize(("scale", "window"), [("linear", TWO_SECONDS), ("decibel", HALF_SECOND), ("decibel", TWO_SECONDS)])
def test_the_period_of_a_form_with_a_middle_part_is_its_bar(scale: Scale, window: WindowSettings) -> None:
    found = geometry.period(song_path("form_aba_100bpm", scale, window))
    assert found is not None
    assert found.seconds == pytest.approx(2.4, rel=0.005)


@pytest.mark.parametrize("window", [HALF_SECOND, TWO_SECONDS], ids=["0.5 s", "2 s"])
@pytest.mark.parametrize("scale", ["linear", "decibel"])
def test_music_that_does_not_repeat_has_no_period(scale: Scale, window: WindowSettings) -> None:
    assert geometry.period(song_path("nonrepeating", scale, window)) is None


# --- Sections


def test_a_path_that_leaves_and_returns_has_three_sections() -> None:
    points = np.concatenate([ring(600, 1.9), ring(400, 2.3, centre=(3, 1, 0)), ring(500, 1.9)]) + noise(1500, 0.1)
    found = geometry.sections(trajectory(points, start=60.0))
    assert [section.label for section in found] == ["A", "B", "A"]
    assert (found[0].start, found[-1].stop) == pytest.approx((60, 60 + 1499 * STEP))
    assert [section.stop for section in found[:2]] == pytest.approx([60 + 600 * STEP, 60 + 1000 * STEP], abs=0.5)
    assert [section.stop for section in found[:-1]] == [section.start for section in found[1:]]


def test_a_short_excursion_is_no_section() -> None:
    points = ring(1300, 2.0) + noise(1300, 0.1)
    points[600:650] += [8, 0, 0]
    assert [section.label for section in geometry.sections(trajectory(points))] == ["A"]


@pytest.mark.parametrize("window", [HALF_SECOND, TWO_SECONDS], ids=["0.5 s", "2 s"])
@pytest.mark.parametrize("scale", ["linear", "decibel"])
def test_the_form_of_a_song_is_heard_with_its_borders(scale: Scale, window: WindowSettings) -> None:
    found = geometry.sections(song_path("form_aba_100bpm", scale, window))
    truth = TRUTH["form_aba_100bpm"]["sections"]
    assert [section.label for section in found] == [label for _, _, label in truth]
    assert [section.stop for section in found[:-1]] == pytest.approx([stop for _, stop, _ in truth[:-1]], abs=1.0)


@pytest.mark.parametrize("name", SINGLE_LOOPS)
def test_a_loop_is_one_section(name: str) -> None:
    assert [section.label for section in geometry.sections(song_path(name))] == ["A"]


# --- Lobes


def test_three_rings_are_three_lobes_in_the_order_of_their_visits() -> None:
    points = three_rings()
    found = geometry.lobes(trajectory(np.concatenate([points[430:860], points[:430], points[860:], points[430:860]])))
    assert (found.count, found.order) == (3, (0, 1, 2, 0))
    np.testing.assert_array_equal(found.labels, np.repeat([0, 1, 2, 0], 430))
    assert found.separation > 0.7


def test_one_ring_is_one_lobe() -> None:
    found = geometry.lobes(trajectory(ring(1300, 1.7) + noise(1300, 0.1)))
    assert (found.count, found.order) == (1, (0,))
    assert found.separation < 0.1


def test_lobes_that_blend_are_kept_apart_less() -> None:
    separations = [geometry.lobes(trajectory(three_rings(apart))).separation for apart in (9.0, 5.0, 3.0, 0.5)]
    assert separations == sorted(separations, reverse=True)
    assert separations[0] > 0.8
    assert separations[-1] < 0.2


def test_lobes_depend_neither_on_scale_nor_on_the_smoothness_of_the_steps() -> None:
    points = three_rings(5.0)
    shuffled = np.concatenate([random(visit).permutation(points[visit * 430 : (visit + 1) * 430]) for visit in range(3)])
    whole, rough = geometry.lobes(trajectory(points)), geometry.lobes(trajectory(0.01 * turned(shuffled)))
    assert (rough.count, rough.order) == (whole.count, whole.order) == (3, (0, 1, 2))
    assert rough.separation == pytest.approx(whole.separation, abs=1e-4)


def test_short_visits_to_a_lobe_are_smoothed_away() -> None:
    points = three_rings()
    points[200:210] = points[500:510]
    assert geometry.lobes(trajectory(points)).order == (0, 1, 2)


def test_the_two_regions_of_a_song_are_its_lobes() -> None:
    found = geometry.lobes(song_path("form_aba_100bpm"))
    assert (found.count, found.order) == (2, (0, 1, 0))


# --- All of it


def test_a_shape_can_be_written_down_and_explains_itself() -> None:
    found = geometry.shape(trajectory(three_rings()), geometry.Beat(bpm=100, confidence=0.5, first=0.25))
    assert json.loads(json.dumps(dataclasses.asdict(found), allow_nan=False))["sections"][0]["label"] == "A"
    assert (found.beat_bpm, found.lobe_count) == (100, 3)
    assert found.period_seconds == pytest.approx(1.7, rel=0.01)
    assert all(field.metadata["says"] for field in dataclasses.fields(found))


@pytest.mark.parametrize("count", [2, 3, 50])
def test_a_path_that_rests_has_a_shape_too(count: int) -> None:
    found = geometry.shape(trajectory(np.ones((count, 3))), None)
    assert (found.turn_cosine, found.path_length, found.radius, found.period_seconds, found.beat_bpm) == (None, 0, 0, None, None)
    assert ([section.label for section in found.sections], found.lobe_count, found.lobe_separation) == (["A"], 1, 0)


@pytest.mark.parametrize("count", [2, 3, 40])
def test_a_very_short_path_has_a_shape_too(count: int) -> None:
    found = geometry.shape(trajectory(noise(count, 1.0)), None)
    assert (found.sections[0].label, found.period_seconds) == ("A", None)
