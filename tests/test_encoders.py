import importlib.util
import json
import pickle
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch
import torchaudio
from scipy import ndimage
from scipy.interpolate import CubicSpline

from tests.songs import ROOT, TRUTH
from trajectory import audio, encoders
from trajectory.encoders import EncoderError, musicnn, rhythmic, speech
from trajectory.errors import Cancelled
from trajectory.records import Floats, Recording, Trajectory
from trajectory.settings import ENCODERS, SectionSettings, SpectrogramSettings
from trajectory.spectrogram import spectrogram

RATE = 16_000


def heard(samples: Floats, rate: int = RATE, start: float = 0.0) -> Recording:
    return Recording(samples=samples.astype(np.float32), sample_rate=rate, name="a.wav", section=SectionSettings(start=start))


def noise(seconds: float, rate: int = RATE, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).normal(0, 0.1, round(seconds * rate)).astype(np.float32)


def path(points: Any, step: float = 1.0) -> Trajectory:
    values = np.asarray(points, dtype=np.float32)
    return Trajectory(points=values, times=np.arange(len(values)) * step + 0.5)


# --- What all encoders share


def test_pooling_takes_the_mean_the_highest_or_what_is_like_the_whole() -> None:
    frames = path([[1, 0], [1, 0], [1, 0], [-3, 4]])
    assert encoders.pooled(frames, "mean").tolist() == [0, 1]
    assert encoders.pooled(frames, "max").tolist() == [1, 4]
    # The mean frame is (0, 1): likenesses 0, 0, 0, 4 have a spread of sqrt(3), so the last counts exp(4 / sqrt(3)) times each other.
    last = np.exp(4 / np.sqrt(3)) / (3 + np.exp(4 / np.sqrt(3)))
    np.testing.assert_allclose(encoders.pooled(frames, "attention"), [(1 - last) - 3 * last, 4 * last], rtol=1e-5)


def test_attention_to_frames_that_are_all_alike_is_their_mean() -> None:
    np.testing.assert_allclose(encoders.pooled(path([[2, 3]] * 4), "attention"), [2, 3])


def test_moments_are_pieces_of_some_seconds_at_their_middle() -> None:
    frames = path(np.arange(10)[:, None])
    moments = encoders.segments(frames, "mean", seconds=4, step=2)
    assert moments.points[:, 0].tolist() == [1.5, 3.5, 5.5, 7.5]
    assert moments.times.tolist() == [2, 4, 6, 8]
    assert encoders.segments(frames, "max", seconds=4, step=3).points[:, 0].tolist() == [3, 6, 9]


def test_a_song_too_short_for_two_moments_has_its_frames() -> None:
    frames = path([[1], [2], [3]])
    assert encoders.segments(frames, "mean", seconds=3) is frames


def test_moments_shorter_than_a_frame_are_refused() -> None:
    with pytest.raises(EncoderError, match=r"moments of 0.5 s every 2 s are too short; the frames are 1 s apart"):
        encoders.segments(path([[1], [2], [3]]), "mean", seconds=0.5)


def test_any_frames_become_a_path_that_keeps_its_widest_axes() -> None:
    rng = np.random.default_rng(0)
    flat = rng.normal(0, (5, 3, 1), (200, 3))
    turned, _ = np.linalg.qr(rng.normal(size=(40, 40)))
    shown = encoders.as_path(path(flat @ turned[:3]))
    assert shown.points.shape == (200, 3)
    differences = [np.linalg.norm(points[1:] - points[:-1], axis=1) for points in (shown.points, flat)]
    np.testing.assert_allclose(*differences, rtol=1e-3)
    np.testing.assert_allclose(shown.points, encoders.as_path(path(flat @ turned[5:8])).points, atol=1e-3)
    assert encoders.as_path(path(flat), dims=2).points.shape == (200, 2)
    with pytest.raises(EncoderError, match="a path of 7 dimensions cannot be shown"):
        encoders.as_path(path(flat), dims=7)


