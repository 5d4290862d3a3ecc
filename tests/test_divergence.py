import numpy as np
import pytest

from tests.test_forecasting import BY_NAME, METHODS, circle, path, published_loop
from trajectory import divergence
from trajectory.blending import Blend, Ensemble
from trajectory.divergence import better, diverge, forecast, tasks
from trajectory.forecasting import DelayKnn, ForecastError, Knn, Library, Mean, Method, Persistence, Reals


def noisy(count: int, size: float = 0.05, seed: int = 0) -> Reals:
    return circle(count) + size * np.random.default_rng(seed).normal(size=(count, 3))


def test_the_published_protocol_is_the_published_loop_over_every_tenth_start() -> None:
    points = noisy(400)
    found = diverge(path(points), Knn(), "published", window=22)
    assert found.starts.tolist() == list(range(19, 400 - 34, 10))
    z = path(points).points.astype(np.float64)
    scaled = (z - z.min(axis=0)) / (z.max(axis=0) - z.min(axis=0))
    expected = [np.linalg.norm(published_loop(z, start, 29) - scaled[start + 1 : start + 30], axis=1) for start in found.starts]
    np.testing.assert_allclose(found.distances, expected, atol=1e-9, rtol=0)


def test_past_only_starts_where_no_library_window_reaches() -> None:
    (task,) = tasks(path(noisy(1_000)), "past-only", window=22, steps=29)
    assert task.library.stretches == ((0, 700),)
    assert task.starts.tolist() == list(range(722, 971, 10))


def test_leave_segment_out_hides_each_forecast_and_a_window_on_either_side() -> None:
    found = tasks(path(noisy(1_000)), "leave-segment-out", window=22, steps=29)
    assert len(found) >= 40
    for task in found:
        (start,) = task.starts
        behind = start + 29 + 22 + 1
        assert task.library.stretches == ((0, start - 22), (behind, 1_000))[: 2 if behind < 1_000 else 1]
        after = task.library.moments(before=45, after=0)
        assert not ((after >= start - 22) & (after < start + 29 + 22 + 1 + 45)).any()


@pytest.mark.parametrize("protocol", ["past-only", "leave-segment-out"])
@pytest.mark.parametrize("method", METHODS, ids=lambda method: type(method).__name__)
def test_no_forecaster_sees_a_future_that_was_never_before(method: Method, protocol: divergence.ProtocolName) -> None:
    """Two songs that are the same but for what follows a moment: all that is told there must be the same."""
    one = noisy(1_000)
    (task,) = [task for task in tasks(path(one), protocol, window=22, steps=29) if (task.starts >= 722).any()][:1]
    start = int(task.starts[task.starts >= 722][0])
    other = one.copy()
    other[start + 1 : start + 30] = 0.5 + np.random.default_rng(9).normal(size=(29, 3)) / 10
    told = []
    for points in (one, other):
        (same,) = [task for task in tasks(path(points), protocol, window=22, steps=29) if start in task.starts]
        made = method.fit(same.library)
        told.append(made.rollout(same.library.points[None, start + 1 - made.history : start + 1], 29))
    np.testing.assert_allclose(told[0], told[1], rtol=0, atol=1e-9)  # sums may be rounded otherwise at another place in memory


def test_the_mean_point_has_an_nrmse_of_about_1() -> None:
    found = diverge(path(noisy(2_000)), Mean(), "past-only", window=22)
    np.testing.assert_allclose(found.nrmse, 1, atol=0.1)


def test_persistence_has_no_skill_and_a_true_forecast_all() -> None:
    song = path(circle(2_000))
    np.testing.assert_allclose(diverge(song, Persistence(), "past-only", window=22).skill, 0)
    near = diverge(song, DelayKnn(), "past-only", window=22)
    assert near.skill.min() > 0.95
    assert (near.valid_steps == 29).all()
    assert near.step_errors[1] > 0.999


def test_valid_steps_end_where_the_error_first_passes() -> None:
    found = diverge(path(circle(2_000)), Persistence(), "past-only", window=22)
    by_hand = [next((step for step, error in enumerate(row) if not error <= 0.4), 29) for row in found.errors]
    assert found.valid_steps.tolist() == by_hand
    assert 1 < np.median(found.valid_steps) < 10


def test_the_standard_error_is_the_deviation_over_the_root_of_starts() -> None:
    found = diverge(path(noisy(1_000)), Mean(), "past-only", window=22)
    expected = np.std(found.distances[:, 3], ddof=1) / np.sqrt(len(found.starts))
    assert found.standard_error[3] == pytest.approx(expected)


