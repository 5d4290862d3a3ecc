"""Makes musicnn.safetensors of the TensorFlow checkpoint inside the wheel of musicnn 0.1.0, with numpy alone.

    pip download --no-deps musicnn==0.1.0
    python assets/musicnn/convert.py musicnn-0.1.0-py3-none-any.whl

A checkpoint is two files: `.index`, a LevelDB table of names and where each tensor lies, and `.data`, the numbers one after another.
"""

import ast
import json
import math
import struct
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

MODEL = "musicnn/MTT_musicnn/"
TABLE_MAGIC = 0xDB4775248B80FB57
FLOAT = 1  # TensorFlow's number for float32
NORMS = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
# TensorFlow numbers its layers as they are made; here they have their names in trajectory/encoders/musicnn.py.
FRONTS = [*(f"timbral.{at}" for at in range(2)), *(f"temporal.{at}" for at in range(3))]
MIDDLES = [f"middle.{at}" for at in range(3)]
BATCH_NORMS = ["level", *(f"{name}.norm" for name in FRONTS + MIDDLES), "pooled_norm", "dense_norm"]
Floats = NDArray[np.float32]


def main(wheel: str) -> None:
    """Writes the weights beside this script, with the tags' names and where they come from as metadata."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            made = weights(dict(checkpoint(archive.read(f"{MODEL}.index"), archive.read(f"{MODEL}.data-00000-of-00001"))))
            tags = labels(archive.read("musicnn/configuration.py").decode())
    except (OSError, KeyError, IndexError, ValueError, struct.error, zipfile.BadZipFile) as error:
        raise SystemExit(f"{wheel} is not the wheel of musicnn 0.1.0 ({error}); get it with pip download") from None
    about = {"source": "MTT_musicnn of musicnn 0.1.0 (PyPI), ISC, see LICENSE", "tags": tags}
    path = Path(__file__).with_name("musicnn.safetensors")
    path.write_bytes(safetensors.numpy.save(made, metadata={"about": json.dumps(about)}))


def weights(tensors: dict[str, Floats]) -> dict[str, Floats]:
    """The checkpoint's tensors under torch's names and in torch's order of axes; what only its training needed stays behind."""
    made = {}
    convolutions = numbered("conv2d", FRONTS + [f"{name}.filter" for name in MIDDLES])
    for name, layer in [*convolutions, *numbered("dense", ["dense", "tags"])]:
        kernel = tensors[f"{layer}/kernel"]  # (spectra, bands, 1, filters), or (inputs, outputs)
        if name in FRONTS:
            kernel = kernel.reshape(-1, kernel.shape[-1])
        elif name.startswith("middle"):
            kernel = kernel[:, :, 0]  # as wide as its input: a convolution over time alone
        made[f"{name}.weight"] = np.ascontiguousarray(np.moveaxis(kernel, (-1, -2), (0, 1)))
        made[f"{name}.bias"] = tensors[f"{layer}/bias"]
    for name, layer in numbered("batch_normalization", BATCH_NORMS):
        made |= {f"{name}.{ours}": tensors[f"{layer}/{theirs}"] for theirs, ours in NORMS.items()}
    return made


def numbered(kind: str, names: list[str]) -> list[tuple[str, str]]:
    """Each name with TensorFlow's: conv2d, conv2d_1, conv2d_2, ..."""
    return [(name, f"{kind}_{at}" if at else kind) for at, name in enumerate(names)]


def labels(source: str) -> list[str]:
    """The list MTT_LABELS of the package's configuration, read and not run."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "MTT_LABELS":
            return [str(tag) for tag in ast.literal_eval(node.value)]
    raise SystemExit("this wheel's configuration names no MTT_LABELS; take musicnn 0.1.0")


def checkpoint(index: bytes, data: bytes) -> Iterator[tuple[str, Floats]]:
    """Every float32 tensor by its name."""
    if len(index) < 48 or struct.unpack("<Q", index[-8:])[0] != TABLE_MAGIC:
        raise SystemExit("the checkpoint's index is no LevelDB table; take the wheel of musicnn 0.1.0")
    footer = index[-48:]
    _, at = varint(footer, 0)
    _, at = varint(footer, at)  # past the place of the table's own metadata
    for _, place in block(index, *handle(footer, at)):
        for name, value in block(index, *handle(place, 0)):
            if name:  # the nameless first says how many files there are
                yield name, tensor(name, dict(fields(value)), data)


def tensor(name: str, entry: dict[int, Any], data: bytes) -> Floats:
    """One tensor, by what the index says of it: 1 its kind, 2 its shape, 3 its file, 4 where it begins, 5 its bytes."""
    shape = [dict(fields(size)).get(1, 0) for _, size in fields(entry.get(2, b""))]
    count = math.prod(shape)
    if entry[1] != FLOAT or entry.get(3, 0) != 0 or entry[5] != 4 * count:
        raise SystemExit(f"tensor {name} is not float32 in a single file; take the wheel of musicnn 0.1.0")
    return np.frombuffer(data, "<f4", count, entry.get(4, 0)).reshape(shape)


def block(table: bytes, start: int, size: int) -> Iterator[tuple[str, bytes]]:
    """Names and values of one block, in which a name gives only what differs from the one before it."""
    if table[start + size] != 0:
        raise SystemExit("the checkpoint's index is compressed; take the wheel of musicnn 0.1.0")
    held = table[start : start + size]
    end = size - 4 * (struct.unpack("<I", held[-4:])[0] + 1)
    at, key = 0, b""
    while at < end:
        shared, at = varint(held, at)
        own, at = varint(held, at)
        length, at = varint(held, at)
        key = key[:shared] + held[at : at + own]
        at += own + length
        yield key.decode("latin-1"), held[at - length : at]


def handle(data: bytes, at: int) -> tuple[int, int]:
    """Where a block begins, and its bytes."""
    start, at = varint(data, at)
    size, _ = varint(data, at)
    return start, size


def varint(data: bytes, at: int) -> tuple[int, int]:
    """A number in groups of 7 bits, the lowest first, and where the next thing begins."""
    number = shift = 0
    while data[at] & 0x80:
        number |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
    return number | data[at] << shift, at + 1


def fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """The fields of a protocol buffer, by number."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == 0:
            value, at = varint(data, at)
            yield key >> 3, value
        elif key & 7 in (2, 5):
            size, at = varint(data, at) if key & 7 == 2 else (4, at)
            yield key >> 3, data[at : at + size]
            at += size
        else:
            raise SystemExit(f"the checkpoint's index holds a field of type {key & 7}; take the wheel of musicnn 0.1.0")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python assets/musicnn/convert.py WHEEL")
    main(sys.argv[1])