def test_an_unknown_encoder_is_refused_with_those_there_are() -> None:
    with pytest.raises(EncoderError, match=f"there is no encoder 'mfcc'; choose from {', '.join(ENCODERS)}"):
        encoders.load("mfcc")


def test_what_needs_more_than_sound_or_weights_of_its_own_says_so() -> None:
    with pytest.raises(EncoderError, match="rhythm hears no sound: it is worked out from a run's trajectory"):
        encoders.load("rhythm")
    with pytest.raises(
        EncoderError, match=r"wav2vec2 brings no weights: give either a folder with config.json and model.safetensors, or a"
    ):
        encoders.load("wav2vec2")


def test_importing_the_encoders_brings_no_torch() -> None:
    code = "import sys, trajectory.encoders; sys.exit(bool({'torch', 'transformers'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_the_version_follows_the_weights_and_the_code(tmp_path: Path) -> None:
    one, other = tmp_path / "a", tmp_path / "b"
    one.write_bytes(b"weights")
    other.write_bytes(b"others")
    versions = {encoders.stamp([one], 1), encoders.stamp([other], 1), encoders.stamp([one], 2), encoders.stamp([one, other], 1)}
    assert len(versions) == 4
    assert all(len(version) == 16 and int(version, 16) for version in versions)
    assert encoders.stamp([other, one], 1) == encoders.stamp([one, other], 1)


# --- musicnn


@pytest.fixture(scope="module")
def network() -> musicnn.Musicnn:
    return musicnn.opened()


def plucked(seconds: float) -> Recording:
    """A chord struck twice a second."""
    time = np.arange(round(seconds * RATE)) / RATE
    tones = sum(np.sin(2 * np.pi * hertz * time) / at for at, hertz in enumerate((220, 440, 660, 880), 1))
    return heard(tones * 0.3 * np.exp(-4 * (time % 0.5)))


def test_musicnn_hears_what_the_published_package_hears(network: musicnn.Musicnn) -> None:
    """The values are those of musicnn 0.1.0 run by TensorFlow on the same sound, its spectra rounded to 16 bits as it does."""
    frames = network.frames(plucked(6.0))
    assert frames.points.shape == (4, 200)
    published = [-0.07995, -0.03288, 1.08008, -0.18606, -0.0787, 0.23823, -0.10575, 0.52348, -0.02419, -0.42791, 0.2708, 0.21622]
    np.testing.assert_allclose(frames.points[0, :12], published, atol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(frames.points, axis=1), [7.2202, 7.04816, 6.97004, 6.93973], atol=1e-3)
    tags = network.tags_of(frames)
    assert [tag for tag, _ in tags[:5]] == ["slow", "ambient", "quiet", "electronic", "soft"]
    np.testing.assert_allclose([likelihood for _, likelihood in tags[:5]], [0.392, 0.153, 0.127, 0.126, 0.125], atol=1e-3)
    assert len(tags) == 50


def test_musicnn_tags_a_song_as_published(network: musicnn.Musicnn) -> None:
    """To within what another resampling changes."""
    tags = network.tags(audio.load(ROOT / "assets/songs/05_solo_piano.ogg"))
    assert [tag for tag, _ in tags[:4]] == ["piano", "slow", "guitar", "classical"]
    np.testing.assert_allclose([likelihood for _, likelihood in tags[:4]], [0.421, 0.318, 0.218, 0.187], atol=0.01)


