"""wav2vec2, HuBERT and Whisper through the optional package `transformers`, frozen, with the weights of a local folder.

A song is heard in pieces of one length: the last begins earlier instead of ending in padding, which models like wav2vec2-base
cannot mask, and what lies near a piece's edges is taken from its neighbour. Weights are read from safetensors alone; a
pickled file could run anything, and code beside the weights is never run.
"""

import importlib
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor

from trajectory.encoders import SPEECH, EncoderError, Report, at_rate, stamp
from trajectory.errors import DAMAGE
from trajectory.records import Floats, Recording, Trajectory
from trajectory.training import choose_device

CODE = 1  # counts changes of what is done with the weights
SAMPLE_RATE = 16_000  # Hz, what all three were trained on
PIECE_SECONDS = 20.0  # of wav2vec2 and HuBERT: their attention grows with its square; Whisper's is in its weights
EDGE_SECONDS = 1.0  # dropped where a neighbouring piece has heard more of what surrounds it
PIECES_AT_ONCE = 2  # a base-size model needs about half a gigabyte for each
CLASSES = {"wav2vec2": "Wav2Vec2Model", "hubert": "HubertModel", "whisper": "WhisperModel"}
MOST_LAYERS, MOST_SIZE = 256, 200_000  # the largest models have 48 and 51,866
MAY_BE_MISSING = {"masked_spec_embed"}  # only training uses it
FILES = "config.json and model.safetensors"


@dataclass(frozen=True, kw_only=True)
class Hearing:
    """How a model turns sound into frames."""

    hop: int  # samples from one frame to the next
    reach: int  # samples in one frame
    piece: int  # frames in the longest piece
    centre: float  # samples from a frame's beginning to the moment it stands for
    scaled: bool  # to zero mean and unit variance, over the song
    listen: Callable[[Floats], Tensor]  # (pieces, samples) -> (pieces, frames, dims)


@dataclass(frozen=True, kw_only=True)
class Speech:
    """The encoder: a frame is the model's last layer, 50 of them a second."""

    name: str
    version: str
    dims: int
    hearing: Hearing

    def frames(self, recording: Recording, *, report: Report | None = None) -> Trajectory:
        hearing, samples = self.hearing, at_rate(recording, SAMPLE_RATE)
        count = 1 + (len(samples) - hearing.reach) // hearing.hop
        if count < 2:
            raise EncoderError(f"{recording.name} lasts {recording.seconds:.2g} s; {self.name} needs 0.1 s")
        if hearing.scaled:
            samples = (samples - samples.mean()) / np.sqrt(samples.var() + np.float32(1e-7))
        size = min(hearing.piece, count)
        length = (size - 1) * hearing.hop + hearing.reach
        points = np.empty((count, self.dims), np.float32)
        pieces = list(_pieces(count, size, edge=round(EDGE_SECONDS * SAMPLE_RATE / hearing.hop)))
        for at in range(0, len(pieces), PIECES_AT_ONCE):
            batch = pieces[at : at + PIECES_AT_ONCE]
            sound = np.stack([samples[first * hearing.hop :][:length] for first, _ in batch])
            for (first, kept), heard in zip(batch, hearing.listen(sound).cpu().numpy(), strict=True):
                points[kept] = heard[kept.start - first : kept.stop - first]
            if report is not None:
                report((at + len(batch)) / len(pieces))
        times = recording.start + (np.arange(count) * hearing.hop + hearing.centre) / SAMPLE_RATE
        return Trajectory(points=points, times=times)


