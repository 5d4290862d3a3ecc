import itertools

import numpy as np
import pytest

from tests.paths import STEP, Reals, noise, random, ring, trajectory, turned
from trajectory import geometry
from trajectory.geometry import GeometryError
from trajectory.records import Trajectory


def curve(times: Reals) -> Reals:
    return np.stack([np.cos(times), np.sin(2 * times), times], axis=1)


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


# --- Recurrence


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
