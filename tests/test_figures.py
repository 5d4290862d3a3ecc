import numpy as np
import pytest

from tests.test_divergence import noisy
from tests.test_forecasting import path as song_of
from trajectory.blending import Ensemble
from trajectory.divergence import diverge, forecast
from trajectory.figures import Curve, divergence_curves, forecast_scene, scene, shown, unshown
from trajectory.forecasting import Mean, Persistence
from trajectory.records import Trajectory


def path(dims: int) -> Trajectory:
    points = np.random.default_rng(0).normal(size=(200, dims)).cumsum(0).astype(np.float32)
    return Trajectory(points=points, times=60 + np.arange(200) * 0.5)


@pytest.mark.parametrize("dims", [2, 3, 12])
def test_a_scene_shows_the_path_without_stretching_it(dims: int) -> None:
    figure = scene(path(dims), title="A & B")
    drawn = np.stack([figure.data[0].x, figure.data[0].y, figure.data[0].z], 1)
    assert drawn.shape == (200, 3)
    assert figure.layout.scene.aspectmode == "data"
    if dims <= 3:
        own = path(dims).points
        np.testing.assert_allclose(np.linalg.norm(drawn[0] - drawn[50:], axis=1), np.linalg.norm(own[0] - own[50:], axis=1), rtol=1e-5)


@pytest.mark.parametrize("dims", [2, 3])
def test_a_place_in_a_scene_leads_back_to_its_point(dims: int) -> None:
    song = path(dims)
    np.testing.assert_allclose(unshown(shown(song.points, song), song), song.points, atol=1e-4)


def test_a_scenes_colour_and_words_are_the_songs_own_time() -> None:
    figure = scene(path(3))
    np.testing.assert_array_equal(figure.data[0].line.color, path(3).times)
    assert figure.data[0].text[1] == "1:00.50"


def test_a_forecast_is_drawn_from_where_the_path_was_beside_what_came() -> None:
    song = song_of(noisy(800))
    told = [
        forecast(song, method, "past-only", name=name, start=song.times[600], steps=30, window=22)
        for name, method in (("ensemble", Ensemble(count=5)), ("mean", Mean()))
    ]
    figure = forecast_scene(song, told)
    whole, truth, *_ = figure.data
    names = [line.name for line in figure.data]
    assert names == ["the path", "what came", "ensemble, past-only", "members of ensemble, past-only", "mean, past-only"]
    np.testing.assert_allclose(truth.x, whole.x[601:631], atol=1e-5)
    members = np.asarray(figure.data[3].x).reshape(5, 31)
    assert np.isnan(members[:, -1]).all()
    assert np.isfinite(members[:, :-1]).all()


def test_curves_have_a_colour_for_each_method_and_a_dash_for_each_run() -> None:
    found = {method: diverge(song_of(noisy(600)), method, "past-only", window=22) for method in (Mean(), Persistence())}
    curves = [
        Curve(method=type(method).__name__, run=run, divergence=each, beat_seconds=0.5)
        for run in ("one", "two")
        for method, each in found.items()
    ]
    figure = divergence_curves(curves, protocol="past-only")
    lines = {line.name: line.line for line in figure.data if line.showlegend is None}
    assert set(lines) == {"Mean on one", "Persistence on one", "Mean on two", "Persistence on two"}
    assert lines["Mean on one"].color == lines["Mean on two"].color != lines["Persistence on one"].color
    assert lines["Mean on one"].dash == lines["Persistence on one"].dash != lines["Mean on two"].dash


def test_curves_can_be_read_in_steps_seconds_and_beats() -> None:
    curve = Curve(method="mean", run="song", divergence=diverge(song_of(noisy(600)), Mean(), "past-only", window=22), beat_seconds=0.5)
    buttons = {button.label: button.args[0]["x"] for button in divergence_curves([curve], protocol="").layout.updatemenus[0].buttons}
    assert buttons["steps"][2][28] == 29
    assert buttons["seconds"][2][28] == pytest.approx(29 * 0.0232)
    assert buttons["beats"][2][28] == pytest.approx(29 * 0.0232 / 0.5)
    timeless = Curve(method="mean", run="song", divergence=curve.divergence)
    assert [button.label for button in divergence_curves([timeless], protocol="").layout.updatemenus[0].buttons] == ["steps", "seconds"]
