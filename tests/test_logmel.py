import json
import math
import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from trajectory.encoders import EncoderError, logmel, pooled
from trajectory.encoders.logmel import LogmelEncoder, LogmelSettings, fit, opened, save
from trajectory.encoders.musicnn import HOP, SAMPLE_RATE, log_mel
from trajectory.errors import Cancelled
from trajectory.records import Floats, Recording
from trajectory.settings import SectionSettings
from trajectory.training import Progress

SHORT = LogmelSettings(steps=3, batch=4, seconds=1, dims=8)


def song(number: int, seconds: float = 6.0) -> Recording:
    """A voice of its own: notes of one timbre at one pace, chosen anew all the time."""
    rng = np.random.default_rng(number)
    overtones, low, pace = rng.random(6) ** 2, rng.uniform(110, 440), rng.uniform(0.1, 0.4)
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    pitch = low * 2 ** (rng.integers(0, 12, math.ceil(seconds / pace))[(time / pace).astype(int)] / 12)
    phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
    samples = np.exp(-6 * (time % pace)) * sum(share * np.sin(n * phase) for n, share in enumerate(overtones, start=1))
    return recording((0.1 * samples).astype(np.float32), f"song {number}")


def recording(samples: Floats, name: str = "sound", start: float = 0.0) -> Recording:
    return Recording(samples=samples, sample_rate=SAMPLE_RATE, name=name, section=SectionSettings(start=start))


@pytest.fixture(scope="module")
def encoder() -> LogmelEncoder:
    return fit([song(0), song(1)], SHORT)


def test_the_contrast_is_what_its_equation_says() -> None:
    songs = torch.eye(5)[:, None].expand(5, 2, 5)
    told_apart = math.log(1 + 8 * math.exp(-1 / logmel.TEMPERATURE))
    assert logmel.contrast(songs).item() == pytest.approx(told_apart, abs=1e-6)
    assert logmel.contrast(torch.ones(5, 2, 1)).item() == pytest.approx(math.log(9))
    swapped = torch.stack([songs[:, 0], songs[:, 1].roll(1, dims=0)], dim=1)  # the twin is a stranger, a stranger the twin
    assert logmel.contrast(swapped).item() > 1 / logmel.TEMPERATURE


def test_moving_the_bands_is_transposing_the_sound() -> None:
    moves = logmel.transpositions()
    middle = len(moves) // 2
    torch.testing.assert_close(moves[middle], torch.eye(logmel.BANDS))
    time = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    for semitones, move in ((-6, moves[0]), (6, moves[-1])):
        before, after = (
            10 ** log_mel(np.sin(2 * np.pi * hertz * time).astype(np.float32), 10, 20).mean(dim=0)
            for hertz in (880, 880 * 2 ** (semitones / 12))
        )
        assert int((before @ move).argmax()) == pytest.approx(int(after.argmax()), abs=1)


def test_training_draws_pieces_of_unheard_songs_together() -> None:
    unheard = [song(number) for number in range(20, 30)]

    def told_apart(steps: int) -> float:
        trained = fit([song(number) for number in range(8)], LogmelSettings(steps=steps, batch=16, seconds=1, dims=16))
        halves = [(trained.frames(each).points[:5], trained.frames(each).points[-5:]) for each in unheard]
        return logmel.contrast(torch.tensor(np.array(halves)).mean(dim=2)).item()

    assert told_apart(30) < 0.7 * told_apart(1)


def test_a_piece_gives_the_same_alone_as_within_its_song(encoder: LogmelEncoder) -> None:
    frames = encoder.frames(recording(song(2).samples, start=3.0))
    spectra = log_mel(song(2).samples, 0, 1 + len(song(2).samples) // HOP)
    firsts = range(0, len(spectra) - SHORT.spectra + 1, logmel.COLUMNS_APART * logmel.STRIDE)
    with torch.inference_mode():
        alone = torch.cat([encoder.network(spectra[None, first : first + SHORT.spectra])[0] for first in firsts])
    np.testing.assert_allclose(frames.points, alone, atol=1e-5)
    np.testing.assert_allclose(frames.times, 3 + (np.array(firsts) + (SHORT.spectra - 1) / 2) * HOP / SAMPLE_RATE)
    assert frames.points.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(frames.points, axis=1), 1, rtol=1e-5)


