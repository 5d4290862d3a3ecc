import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

import trajectory
from trajectory import model, pipeline
from trajectory.records import Recording
from trajectory.runs import Run, RunError
from trajectory.settings import ModelSettings, Scale, SectionSettings, SettingsError, SpectrogramSettings, TrainingSettings, preset
from trajectory.spectrogram import spectrogram

LOOP = Path(__file__).parent / "truth/loop4bar_120bpm.ogg"
QUICK = TrainingSettings(steps=60, batch=32, device="cpu")


@pytest.fixture(scope="module")
def run() -> Run:
    return trajectory.fit(trajectory.load(LOOP, start=4, stop=16), preset("conditioned", training=QUICK))


def test_a_section_keeps_the_songs_own_time(run: Run) -> None:
    assert run.settings.section == SectionSettings(start=4, stop=16)
    assert run.song.seconds == pytest.approx(12, abs=0.01)
    assert run.trajectory.times[0] == pytest.approx(4 + 11 * 1024 / 44_100)
    assert run.trajectory.times[-1] == pytest.approx(16 - 11 * 1024 / 44_100, abs=0.03)


def test_a_run_knows_the_beat_of_its_song(run: Run) -> None:
    assert run.song.beat is not None
    assert run.song.beat.bpm == pytest.approx(120, rel=0.02)


def test_the_forming_ends_where_the_trajectory_is(run: Run) -> None:
    forming = run.forming
    assert 35 <= len(forming.steps) <= 40
    assert (forming.steps[0], forming.steps[-1]) == (1, 60)
    assert (np.diff(forming.steps) > 0).all()
    np.testing.assert_allclose(forming.points[-1], run.trajectory.points, atol=1e-5)
    np.testing.assert_array_equal(forming.times, run.trajectory.times)


def test_a_long_paths_snapshots_hold_at_most_1500_points() -> None:
    path = pipeline.decimate(trajectory.Trajectory(points=np.zeros((13_001, 3), np.float32), times=np.arange(13_001.0)))
    assert len(path.points) == 1_445
    assert path.times[1] == 9


def test_a_kept_run_gives_the_same_points_and_sounds_without_retraining(run: Run, tmp_path: Path) -> None:
    again = trajectory.open(trajectory.save(run, tmp_path / "run"))
    picture = spectrogram(trajectory.load(LOOP, start=4, stop=16), run.settings.spectrogram)
    np.testing.assert_allclose(model.embed(pipeline.network(again), picture).points, run.trajectory.points, atol=1e-4)
    np.testing.assert_array_equal(again.trajectory.points, run.trajectory.points)
    np.testing.assert_array_equal(trajectory.decode(again, run.trajectory.points[:3]), trajectory.decode(run, run.trajectory.points[:3]))


def test_any_place_in_space_has_a_spectrogram_slice(run: Run) -> None:
    between = run.trajectory.points[[10, 200]].mean(0)
    heard = trajectory.decode(run, between)
    assert heard.shape == (1, 22, 94)
    assert (heard > 0).all()
    assert (heard < 1).all()


def test_a_place_of_another_space_is_refused(run: Run) -> None:
    with pytest.raises(RunError, match=r"\(n, 3\) finite numbers, not \(1, 2\)"):
        trajectory.decode(run, np.zeros((1, 2), np.float32))
    with pytest.raises(RunError, match="finite"):
        trajectory.decode(run, np.full(3, np.nan, np.float32))


def test_weights_of_another_model_are_refused(run: Run) -> None:
    other = dataclasses.replace(run, settings=preset("conditioned", model=ModelSettings(dims=5)))
    with pytest.raises(RunError, match="do not fit"):
        pipeline.network(other)


@pytest.mark.parametrize("scale", ["linear", "decibel"])
def test_a_fit_until_a_moment_knows_nothing_of_what_follows(scale: Scale) -> None:
    one = trajectory.load(LOOP, stop=10)
    other = dataclasses.replace(one, samples=one.samples.copy())
    other.samples[7 * 44_100 :] = np.random.default_rng(0).normal(0, 2, len(one.samples) - 7 * 44_100)
    settings = preset(
        "conditioned", spectrogram=SpectrogramSettings(scale=scale), training=dataclasses.replace(QUICK, steps=10, until=0.65)
    )
    first, second = (trajectory.fit(song, settings).trajectory for song in (one, other))
    known = first.times < 0.65 * 10 - 0.5
    np.testing.assert_array_equal(first.points[known], second.points[known])
    assert np.abs(first.points[~known] - second.points[~known]).max() > 0.01


def test_a_section_asked_of_a_recording_of_another_is_refused() -> None:
    with pytest.raises(SettingsError, match="choose one of them"):
        trajectory.fit(trajectory.load(LOOP, stop=10), preset("pure", section=SectionSettings(start=2, stop=6), training=QUICK))


def test_opening_a_network_leaves_the_callers_random_numbers_alone(run: Run) -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    pipeline.network(run)
    assert torch.equal(torch.rand(1), expected)


def test_a_path_serves_as_well_as_a_recording() -> None:
    settings = preset("pure", section=SectionSettings(start=4, stop=8), training=dataclasses.replace(QUICK, steps=3))
    by_path, by_recording = trajectory.fit(LOOP, settings), trajectory.fit(trajectory.load(LOOP, start=4, stop=8), settings)
    np.testing.assert_array_equal(by_path.trajectory.points, by_recording.trajectory.points)
    assert by_path.settings == by_recording.settings


def test_the_embedding_of_the_moment_is_given_when_asked_for() -> None:
    paths: list[trajectory.Trajectory] = []

    def ask(progress: pipeline.FitProgress) -> None:
        if progress.step in (1, 20):
            paths.append(progress.embed())

    run = trajectory.fit(trajectory.load(LOOP, stop=6), preset("pure", training=dataclasses.replace(QUICK, steps=20)), report=ask)
    assert np.abs(paths[0].points - paths[1].points).max() > 0.01
    np.testing.assert_allclose(paths[1].points, run.trajectory.points, atol=1e-5)


def test_cancelling_ends_the_training_at_once() -> None:
    steps = []

    def cancel(progress: pipeline.FitProgress) -> None:
        steps.append(progress.step)
        raise trajectory.Cancelled("enough")

    with pytest.raises(trajectory.Cancelled):
        trajectory.fit(LOOP, preset("pure", training=QUICK), report=cancel)
    assert steps == [1]


def test_too_short_a_song_is_refused_with_what_is_needed() -> None:
    blip = Recording(samples=np.random.default_rng(0).normal(size=8_820).astype(np.float32), sample_rate=44_100, name="blip.wav")
    with pytest.raises(trajectory.TrajectoryError, match=r"0\.19 s of sound at once; at least 1\.7 s"):
        trajectory.fit(blip)