def _pieces(count: int, size: int, *, edge: int) -> Iterator[tuple[int, slice]]:
    """Where each piece begins, and the frames that are taken from it: all of them once, each far from its piece's edges."""
    edge = min(edge, (size - 1) // 4)
    done = 0
    while done < count:
        first = max(min(done - edge, count - size), 0)
        end = count if first + size == count else first + size - edge
        yield first, slice(done, end)
        done = end


def opened(name: str, *, folder: Path | None = None, hub: str | None = None) -> Speech:
    """A model from a local folder, or one that is fetched by its name on the Hugging Face hub because the caller asks for it."""
    if name not in SPEECH:
        raise EncoderError(f"there is no speech encoder '{name}'; choose from {', '.join(SPEECH)}")
    if (folder is None) == (hub is None):
        raise EncoderError(
            f"{name} brings no weights: give either a folder with {FILES}, or a name on the Hugging Face hub, which is fetched from there"
        )
    transformers, refused = _transformers(name), importlib.import_module("huggingface_hub.errors").StrictDataclassError
    folder = _fetched(hub) if hub is not None else Path(folder or "")
    files = _checked(name, folder)
    try:
        with torch.random.fork_rng(devices=[]):  # weights are drawn before they are replaced
            model, found = getattr(transformers, CLASSES[name]).from_pretrained(
                folder, local_files_only=True, use_safetensors=True, trust_remote_code=False, dtype=torch.float32, output_loading_info=True
            )
        missing = set(found["missing_keys"]) - MAY_BE_MISSING
        if missing:
            raise ValueError(f"{len(missing)} weights are missing, {min(missing)} one of them")
        device = choose_device("auto")
        model = model.to(device).eval()
        hearing = _of_mel(transformers, model, device) if name == "whisper" else _of_waves(model, device)
    except (*DAMAGE, ImportError, SafetensorError, refused) as error:
        reason = " ".join(str(error).split())[:160]
        raise EncoderError(f"the {name} model in {folder} cannot be opened ({reason}); get a whole copy") from error
    return Speech(name=name, version=stamp(files, CODE), dims=model.config.hidden_size, hearing=hearing)


def _transformers(name: str) -> Any:
    try:
        transformers = importlib.import_module("transformers")
    except ImportError:
        raise EncoderError(f"{name} needs the package transformers, which is not installed: pip install transformers") from None
    talk = importlib.import_module("transformers.utils.logging")
    talk.disable_progress_bar()
    talk.set_verbosity_error()  # what it warns of while loading is told in one sentence here
    return transformers


def _fetched(hub: str) -> Path:
    """The only way to the internet: just the settings and the safetensors."""
    try:
        found = importlib.import_module("huggingface_hub").snapshot_download(hub, allow_patterns=["config.json", "*.safetensors*"])
    except (OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:160]
        raise EncoderError(f"{hub} cannot be fetched ({reason}); check the name and the network, or give a folder with {FILES}") from error
    return Path(found)


def _checked(name: str, folder: Path) -> list[Path]:
    """The files that make the model; a folder that is no model of this kind is refused before anything of it is built."""
    weights = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
    config = folder / "config.json"
    if not (weights and config.is_file()):
        pickled = folder.is_dir() and any(path.suffix in (".bin", ".pt", ".pth", ".pkl", ".ckpt") for path in folder.iterdir())
        why = "only pickled weights, which may run anything and are never opened" if pickled else f"no {FILES}"
        raise EncoderError(f"{folder} holds {why}; give a folder with {FILES}, or a name on the Hugging Face hub")
    try:
        settings = json.loads(config.read_text(encoding="utf-8"))
        kind = settings["model_type"]
    except DAMAGE as error:
        raise EncoderError(f"{config} is no model's settings ({str(error)[:80]}); get a whole copy") from error
    if kind != name:
        raise EncoderError(f"the model in {folder} is a {str(kind)[:40]}, not a {name}; choose the encoder it belongs to")
    for field, value in settings.items():  # before anything of such a size is built
        most = MOST_LAYERS if "layers" in field else MOST_SIZE
        if isinstance(value, int) and value > most:
            raise EncoderError(f"{config} asks for a {field[:60]!r} above {most}, which no such model has; get a whole copy")
    return [config, *weights]


def _of_waves(model: Any, device: torch.device) -> Hearing:
    """Of models that hear the wave itself, through a stack of convolutions."""
    if getattr(model.config, "add_adapter", False):
        raise ValueError("it has an adapter, which changes the pace of its frames")
    reach, hop = 1, math.prod(model.config.conv_stride)
    for kernel, stride in zip(reversed(model.config.conv_kernel), reversed(model.config.conv_stride), strict=True):
        reach = (reach - 1) * stride + kernel

    @torch.inference_mode()
    def listen(sound: Floats) -> Tensor:
        return model(torch.from_numpy(sound).to(device)).last_hidden_state

    piece = int(PIECE_SECONDS * SAMPLE_RATE) // hop
    return Hearing(hop=hop, reach=reach, piece=piece, centre=reach / 2, scaled=True, listen=listen)


def _of_mel(transformers: Any, model: Any, device: torch.device) -> Hearing:
    """Of Whisper: its log-mel spectrogram, always of one length, so that a short song ends in silence whose frames are cut away.

    Its levels are its own, and stay what they are: the sound is not scaled.
    """
    encoder, positions = model.get_encoder(), int(model.config.max_source_positions)
    extract = transformers.WhisperFeatureExtractor(feature_size=model.config.num_mel_bins)
    hop = extract.hop_length * encoder.conv1.stride[0] * encoder.conv2.stride[0]

    @torch.inference_mode()
    def listen(sound: Floats) -> Tensor:
        mel = extract(list(sound), sampling_rate=SAMPLE_RATE, max_length=positions * hop, return_tensors="pt").input_features
        return encoder(mel.to(device)).last_hidden_state[:, : sound.shape[1] // hop]

    return Hearing(hop=hop, reach=hop, piece=positions, centre=0.0, scaled=False, listen=listen)