def test_the_bootstrap_tells_the_better_from_the_same() -> None:
    song = path(noisy(2_000))
    near, far = (diverge(song, method, "past-only", window=22) for method in (DelayKnn(), Persistence()))
    difference, low, high = better(near, far, step=15)
    assert low < difference < high < 0
    assert better(near, near, step=15) == (0, 0, 0)


def test_what_cannot_be_told_is_refused() -> None:
    with pytest.raises(ForecastError, match="too short for the protocol past-only"):
        diverge(path(noisy(60)), Mean(), "past-only", window=22)
    with pytest.raises(ForecastError, match="choose one of published"):
        diverge(path(noisy(600)), Mean(), "future", window=22)
    one, other = (diverge(path(noisy(count)), Mean(), "past-only", window=22) for count in (600, 700))
    with pytest.raises(ForecastError, match="cannot be paired"):
        better(one, other, step=3)


@pytest.mark.parametrize("protocol", ["past-only", "leave-segment-out"])
def test_one_forecast_is_told_in_the_paths_own_coordinates_and_times(protocol: divergence.ProtocolName) -> None:
    song = path(40 * circle(1_000) + 7)
    told = forecast(song, DelayKnn(), protocol, name="delay-knn", start=song.times[600] + 0.01, steps=100, window=22)
    assert told.start == song.times[600]
    np.testing.assert_allclose(told.times, song.times[601:701], atol=1e-9)
    np.testing.assert_array_equal(told.truth, song.points[601:701])
    np.testing.assert_allclose(told.path, song.points[601:701], atol=2)


def test_a_forecast_beyond_the_songs_end_has_what_truth_there_is() -> None:
    song = path(circle(1_000))
    told = forecast(song, Blend(), "past-only", name="default", start=song.times[950], steps=200, window=22)
    assert (len(told.path), len(told.truth)) == (200, 49)


def test_a_past_only_forecast_is_the_same_whatever_comes() -> None:
    one, other = circle(1_000), circle(1_000)
    other[601:] = np.random.default_rng(0).normal(size=(399, 3))
    paths = [
        forecast(path(points), Blend(), "past-only", name="default", start=600 * 0.0232, steps=50, window=22).path
        for points in (one, other)
    ]
    np.testing.assert_allclose(*paths, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("start", "steps", "name", "part"),
    [
        (99.0, 10, "knn", "outside the path"),
        (-1.0, 10, "knn", "outside the path"),
        (10.0, 0, "knn", "1 to 10000"),
        (10.0, 10**9, "knn", "1 to 10000"),
        (0.02, 10, "knn", "library"),
        (1.0, 10, "default", "library points are too few"),
    ],
)
def test_a_forecast_that_makes_no_sense_is_refused(start: float, steps: int, name: str, part: str) -> None:
    with pytest.raises(ForecastError, match=part):
        forecast(path(circle(1_000)), BY_NAME[name], "past-only", name=name, start=start, steps=steps, window=22)


def test_an_ensembles_members_come_in_the_paths_own_coordinates() -> None:
    song = path(40 * noisy(1_000) + 7)
    told = forecast(song, Ensemble(count=8), "past-only", name="ensemble", start=song.times[600], steps=30, window=22)
    assert told.members.shape == (8, 30, 3)
    np.testing.assert_allclose(told.path, np.median(told.members, axis=0), atol=1e-3)
    low, middle, high = told.fan(0.1, 0.5, 0.9)
    assert (low <= middle).all()
    assert (middle <= high).all()
    assert forecast(song, Mean(), "past-only", name="mean", start=song.times[600], steps=30, window=22).members.shape == (0, 30, 3)


class _Picky(Persistence):
    """Has nothing to say from a library with points after the forecast."""

    def fit(self, library: Library) -> Persistence:
        if len(library.stretches) > 1:
            raise ForecastError("too few neighbours")
        return self


def test_a_start_with_too_few_neighbours_has_no_number_and_is_counted() -> None:
    song = path(noisy(600))
    found, all_told = (diverge(song, method, "leave-segment-out", window=22) for method in (_Picky(), Persistence()))
    silent = np.isnan(found.distances).all(axis=1)
    assert found.missing == silent.sum() > 0
    assert all_told.missing == 0
    np.testing.assert_allclose(found.mean, all_told.distances[~silent].mean(axis=0))
    np.testing.assert_allclose(found.skill, 0)
    assert len(found.valid_steps) == (~silent).sum()
    assert np.isfinite([*found.step_errors, *better(found, all_told, step=5)]).all()
