"""Folders of encoders: whole ones, and the doors that open them."""

import json
import tempfile
from pathlib import Path

from tests.fuzz import changes
from tests.fuzz.records import laid_out


def logmel_folder() -> list[bytes]:
    import safetensors.torch
    import torch

    from trajectory.encoders import logmel

    torch.manual_seed(0)
    settings = logmel.LogmelSettings(dims=2, seconds=0.5)
    about = {"encoder": "logmel-cnn", "settings": {**vars(settings)}}
    weights = safetensors.torch.save(logmel.Network(settings).state_dict())
    return [changes.packed([("settings.json", json.dumps(about).encode()), ("model.safetensors", weights)])]


def open_logmel(data: bytes, folder: Path) -> None:
    from trajectory import encoders

    if laid_out(data, folder):
        encoders.load("logmel-cnn", folder=folder)


def speech_folder() -> list[bytes]:
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    size = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8, "num_feat_extract_layers": 2}
    layers = {
        "conv_dim": (4, 4),
        "conv_stride": (5, 4),
        "conv_kernel": (10, 8),
        "num_conv_pos_embeddings": 4,
        "num_conv_pos_embedding_groups": 2,
    }
    with tempfile.TemporaryDirectory() as place:
        Wav2Vec2Model(Wav2Vec2Config(**size, **layers)).save_pretrained(place)
        return [changes.packed([(name, (Path(place) / name).read_bytes()) for name in ("config.json", "model.safetensors")])]


def open_speech(data: bytes, folder: Path) -> None:
    from trajectory import encoders

    if laid_out(data, folder):
        encoders.load("wav2vec2", folder=folder)