def test_an_event_shows_in_the_frames_around_its_moment(encoder: LogmelEncoder) -> None:
    quiet = np.random.default_rng(0).normal(0, 0.001, 8 * SAMPLE_RATE).astype(np.float32)
    loud = quiet.copy()
    loud[4 * SAMPLE_RATE : 4 * SAMPLE_RATE + 800] += 0.5 * np.sin(np.arange(800)).astype(np.float32)
    frames = encoder.frames(recording(quiet))
    changed = np.abs(encoder.frames(recording(loud)).points - frames.points).max(axis=1) > 1e-4
    half = SHORT.spectra * HOP / SAMPLE_RATE / 2
    np.testing.assert_array_equal(changed, np.abs(frames.times - 4.025) < half)


def test_however_many_frames_at_once_they_are_the_same(encoder: LogmelEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, shares = encoder.frames(song(3)).points, []
    monkeypatch.setattr(logmel, "FRAMES_AT_ONCE", 3)
    np.testing.assert_allclose(encoder.frames(song(3), report=shares.append).points, whole, atol=1e-5)
    assert shares == pytest.approx([*np.arange(3, len(whole), 3) / len(whole), 1])


def test_sound_at_another_rate_and_silence_are_heard(encoder: LogmelEncoder) -> None:
    twice = Recording(samples=np.repeat(song(3).samples, 2), sample_rate=2 * SAMPLE_RATE, name="twice")
    one, other = (pooled(encoder.frames(each), "mean") for each in (song(3), twice))
    assert one @ other > 0.95 * np.linalg.norm(one) * np.linalg.norm(other)
    assert np.isfinite(encoder.frames(recording(np.zeros(3 * SAMPLE_RATE, np.float32))).points).all()


def test_the_same_seed_gives_the_same_encoder_and_another_seed_another(encoder: LogmelEncoder) -> None:
    again = fit([song(0), song(1)], SHORT)
    other = fit([song(0), song(1)], LogmelSettings(steps=3, batch=4, seconds=1, dims=8, seed=1))
    assert encoder.version == again.version != other.version
    np.testing.assert_array_equal(encoder.frames(song(2)).points, again.frames(song(2)).points)
    assert (len(encoder.version), encoder.name, encoder.dims) == (16, "logmel-cnn", 8)


def test_training_reports_each_step_and_ends_when_the_report_raises() -> None:
    heard: list[Progress] = []

    def stop(progress: Progress) -> None:
        heard.append(progress)
        if progress.step == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        fit([song(0), song(1)], SHORT, report=stop)
    assert [(each.step, each.steps, set(each.losses)) for each in heard] == [(n, 3, {"contrast", "total"}) for n in (1, 2)]


def test_each_song_is_asked_for_once_and_only_its_middle_is_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    class Shelf(Sequence[Recording]):
        asked: list[int] = []  # noqa: RUF012

        def __len__(self) -> int:
            return 3

        def __getitem__(self, at: int) -> Recording:  # type: ignore[override]
            if at >= 3:
                raise IndexError
            self.asked.append(at)
            edges = np.zeros(4 * SAMPLE_RATE, np.float32)
            return recording(np.concatenate([edges, song(at, seconds=2).samples, edges]))

    monkeypatch.setattr(logmel, "LEARNED_SECONDS", 2.0)
    middles = fit([song(at, seconds=2) for at in range(3)], SHORT)
    assert fit(Shelf(), SHORT).version == middles.version
    assert Shelf.asked == [0, 1, 2]


def test_saved_and_opened_it_is_the_same(encoder: LogmelEncoder, tmp_path: Path) -> None:
    folder = save(encoder, tmp_path / "deep" / "encoder")
    assert sorted(path.name for path in folder.iterdir()) == sorted(logmel.FILES)
    again = opened(folder)
    assert (again.version, again.settings) == (encoder.version, encoder.settings)
    np.testing.assert_array_equal(again.frames(song(2)).points, encoder.frames(song(2)).points)


def test_saving_replaces_an_encoder_whole_and_nothing_else(encoder: LogmelEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = fit([song(2), song(3)], SHORT)
    folder = save(encoder, tmp_path / "encoder")
    save(other, folder)
    assert opened(folder).version == other.version
    with monkeypatch.context() as patch:
        patch.setattr(logmel.os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(EncoderError, match="cannot be written: No space left"):
            save(encoder, folder)
    assert opened(folder).version == other.version
    assert list(tmp_path.iterdir()) == [folder]
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear.txt").write_text("dear")
    with pytest.raises(EncoderError, match="no logmel-cnn; choose another"):
        save(encoder, tmp_path / "letters")


def damage(folder: Path, how: str) -> None:
    settings, weights = folder / logmel.FILES[0], folder / logmel.FILES[1]
    about, tensors = json.loads(settings.read_text()), load_file(weights)
    if how == "gone":
        weights.unlink()
    elif how == "cut short":
        weights.write_bytes(weights.read_bytes()[:-9])
    elif how == "pickled":
        weights.write_bytes(pickle.dumps(tensors))
    elif how == "not numbers":
        save_file(tensors | {"head.bias": tensors["head.bias"] * math.nan}, weights)
    elif how == "one too few":
        save_file({name: values for name, values in tensors.items() if name != "head.bias"}, weights)
    else:
        changes = {"other sizes": {"dims": 9}, "huge": {"dims": 10**9}, "unknown": {"width": 3}, "words": {"seconds": "two"}}
        settings.write_text(
            json.dumps(about | {"settings": about["settings"] | changes[how]}) if how in changes else json.dumps({"encoder": "other"})
        )


@pytest.mark.parametrize(
    "how",
    ["gone", "cut short", "pickled", "not numbers", "one too few", "other sizes", "huge", "unknown", "words", "other encoder"],
)
def test_what_is_no_whole_encoder_is_refused_in_one_sentence(encoder: LogmelEncoder, tmp_path: Path, how: str) -> None:
    folder = save(encoder, tmp_path / "encoder")
    damage(folder, how)
    with pytest.raises(EncoderError, match=r"^(the logmel-cnn in .* cannot be opened \(.+\); train it again|.* is no logmel-cnn: .*)$"):
        opened(folder)


def test_what_cannot_be_trained_or_heard_is_refused_in_one_sentence(encoder: LogmelEncoder) -> None:
    with pytest.raises(EncoderError, match="1 songs have nothing to be told from"):
        fit([song(0)], SHORT)
    with pytest.raises(EncoderError, match=r"^song 5 lasts 0.5 s; pieces of 1\.\d+ s cannot be cut from it$"):
        fit([song(0), song(5, seconds=0.5)], SHORT)
    with pytest.raises(EncoderError, match=r"^song 5 lasts 1 s; this logmel-cnn needs 1\.\d+ s$"):
        encoder.frames(song(5, seconds=1))
    for wrong in ({"steps": 0}, {"batch": 1}, {"seconds": math.nan}, {"dims": 2.5}, {"rate": 0}, {"seed": -1}):
        with pytest.raises(EncoderError, match=rf"with {next(iter(wrong))} = .*; choose"):
            LogmelSettings(**wrong)


def test_the_shortest_song_gives_two_frames(encoder: LogmelEncoder) -> None:
    assert len(encoder.frames(song(5, seconds=(SHORT.spectra + logmel.STRIDE) * HOP / SAMPLE_RATE)).points) == 2
