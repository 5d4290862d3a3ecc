"""Runs, bundles, kept arrays and vectors: whole ones, and the doors that read them."""

import contextlib
import functools
import hashlib
import io
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from random import Random

import numpy as np

from tests import audio_files
from tests.fuzz import changes
from trajectory import bundles, runs
from trajectory.errors import TrajectoryError
from trajectory.features import Features


@functools.cache
def whole_run() -> runs.Run:
    from tests.test_runs import make_run

    return make_run()


def run_folder() -> list[bytes]:
    with tempfile.TemporaryDirectory() as place:
        folder = runs.save(whole_run(), Path(place) / "run")
        return [changes.packed([(name, (folder / name).read_bytes()) for name in runs.FILES])]


def _heard() -> Features:
    random, floats = np.random.default_rng(0), np.float32
    return Features(
        start=0.0,
        bin_seconds=0.0232,
        loudness=random.random(60).astype(floats),
        brightness=random.random(60).astype(floats),
        waveform=random.random((20, 2)).astype(floats),
        picture=random.integers(0, 255, (60, 8), dtype=np.uint8),
        highest_hz=4000.0,
    )


def bundle_files() -> list[bytes]:
    found = []
    with tempfile.TemporaryDirectory() as place:
        sound = audio_files.write(Path(place) / "song.ogg", audio_files.noise(8_000, 0.1), 8_000)
        for features, kept in ((_heard(), sound), (None, None)):
            file = io.BytesIO()
            bundles.write(file, whole_run(), features=features, sound=kept, hue="time", camera=(1.0,) * 9)
            found.append(file.getvalue())
    return found


def of_bundle(data: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    """Mostly with hashes that fit again: whoever changes a bundle can do that too."""
    members = changes.unpacked(data)
    if members is None or random.random() < 0.15:
        return changes.of_zip(data, random, others)
    if random.random() < 0.004:
        return changes.bomb(random.choice(("README.md", "trajectory.npz", "sound.mp3")))
    changed = changes.of_members(members, random)
    if random.random() < 0.9:
        changed = [(name, _hashed_again(text, changed) if name == bundles.MANIFEST else text) for name, text in changed]
    return changes.packed(changed, random)


def _hashed_again(manifest: bytes, members: changes.Members) -> bytes:
    try:
        about = json.loads(manifest)
        about["sha256"] = {name: hashlib.sha256(data).hexdigest() for name, data in members if name != bundles.MANIFEST}
    except (ValueError, TypeError, RecursionError):
        return manifest
    return json.dumps(about).encode()


def take_back(data: bytes, folder: Path) -> None:
    """What is let in can be used: told of, drawn, kept and exported again."""
    from trajectory import colouring, geometry

    bundle = bundles.import_bundle(data)
    run = bundle.run
    assert bundle.sound_name is None or Path(bundle.sound_name).name == bundle.sound_name
    bundles.title(run), bundles.command(run)
    geometry.principal_coordinates(run.trajectory.points)
    colouring.hues(bundle.features, run.song.beat)
    runs.save(run, folder / "run")
    runs.load(folder / "run")
    bundles.write(io.BytesIO(), run, features=bundle.features, sound=None, hue=bundle.hue, camera=bundle.camera)


def of_folder(data: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    """Files of a folder, packed for the way."""
    members = changes.unpacked(data)
    if not members:  # what atheris made of it
        return changes.of_bytes(data, random)
    at = random.randrange(len(members))
    name, content = members[at]
    if random.random() < 0.03:
        del members[at]
    else:
        members[at] = name, changes.of_kind(name)(content, random, [other for _, other in members])
    return changes.packed(members)


def laid_out(data: bytes, folder: Path) -> bool:
    """Puts the files of a case into the folder; False where a guided case is no zip."""
    members = changes.unpacked(data)
    for name, content in members or []:
        (folder / Path(name.replace("\0", "")).name[:60]).write_bytes(content)
    return members is not None


def open_run(data: bytes, folder: Path) -> None:
    if laid_out(data, folder):
        runs.load(folder)


def kept_files() -> list[bytes]:
    from trajectory.collection import Heard

    heard = Heard(frames=whole_run().trajectory, tags=(("rock", 0.5),), bpm=120.0)
    return [_heard().to_bytes(), heard.to_bytes()]


def read_kept(data: bytes, _: Path) -> None:
    from trajectory.collection import Heard

    for kind in (Features, Heard):
        with contextlib.suppress(TrajectoryError):
            kind.from_bytes(data)


def vector_files() -> list[bytes]:
    vectors, names = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32), np.array(list("abcdef"))
    kept = io.BytesIO()
    np.savez(kept, vectors=vectors, names=names)
    rows = [",".join([name, *(f"{value:.4g}" for value in row)]) for name, row in zip(names, vectors, strict=True)]
    return [
        kept.getvalue(),
        "\n".join(["name,a,b,c,d", *rows]).encode(),
        "\r\n".join(rows).replace(",", ";").encode(),
        b'"a ""b""",1,2\n"c\nd",3,4\n',
    ]


def read_vectors(data: bytes, _: Path) -> None:
    from trajectory.similarity import read_vectors

    names, vectors = read_vectors(io.BytesIO(data))
    assert len(names) == len(set(names)) == len(vectors)
    assert np.isfinite(vectors).all()
    "".join(names).encode()


def indexes() -> list[bytes]:
    from trajectory.similarity import Index, Space

    with tempfile.TemporaryDirectory() as place:
        vectors = np.random.default_rng(0).normal(size=(20, 4))
        index = Index.build([f"n{row}" for row in range(20)], vectors, Space(encoder="e", version="1", dims=4))
        return [index.save(place).read_bytes()]


def open_index(data: bytes, folder: Path) -> None:
    from trajectory.similarity import Index

    (folder / "index.npz").write_bytes(data)
    index = Index.open(folder)
    if len(index):
        index.search(index.vectors[:1], 3)
