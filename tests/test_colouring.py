import numpy as np
import pytest

from tests.test_features import heard, tone
from trajectory.colouring import HUES, Hue, clock, colour, hues
from trajectory.records import Trajectory
from trajectory.rhythm import Beat

BEAT = Beat(bpm=120, confidence=0.9, first=0.25)


def path(count: int = 400) -> Trajectory:
    points = np.random.default_rng(0).normal(size=(count, 3)).cumsum(0).astype(np.float32)
    return Trajectory(points=points, times=0.25 + np.arange(count) * 0.01)


@pytest.mark.parametrize("hue", HUES)
def test_every_hue_gives_each_point_a_colour_on_its_own_scale(hue: Hue) -> None:
    found = colour(path(), hue, features=heard(tone(440, 5)), beat=BEAT)
    assert found.values.shape == (400,)
    assert np.isfinite(found.values).all()
    assert found.high > found.low
    assert [place for place, _ in found.stops] == sorted(place for place, _ in found.stops)
    assert (found.stops[0][0], found.stops[-1][0]) == (0, 1)
    assert ((found.rgb() >= 0) & (found.rgb() <= 1)).all()


def test_time_runs_from_the_first_colour_to_the_last() -> None:
    rgb = colour(path(), "time").rgb()
    np.testing.assert_allclose(rgb[0] * 255, (0x3D, 0x4F, 0xD1), atol=0.01)
    np.testing.assert_allclose(rgb[-1] * 255, (0xFF, 0xD9, 0xA0), atol=0.01)


def test_a_beats_phase_starts_again_at_every_beat() -> None:
    values = colour(path(), "beat phase", beat=BEAT).values
    np.testing.assert_allclose(values[[0, 25, 50]], [0, 0.5, 0], atol=1e-4)
    scale = colour(path(), "beat phase", beat=BEAT).stops
    assert scale[0][1] == scale[-1][1]


def test_sections_are_bands_of_one_colour() -> None:
    random = np.random.default_rng(0)
    places = np.concatenate([random.normal(size=(500, 3)), 40 + random.normal(size=(500, 3)), random.normal(size=(500, 3))])
    found = colour(Trajectory(points=places.astype(np.float32), times=np.arange(1_500) * 0.0232), "section")
    rgb = found.rgb()
    assert found.ends == ("A", "B")
    np.testing.assert_array_equal(rgb[100], rgb[1_400])
    assert np.abs(rgb[100] - rgb[750]).max() > 0.2
    assert len(np.unique(rgb, axis=0)) == 2


def test_what_was_not_heard_cannot_colour() -> None:
    assert hues(None, None) == ["time", "speed", "curvature", "section"]
    assert hues(heard(tone(440, 2)), BEAT) == list(HUES)


def test_a_path_that_never_changes_has_a_scale_all_the_same() -> None:
    still = Trajectory(points=np.zeros((50, 3), np.float32), times=np.arange(50.0))
    assert colour(still, "speed").high > colour(still, "speed").low


def test_a_clock_reads_minutes_and_seconds() -> None:
    assert (clock(5.25), clock(65.2)) == ("0:05.25", "1:05.20")