def test_musicnn_hears_each_patch_as_if_it_were_alone(network: musicnn.Musicnn, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = heard(noise(9.0))
    together = network.frames(recording).points
    with torch.inference_mode():
        alone = [
            network.network(musicnn.log_mel(recording.samples, first, first + musicnn.PATCH), 1).numpy()[0]
            for first in range(0, 62 * len(together), 62)
        ]
    np.testing.assert_allclose(together, alone, atol=1e-4)
    monkeypatch.setattr(musicnn, "PATCHES_AT_ONCE", 2)
    np.testing.assert_allclose(network.frames(recording).points, together, atol=1e-4)


def test_musicnns_frames_lie_at_the_centre_of_what_they_have_heard(network: musicnn.Musicnn) -> None:
    """Sound from 5 s on is heard by the frames that reach there, and by no other."""
    sound = noise(9.0)
    sound[: 5 * RATE] = 0
    frames = network.frames(heard(sound, start=20.0))
    times = frames.times - 20
    assert times[0] == pytest.approx(1.5, abs=0.02)
    np.testing.assert_allclose(np.diff(times), 0.992)
    differs = np.abs(frames.points - frames.points[0]).max(axis=1) > 1e-4
    assert (differs == (times + 1.5 > 5)).all()


def test_a_finer_musicnn_hears_the_same_more_often(network: musicnn.Musicnn) -> None:
    coarse, fine = network.frames(plucked(8.0)), network.finer().frames(plucked(8.0))
    assert fine.step_seconds == pytest.approx(coarse.step_seconds / 4, rel=0.05)
    np.testing.assert_allclose(fine.points[0], coarse.points[0], atol=1e-4)
    assert fine.times[0] == coarse.times[0]


def test_musicnn_takes_three_seconds_and_refuses_less(network: musicnn.Musicnn) -> None:
    assert network.frames(heard(noise(3.0))).points.shape == (2, 200)
    with pytest.raises(EncoderError, match=r"^a.wav lasts 2.9 s; musicnn needs 3 s$"):
        network.frames(heard(noise(2.9)))


def test_musicnn_says_how_far_it_is_and_can_be_cancelled(network: musicnn.Musicnn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(musicnn, "PATCHES_AT_ONCE", 1)
    shares: list[float] = []

    def report(share: float) -> None:
        shares.append(share)
        if share > 0.6:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        network.frames(heard(noise(6.0)), report=report)
    assert shares == [0.25, 0.5, 0.75]


def test_silence_and_any_rate_are_heard(network: musicnn.Musicnn) -> None:
    assert np.isfinite(network.frames(heard(np.zeros(5 * 44_100), rate=44_100)).points).all()


def test_damaged_weights_of_musicnn_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(musicnn, "WEIGHTS", tmp_path / "musicnn.safetensors")
    with pytest.raises(EncoderError, match="musicnn's weights cannot be read"):
        musicnn.opened()
    safetensors.numpy.save_file({"a": np.zeros(3)}, tmp_path / "musicnn.safetensors", metadata={"about": json.dumps({"tags": ["x"]})})
    with pytest.raises(EncoderError, match="musicnn's weights cannot be read"):
        musicnn.opened()


# --- The conversion of musicnn's weights


@pytest.fixture(scope="module")
def convert() -> Any:
    spec = importlib.util.spec_from_file_location("convert", ROOT / "assets/musicnn/convert.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def entry(shared: int, name: bytes, value: bytes) -> bytes:
    return bytes([shared, len(name), len(value)]) + name + value


def table(*entries: bytes, compression: int = 0) -> bytes:
    """A LevelDB table of one block of such entries, and the block that says where it lies."""
    block = b"".join(entries) + struct.pack("<II", 0, 1)
    index = entry(0, b"z", bytes([0, len(block)])) + struct.pack("<II", 0, 1)
    start = len(block) + 5
    footer = bytes([0, 0, start, len(index)]).ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)
    return block + bytes([compression]) + bytes(4) + index + bytes(5) + footer


def tensor(rows: int, columns: int, start: int, kind: int = 1) -> bytes:
    shape = bytes([0x12, 2, 8, rows, 0x12, 2, 8, columns])
    return bytes([8, kind, 0x12, len(shape)]) + shape + bytes([0x20, start, 0x28, 4 * rows * columns, 0x35, 1, 2, 3, 4])


def test_a_checkpoint_is_read_by_names_that_share_their_beginnings(convert: Any) -> None:
    numbers = np.arange(10, dtype="<f4")
    index = table(entry(0, b"", b"\x08\x01"), entry(0, b"dense/bias", tensor(1, 4, 0)), entry(6, b"kernel", tensor(2, 3, 16)))
    found = dict(convert.checkpoint(index, numbers.tobytes()))
    assert {name: values.tolist() for name, values in found.items()} == {
        "dense/bias": [[0, 1, 2, 3]],
        "dense/kernel": [[4, 5, 6], [7, 8, 9]],
    }


def test_what_the_conversion_does_not_know_it_refuses_in_one_sentence(convert: Any, tmp_path: Path) -> None:
    known = entry(0, b"a", tensor(1, 2, 0))
    for index, message in (
        (b"something else".ljust(60), "no LevelDB table"),
        (table(known, compression=1), "index is compressed"),
        (table(entry(0, b"a", tensor(1, 2, 0, kind=2))), "tensor a is not float32"),
    ):
        with pytest.raises(SystemExit, match=message):
            dict(convert.checkpoint(index, bytes(8)))
    (tmp_path / "a.whl").write_bytes(b"no wheel")
    with pytest.raises(SystemExit, match=r"a.whl is not the wheel of musicnn 0.1.0"):
        convert.main(str(tmp_path / "a.whl"))


# --- Speech models


SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
WAVES = {**SMALL, "conv_dim": (16,) * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2}
WHISPER = {
    "d_model": 16,
    **{
        f"{side}_{size}": value
        for side in ("encoder", "decoder")
        for size, value in (("layers", 2), ("attention_heads", 2), ("ffn_dim", 32))
    },
    **{f"{name}_token_id": at for at, name in enumerate(("pad", "bos", "eos", "decoder_start"))},
    "vocab_size": 100,
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Tiny models with random weights, of the real classes."""
    import transformers

    transformers.utils.logging.disable_progress_bar()
    made = {}
    for name, kind, settings in (("wav2vec2", "Wav2Vec2", WAVES), ("hubert", "Hubert", WAVES), ("whisper", "Whisper", WHISPER)):
        torch.manual_seed(0)
        made[name] = tmp_path_factory.mktemp(name)
        getattr(transformers, f"{kind}Model")(getattr(transformers, f"{kind}Config")(**settings)).save_pretrained(made[name])
    return made


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("an address was asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("name", encoders.SPEECH)
def test_a_speech_models_frames_change_when_the_sound_does(name: str, folders: dict[str, Path]) -> None:
    """A burst far into a song of several pieces changes most the frames that are heard at its time."""
    sound = noise(64.0, 44_100)
    burst = sound.copy()
    burst[round(47.3 * 44_100) :][:2_000] *= 10
    encoder = encoders.load(name, folder=folders[name])
    frames, changed = (encoder.frames(heard(samples, rate=44_100, start=100.0)) for samples in (sound, burst))
    assert frames.points.shape[1] == encoder.dims == 16
    assert len(frames.points) == pytest.approx(64 * 50, abs=1)
    np.testing.assert_allclose(np.diff(frames.times), 0.02)
    change = np.abs(changed.points - frames.points).sum(axis=1)
    assert frames.times[change.argmax()] == pytest.approx(147.32, abs=0.06)


def test_every_frame_is_taken_once_and_far_from_its_pieces_edges() -> None:
    for count, size, edge in ((2, 2, 50), (999, 999, 50), (1000, 1000, 50), (1001, 1000, 50), (3249, 1000, 50), (30_000, 1000, 50)):
        pieces = list(speech._pieces(count, size, edge=edge))
        taken = np.concatenate([np.arange(count)[kept] for _, kept in pieces])
        assert (taken == np.arange(count)).all()
        for first, kept in pieces:
            assert first >= 0
            assert first + size <= count
            assert kept.start == 0 or kept.start - first >= edge
            assert kept.stop == count or first + size - kept.stop == edge


@pytest.mark.parametrize("name", ["wav2vec2", "hubert"])
def test_a_piece_is_what_the_model_makes_of_that_sound(name: str, folders: dict[str, Path]) -> None:
    import transformers

    sound = noise(30.0)
    frames = encoders.load(name, folder=folders[name]).frames(heard(sound))
    model = getattr(transformers, speech.CLASSES[name]).from_pretrained(folders[name]).eval()
    scaled = torch.from_numpy((sound - sound.mean()) / sound.std())
    with torch.inference_mode():
        first = model(scaled[None, : 999 * 320 + 400]).last_hidden_state[0].numpy()
        last = model(scaled[None, 499 * 320 : 499 * 320 + 999 * 320 + 400]).last_hidden_state[0].numpy()
    assert len(frames.points) == 1499
    np.testing.assert_allclose(frames.points[:950], first[:950], atol=1e-4)
    np.testing.assert_allclose(frames.points[950:], last[451:], atol=1e-4)


def test_the_silence_that_whisper_adds_gives_no_frames(folders: dict[str, Path]) -> None:
    import transformers

    sound = noise(5.0)
    frames = encoders.load("whisper", folder=folders["whisper"]).frames(heard(sound))
    assert frames.points.shape == (250, 16)
    assert frames.times[-1] == pytest.approx(4.98)
    mel = transformers.WhisperFeatureExtractor()(sound, sampling_rate=RATE, return_tensors="pt").input_features
    with torch.inference_mode():
        whole = transformers.WhisperModel.from_pretrained(folders["whisper"]).get_encoder()(mel).last_hidden_state[0].numpy()
    np.testing.assert_allclose(frames.points, whole[:250], atol=1e-4)


def test_pieces_heard_together_or_one_by_one_are_the_same(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = encoders.load("wav2vec2", folder=folders["wav2vec2"])
    shares: list[float] = []
    together = encoder.frames(heard(noise(50.0)), report=shares.append)
    assert shares == [2 / 3, 1]
    monkeypatch.setattr(speech, "PIECES_AT_ONCE", 1)
    np.testing.assert_allclose(encoder.frames(heard(noise(50.0))).points, together.points, atol=1e-5)


def test_loudness_is_set_aside_where_a_model_wants_it_so(folders: dict[str, Path]) -> None:
    encoder = encoders.load("hubert", folder=folders["hubert"])
    np.testing.assert_allclose(encoder.frames(heard(noise(3.0))).points, encoder.frames(heard(0.1 * noise(3.0) + 0.2)).points, atol=2e-3)


def test_a_sound_too_short_for_speech_is_refused(folders: dict[str, Path]) -> None:
    with pytest.raises(EncoderError, match=r"^a.wav lasts 0.02 s; wav2vec2 needs 0.1 s$"):
        encoders.load("wav2vec2", folder=folders["wav2vec2"]).frames(heard(noise(0.02)))


def test_a_models_version_is_of_its_weights(folders: dict[str, Path], tmp_path: Path) -> None:
    first, again = (encoders.load("wav2vec2", folder=folders["wav2vec2"]).version for _ in range(2))
    assert first == again
    weights = safetensors.numpy.load_file(folders["wav2vec2"] / "model.safetensors")
    name = next(iter(weights))
    weights[name] = weights[name] + 1
    safetensors.numpy.save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    (tmp_path / "config.json").write_bytes((folders["wav2vec2"] / "config.json").read_bytes())
    assert encoders.load("wav2vec2", folder=tmp_path).version != first


class Bomb:
    """Unpickled, it leaves a file behind."""

    def __init__(self, left: Path) -> None:
        self.left = left

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return (Path.touch, (self.left,))


def test_pickled_weights_and_code_beside_the_weights_are_never_run(folders: dict[str, Path], tmp_path: Path) -> None:
    config = json.loads((folders["wav2vec2"] / "config.json").read_text())
    left, folder = tmp_path / "left", tmp_path / "model"
    folder.mkdir()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(left)))
    (folder / "own.py").write_text(f"import pathlib\npathlib.Path({str(left)!r}).touch()\nclass Own: pass\n")
    (folder / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoConfig": "own.Own", "AutoModel": "own.Own"}}))
    with pytest.raises(EncoderError, match="holds only pickled weights, which may run anything and are never opened; give a folder with"):
        encoders.load("wav2vec2", folder=folder)
    (folder / "model.safetensors").write_bytes((folders["wav2vec2"] / "model.safetensors").read_bytes())
    assert encoders.load("wav2vec2", folder=folder).dims == 16
    assert not left.exists()


def damage(folder: Path, what: str) -> None:
    weights, config = folder / "model.safetensors", folder / "config.json"
    if what == "cut weights":
        weights.write_bytes(weights.read_bytes()[:5_000])
    elif what == "too few weights":
        tensors = safetensors.numpy.load_file(weights)
        safetensors.numpy.save_file(dict(list(tensors.items())[:10]), weights, metadata={"format": "pt"})
    elif what == "other shapes":
        config.write_text(json.dumps(json.loads(config.read_text()) | {"hidden_size": 32}))
    elif what == "strange steps":
        config.write_text(json.dumps(json.loads(config.read_text()) | {"conv_stride": [0] * 7}))
    elif what == "no settings":
        config.write_text("[1, 2")


@pytest.mark.parametrize("what", ["cut weights", "too few weights", "other shapes", "strange steps", "no settings"])
@pytest.mark.usefixtures("no_network")
def test_a_damaged_model_is_refused_in_one_sentence(what: str, folders: dict[str, Path], tmp_path: Path) -> None:
    for file in folders["wav2vec2"].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    damage(tmp_path, what)
    with pytest.raises(EncoderError, match=r"get a whole copy$") as caught:
        encoders.load("wav2vec2", folder=tmp_path)
    assert "\n" not in str(caught.value)


def test_a_folder_that_holds_no_model_or_another_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(
            EncoderError, match=r"holds no config.json and model.safetensors; give a folder with .* or a name on the Hugging"
        ):
            encoders.load("hubert", folder=folder)
    with pytest.raises(EncoderError, match="is a wav2vec2, not a hubert; choose the encoder it belongs to"):
        encoders.load("hubert", folder=folders["wav2vec2"])


def test_without_transformers_one_sentence_says_how_to_get_it(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(EncoderError, match="whisper needs the package transformers, which is not installed: pip install transformers"):
        encoders.load("whisper", folder=folders["whisper"])


def test_a_model_is_fetched_only_where_its_name_is_given(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    asked: list[tuple[str, list[str]]] = []

    def fetch(name: str, *, allow_patterns: list[str]) -> str:
        asked.append((name, allow_patterns))
        if name == "nobody/nothing":
            raise OSError("no route\nto host")
        return str(folders["hubert"])

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    encoders.load("hubert", folder=folders["hubert"])
    assert not asked
    assert encoders.load("hubert", hub="facebook/hubert-base-ls960").dims == 16
    assert asked == [("facebook/hubert-base-ls960", ["config.json", "*.safetensors*"])]
    with pytest.raises(
        EncoderError, match=r"^nobody/nothing cannot be fetched \(no route to host\); check the name and the network, or give"
    ):
        encoders.load("hubert", hub="nobody/nothing")


# --- Rhythm


PATTERNS = ("A", "AB", "AAB", "AAAB", "AABB", "ABCD")


def loop(pattern: str, speed: float) -> Trajectory:
    """A smooth path that plays figures of half a second in a pattern, over and over, never quite alike."""
    rng = np.random.default_rng(5)
    figures = {letter: rng.normal(0, 1, (4, 3)) for letter in "ABCD"}
    way = np.concatenate([figures[letter] for letter in pattern])
    curve = CubicSpline(np.arange(len(way) + 1) / 8, np.append(way, way[:1], axis=0), bc_type="periodic")
    times = np.arange(0, 40, 0.0232)
    points = curve(times * speed % (len(pattern) / 2)) + rng.normal(0, 0.25, (len(times), 3))
    return Trajectory(points=points.astype(np.float32), times=times)


def matched(profiles: dict[tuple[str, float], Floats]) -> int:
    """How many have the other version of themselves as the nearest of all."""
    nearest = {own: max((each for each in profiles if each != own), key=lambda each: profiles[own] @ profiles[each]) for own in profiles}
    return sum(own[0] == other[0] for own, other in nearest.items())


def test_a_loop_at_two_speeds_is_its_own_neighbour_once_tempo_is_set_aside() -> None:
    played = {(pattern, speed): loop(pattern, speed) for pattern in PATTERNS for speed in (1.0, 1.25)}
    assert matched({key: rhythmic.profile(one, tempo_free=True) for key, one in played.items()}) == len(played)
    assert matched({key: rhythmic.profile(one) for key, one in played.items()}) == 0


def test_profiles_have_unit_length_and_a_length_of_their_own() -> None:
    for free, dims in ((False, 512), (True, 128)):
        profile = rhythmic.profile(loop("AAB", 1.0), tempo_free=free)
        assert profile.shape == (dims,)
        assert profile.dtype == np.float32
        assert np.linalg.norm(profile) == pytest.approx(1)


def test_a_loop_returns_after_its_period_and_not_between() -> None:
    returns = rhythmic.profile(loop("ABCD", 1.0))[rhythmic.BINS :]
    lags = np.geomspace(rhythmic.SHORTEST_LAG, rhythmic.LONGEST_LAG, rhythmic.BINS)
    assert lags[lags < 3][returns[lags < 3].argmax()] == pytest.approx(2.0, rel=0.02)
    assert returns[(lags > 0.5) & (lags < 1.5)].max() < 0.2 * returns[lags < 3].max()


def test_a_long_song_is_the_mean_of_its_stretches() -> None:
    one = loop("AAB", 1.0)
    times = np.arange(3 * len(one.times)) * 0.0232
    thrice = Trajectory(points=np.tile(one.points, (3, 1)), times=times)
    assert rhythmic.profile(thrice) @ rhythmic.profile(one) > 0.98


def test_a_path_that_rests_or_is_too_short_has_no_rhythm_to_tell() -> None:
    still = Trajectory(points=np.ones((500, 3), np.float32), times=np.arange(500) * 0.02)
    assert np.isfinite(rhythmic.profile(still, tempo_free=True)).all()
    with pytest.raises(EncoderError, match="a path of 2 s is too short to tell its rhythm; 5 s are needed"):
        rhythmic.profile(path(np.random.default_rng(0).normal(size=(101, 3)), step=0.02))


def rhythm_of(name: str, speed: float = 1.0) -> Floats:
    """Of a truth clip, stretched in time by a phase vocoder; its path is that of half-second means of its spectrogram."""
    samples = audio.load(ROOT / f"tests/truth/{name}.ogg").samples
    if speed != 1:
        window, turns = torch.hann_window(2048), torch.linspace(0, torch.pi * 512, 1025)[:, None]
        waves = torch.stft(torch.from_numpy(samples), 2048, 512, window=window, return_complex=True)
        samples = torch.istft(torchaudio.functional.phase_vocoder(waves, speed, turns), 2048, 512, window=window).numpy()
    picture = spectrogram(heard(samples[: 30 * 44_100], rate=44_100), SpectrogramSettings(scale="decibel"))
    values = ndimage.uniform_filter1d(picture.values, 22, axis=0)[11:-11]
    frames = Trajectory(points=values, times=np.arange(len(values)) * picture.bin_seconds)
    return rhythmic.profile(encoders.as_path(frames), tempo_free=True)


def test_a_truth_loop_at_two_tempi_is_its_own_neighbour() -> None:
    known = {name: rhythm_of(name) for name in TRUTH}
    for name in ("loop1bar_90bpm", "loop4bar_120bpm"):
        slower = rhythm_of(name, 0.85)
        assert max(known, key=lambda each: float(known[each] @ slower)) == name
