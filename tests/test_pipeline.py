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


# --- Two songs, and other encoders


def test_two_songs_lie_in_one_space_each_on_its_own_time() -> None:
    songs = trajectory.load(LOOP, start=4, stop=9), trajectory.load(LOOP, start=12, stop=20)
    settings = tuple(
        preset("conditioned", section=song.section, partner=name, training=QUICK) for song, name in zip(songs, "ba", strict=True)
    )
    pair = pipeline.fit_pair(songs, (settings[0], settings[1]))
    for song, run in zip(songs, pair, strict=True):
        assert run.song.seconds == pytest.approx(song.seconds)
        assert run.trajectory.times[0] == pytest.approx(song.start + 11 * 1024 / 44_100, abs=1e-6)
        assert run.trajectory.times[-1] == pytest.approx(song.start + song.seconds - 11 * 1024 / 44_100, abs=0.03)
    assert all(np.array_equal(pair[0].weights[name], pair[1].weights[name]) for name in pair[0].weights)
    assert pair[0].scaling == pair[1].scaling
    loop = 8.0  # the two parts are one loop apart: the same music lies in the same place
    first, second = (run.trajectory for run in pair)
    at = [int(np.abs(second.times - time - loop).argmin()) for time in first.times]
    near = np.linalg.norm(first.points - second.points[at], axis=1).mean()
    assert near < 0.35 * np.linalg.norm(first.points - first.points.mean(axis=0), axis=1).mean()


def test_settings_with_a_partner_or_an_encoder_are_others_and_those_without_stay_what_they_were() -> None:
    plain = preset("pure")
    assert len({each.fingerprint() for each in (plain, preset("pure", partner="a"), preset("pure", encoder="musicnn 1"))}) == 3
    before = {name: value for name, value in plain.to_dict().items() if name not in ("encoder", "partner")}  # as they were kept at first
    assert trajectory.Settings.from_dict(before).fingerprint() == plain.fingerprint()


class Ear:
    """Hears how loud it is, twice a second, in four ways."""

    name, version, dims = "loudness", "0123456789abcdef", 4

    def frames(self, recording: Recording, *, report: object = None) -> trajectory.Trajectory:  # noqa: ARG002 - it is quick
        half = recording.sample_rate // 2
        blocks = recording.samples[: len(recording.samples) // half * half].reshape(-1, half)
        levels = np.stack([blocks.std(axis=1), blocks.max(axis=1), blocks.min(axis=1), np.abs(blocks).mean(axis=1)], axis=1)
        return trajectory.Trajectory(points=levels.astype(np.float32), times=recording.start + 0.25 + 0.5 * np.arange(len(blocks)))


def test_another_encoders_path_is_kept_and_opened_like_a_run_but_draws_no_sound(tmp_path: Path) -> None:
    heard = pipeline.heard_path(trajectory.load(LOOP, start=4, stop=16), Ear())
    again = trajectory.open(trajectory.save(heard, tmp_path / "run"))
    assert again.settings.preset == "loudness"
    assert again.trajectory.points.shape == (24, 3)
    assert again.window_bins == 1
    assert again.song.beat is not None
    with pytest.raises(RunError, match="has no decoder"):
        trajectory.decode(again, again.trajectory.points[0])


def test_a_rhythm_is_told_stretch_by_stretch(run: Run) -> None:
    heard, free = (pipeline.rhythm_heard(run, name) for name in ("rhythm", "rhythm-at-any-tempo"))
    assert heard.frames.dims != free.frames.dims
    assert len(heard.frames.points) == 2
    assert run.trajectory.times[0] < heard.frames.times[0] < heard.frames.times[1] < run.trajectory.times[-1]
    assert heard.bpm == run.song.beat.bpm
