import numpy as np
import pytest

from trajectory.figures import scene
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


def test_a_scenes_colour_and_words_are_the_songs_own_time() -> None:
    figure = scene(path(3))
    np.testing.assert_array_equal(figure.data[0].line.color, path(3).times)
    assert figure.data[0].text[1] == "1:00.50"
