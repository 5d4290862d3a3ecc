import base64
import csv
import dataclasses
import functools
import hashlib
import html
import io
import json
import os
import re
import shlex
import stat
import string
import struct
import unicodedata
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.audio_files import click
from tests.test_runs import assert_equal, make_run
from trajectory import __main__ as command_line
from trajectory import bundles, figures, geometry, runs
from trajectory.bundles import ExportError, command, import_bundle, stem
from trajectory.colouring import colour
from trajectory.export import KINDS, export
from trajectory.features import Features
from trajectory.records import Trajectory
from trajectory.settings import (
    LossSettings,
    ModelSettings,
    SectionSettings,
    Settings,
    SpectrogramSettings,
    TrainingSettings,
    WindowSettings,
    preset,
)

ENDINGS = (".npz", ".csv", ".html", ".glb", ".zip")
HOSTILE = "</script><img src=x onerror=alert(1)> $title %s {run} 音\n"


def heard(bins: int = 86) -> Features:
    random = np.random.default_rng(1)
    return Features(
        start=0.0,
        bin_seconds=1024 / 44_100,
        loudness=-random.random(bins).astype(np.float32),
        brightness=random.random(bins).astype(np.float32) * 4_000,
        waveform=random.normal(size=(100, 2)).astype(np.float32),
        picture=random.integers(0, 256, (bins, 94)).astype(np.uint8),
        highest_hz=4_005.0,
    )


def called(title: str) -> runs.Run:
    run = make_run()
    return dataclasses.replace(run, song=dataclasses.replace(run.song, title=title))


def exported(kind: str, folder: Path, run: runs.Run | None = None, **options: Any) -> Path:
    (path,) = export(run or make_run(), [kind], folder, name="song", **options)
    return path


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    path = tmp_path / "My song.OGG"
    path.write_bytes(b"OggS" + bytes(range(256)))
    return path


# --- What is written, and when it is not


def test_every_kind_lies_in_the_folder_under_the_given_name(tmp_path: Path) -> None:
    paths = export(make_run(), [*KINDS, "npz"], tmp_path / "deep" / "out", name="a song", features=heard())
    assert paths == [tmp_path / "deep" / "out" / f"a song{ending}" for ending in ENDINGS]
    assert sorted(path.name for path in paths[0].parent.iterdir()) == sorted(f"a song{ending}" for ending in ENDINGS)


@given(st.text(max_size=300))
@settings(max_examples=80, deadline=None)
def test_any_name_becomes_one_that_stays_in_its_folder(name: str) -> None:
    made = stem(name)
    assert made == made.strip(" .")
    assert 0 < len(made.encode()) <= 200
    assert not set(made) & set('/\\:*?"<>|')
    assert all(unicodedata.category(letter)[0] != "C" for letter in made)


def test_a_names_letters_are_kept_in_every_script() -> None:
    assert stem("../ärger: 音 e\u0301.mp3") == "_ärger_ 音 é.mp3"
    assert stem("../..") == "_"
    assert stem("") == stem(" . ") == "trajectory"


def test_what_cannot_be_exported_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="'exe'; choose of npz, csv, html, gltf, bundle"):
        export(make_run(), ["npz", "exe"], tmp_path, name="song")
    with pytest.raises(ExportError, match="cannot be coloured by loudness; choose one of time, speed"):
        export(make_run(), ["gltf"], tmp_path, name="song", hue="loudness")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_leaves_the_old_file_and_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    old = exported(kind, tmp_path)
    before = old.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ExportError, match="No space left on device"):
        exported(kind, tmp_path, make_run(1))
    assert list(tmp_path.iterdir()) == [old]
    assert old.read_bytes() == before


def test_a_folder_that_cannot_be_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a note")
    with pytest.raises(ExportError, match="cannot be written"):
        exported("npz", tmp_path / "file")
    with pytest.raises(ExportError, match=r"none\.mp3 cannot be read: No such file"):
        exported("bundle", tmp_path, sound=tmp_path / "none.mp3")


# --- Numbers


def test_npz_comes_back_to_the_last_bit(tmp_path: Path) -> None:
    run, sounds = make_run(), heard()
    with np.load(exported("npz", tmp_path, run, features=sounds), allow_pickle=False) as arrays:
        assert_equal(arrays["points"], run.trajectory.points)
        assert_equal(arrays["times"], run.trajectory.times)
        assert_equal(arrays["speed"], geometry.speed(run.trajectory))
        assert_equal(arrays["curvature"], geometry.curvature(run.trajectory))
        assert_equal(arrays["loudness"], colour(run.trajectory, "loudness", features=sounds).values)
        assert_equal(arrays["brightness"], sounds.at(sounds.brightness, run.trajectory.times, 0.5))
        np.testing.assert_allclose(arrays["beat_phase"], (run.trajectory.times - 0.1) / 0.5 % 1)
        assert set(arrays["section"]) <= set(string.ascii_uppercase)


def test_csv_comes_back_to_the_last_bit(tmp_path: Path) -> None:
    run = make_run()
    with exported("csv", tmp_path, run, features=heard()).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        *("times", "x1", "x2", "x3", "speed", "curvature", "loudness", "brightness", "section", "beat_phase"),
    ]
    assert_equal(np.array([[row[f"x{i}"] for i in (1, 2, 3)] for row in rows]).astype(np.float32), run.trajectory.points)
    assert_equal(np.array([row["times"] for row in rows]).astype(np.float64), run.trajectory.times)
    assert_equal(np.array([row["speed"] for row in rows]).astype(np.float64), geometry.speed(run.trajectory))


def test_columns_of_what_is_not_known_are_left_out(tmp_path: Path) -> None:
    run = make_run()
    run = dataclasses.replace(run, song=dataclasses.replace(run.song, beat=None))
    header = exported("csv", tmp_path, run).read_text(encoding="utf-8").splitlines()[0]
    assert header == "times,x1,x2,x3,speed,curvature,section"


def test_sections_are_the_letters_that_the_shape_tells(tmp_path: Path) -> None:
    angle = np.linspace(0, 40 * np.pi, 1_000, dtype=np.float32)
    away = np.repeat(np.float32([0, 9, 0]), [400, 300, 300])
    points = np.stack([np.cos(angle) + away, np.sin(angle), 0 * angle], axis=1)
    run = dataclasses.replace(make_run(), trajectory=Trajectory(points=points, times=np.arange(1_000) * 0.04))
    with np.load(exported("npz", tmp_path, run)) as arrays:
        letters, starts = arrays["section"], arrays["times"][1:][arrays["section"][1:] != arrays["section"][:-1]]
    assert [letters[0], letters[550], letters[-1]] == ["A", "B", "A"]
    np.testing.assert_allclose(starts, [16.0, 28.0], atol=0.5)


# --- A curve for 3D programs

Glb = tuple[dict[str, Any], bytes]


def read_glb(path: Path) -> Glb:
    """As chapter 4 of the glTF 2.0 specification has it."""
    data = path.read_bytes()
    magic, version, length = struct.unpack("<4sII", data[:12])
    assert (magic, version, length) == (b"glTF", 2, len(data))
    (size,) = struct.unpack("<I", data[12:16])
    assert data[16:20] == b"JSON"
    assert size % 4 == 0
    (blob_size,) = struct.unpack("<I", data[20 + size : 24 + size])
    assert data[24 + size : 28 + size] == b"BIN\0"
    assert len(data) == 28 + size + blob_size
    return json.loads(data[20 : 20 + size]), data[28 + size :]


def read_accessor(glb: Glb, index: int) -> np.ndarray:
    about, blob = glb
    accessor = about["accessors"][index]
    view = about["bufferViews"][accessor["bufferView"]]
    assert accessor["componentType"] == 5126
    assert view["byteOffset"] % 4 == 0
    assert view["byteOffset"] + view["byteLength"] <= about["buffers"][view["buffer"]]["byteLength"] == len(blob)
    parts = {"SCALAR": 1, "VEC3": 3}[accessor["type"]]
    assert view["byteLength"] == 4 * parts * accessor["count"]
    values = np.frombuffer(blob, "<f4", count=parts * accessor["count"], offset=view["byteOffset"])
    return values if parts == 1 else values.reshape(-1, parts)


def test_gltf_holds_the_shown_curve_as_one_line_with_its_colours(tmp_path: Path) -> None:
    run = called(HOSTILE)
    glb = read_glb(exported("gltf", tmp_path, run, hue="speed"))
    about, _ = glb
    (primitive,) = about["meshes"][0]["primitives"]
    assert primitive["mode"] == 3
    places = read_accessor(glb, primitive["attributes"]["POSITION"])
    assert_equal(places, figures.shown(run.trajectory.points, run.trajectory))
    position = about["accessors"][primitive["attributes"]["POSITION"]]
    assert_equal(np.float32([position["min"], position["max"]]), np.stack([places.min(axis=0), places.max(axis=0)]))
    light = read_accessor(glb, primitive["attributes"]["COLOR_0"])
    seen = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    np.testing.assert_allclose(seen, colour(run.trajectory, "speed").rgb(), atol=1e-5)
    assert_equal(read_accessor(glb, primitive["attributes"]["_TIME"]), run.trajectory.times.astype(np.float32))
    assert about["asset"]["version"] == "2.0"
    assert about["nodes"][0]["name"] == HOSTILE.replace("\n", " ")


def test_gltf_stands_as_the_scene_does_where_its_third_axis_is_up(tmp_path: Path) -> None:
    about, _ = read_glb(exported("gltf", tmp_path))
    x, y, z, w = about["nodes"][0]["rotation"]
    up = [2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)]  # where the third axis goes
    np.testing.assert_allclose(up, [0, 1, 0], atol=1e-9)


# --- A page that stands alone


def test_a_page_asks_nothing_of_any_network(tmp_path: Path, sound: Path) -> None:
    page = exported("html", tmp_path, features=heard(), sound=sound).read_text(encoding="utf-8")
    assert "default-src 'none'" in page
    own = re.sub(r"<script>.*?</script>", "", page, count=1, flags=re.DOTALL)  # without Plotly, which holds links as text
    assert not re.search(r"""(src|href)=["']|url\(|https?:""", own)


def test_a_hostile_title_stays_text(tmp_path: Path) -> None:
    page = exported("html", tmp_path, called(HOSTILE)).read_text(encoding="utf-8")
    plain = exported("html", tmp_path, called("plain")).read_text(encoding="utf-8")
    assert html.escape(HOSTILE.strip()) in page
    for tag in ("<img", "<script", "</script"):
        assert page.count(tag) == plain.count(tag)
    assert exported("html", tmp_path, called("bad\udcff name")).read_text(encoding="utf-8").count("bad  name") == 2


def test_a_page_holds_its_sound_only_where_it_is_given(tmp_path: Path, sound: Path) -> None:
    assert "data:audio/ogg;base64,T2dnUwAB" in exported("html", tmp_path, sound=sound).read_text(encoding="utf-8")
    assert "data:audio" not in exported("html", tmp_path).read_text(encoding="utf-8")


def test_a_sound_that_a_page_cannot_hold_is_refused_in_one_sentence(tmp_path: Path, sound: Path) -> None:
    with sound.open("r+b") as file:
        file.truncate(6_000_001)
    with pytest.raises(ExportError, match=r"My song\.OGG is 6\.0 MB, a page holds up to 6 MB"):
        exported("html", tmp_path, sound=sound)
    with pytest.raises(ExportError, match=r"browsers do not play My song\.aiff"):
        exported("html", tmp_path, sound=sound.rename(tmp_path / "My song.aiff"))
    assert not list(tmp_path.glob("song*"))


def test_a_page_takes_a_thirty_second_wav_at_the_same_moment_and_far_smaller(tmp_path: Path) -> None:
    rate = 44_100
    clicked = np.stack([click(rate, seconds=30.0, at=29.0), click(rate, seconds=30.0, at=1.0)], axis=1)
    soundfile.write(tmp_path / "song.wav", clicked, rate)
    page = exported("html", tmp_path, sound=tmp_path / "song.wav").read_bytes()
    assert len(page) < 4_000_000
    (held,) = re.findall(rb"data:audio/ogg;base64,([^\"]+)", page)
    heard_again, _ = soundfile.read(io.BytesIO(base64.b64decode(held)))
    assert heard_again.shape == clicked.shape
    assert np.abs(np.abs(heard_again).argmax(axis=0) - [29 * rate, rate]).max() <= 1


def test_a_page_of_thirty_seconds_with_sound_has_room_below_8_megabytes(tmp_path: Path, sound: Path) -> None:
    random = np.random.default_rng(0)
    points, snapshots = random.normal(size=(1_270, 3)), random.normal(size=(40, 1_270, 3))
    times = np.arange(1_270) * 0.0232 + 0.26
    run = dataclasses.replace(
        make_run(),
        trajectory=Trajectory(points=points.astype(np.float32), times=times),
        forming=dataclasses.replace(make_run().forming, steps=np.arange(40), points=snapshots.astype(np.float32), times=times),
    )
    sound.write_bytes(bytes(30 * 320_000 // 8))  # the most that an mp3 takes
    assert exported("html", tmp_path, run, features=heard(1_292), sound=sound).stat().st_size < 6_500_000


# --- A bundle


def test_a_bundle_comes_back_as_it_was(tmp_path: Path, sound: Path) -> None:
    camera = (1.5, -0.25, 0.5, 0.0, 0.1, 0.0, 0.0, 0.0, 1.0)
    found = import_bundle(exported("bundle", tmp_path, features=heard(), sound=sound, hue="brightness", camera=camera))
    assert found.camera == camera
    assert_equal(found.run, make_run())
    assert_equal(found.features, heard())
    assert found.sound == sound.read_bytes()
    assert found.sound_name == "ärger 音.ogg"
    assert found.hue == "brightness"


def test_what_was_not_asked_for_is_not_in_a_bundle(tmp_path: Path) -> None:
    found = import_bundle(exported("bundle", tmp_path).read_bytes())
    assert found.features is None
    assert found.sound is None
    assert found.sound_name is None


def test_the_same_run_gives_the_same_bundle_to_the_last_byte(tmp_path: Path) -> None:
    first, second = (exported("bundle", tmp_path / place, features=heard()).read_bytes() for place in "ab")
    assert first == second


def test_the_readme_of_a_bundle_says_how_to_make_it_again(tmp_path: Path) -> None:
    with zipfile.ZipFile(exported("bundle", tmp_path, called("# Title"))) as archive:
        text = archive.read("README.md").decode()
    assert text.startswith("# \\# Title\n")
    assert "\n    python -m trajectory embed 'ärger 音.mp3' --preset conditioned --seed 0 --out run\n" in text
    assert "torch 2.11.0" in text


@pytest.mark.parametrize(
    "chosen",
    [
        preset("pure"),
        preset("published", section=SectionSettings(start=12.5, stop=90.0), window=WindowSettings(seconds=2.0)),
        preset("smooth", spectrogram=SpectrogramSettings(scale="mel"), model=ModelSettings(dims=12, history=20)),
        preset("variational", training=TrainingSettings(steps=300, batch=64, rate=0.001, until=0.6, seed=7, device="cpu")),
        Settings(loss=LossSettings(forecast=0.01, off_centre=1e-5, kl=0.5), model=ModelSettings(horizons=(1, 3))),
    ],
    ids=lambda chosen: chosen.preset,
)
def test_the_command_in_the_readme_gives_the_same_settings(chosen: Settings) -> None:
    line = command(dataclasses.replace(make_run(), settings=chosen))
    assert line is not None
    program, *words = shlex.split(line.removeprefix("python -m "))
    options = command_line.parser(command_line.COMMANDS).parse_args(words)
    assert (program, options.song) == ("trajectory", "ärger 音.mp3")
    assert command_line._settings(options) == chosen


def test_settings_that_no_command_line_takes_are_told_in_python(tmp_path: Path) -> None:
    run = dataclasses.replace(make_run(), settings=preset("pure", spectrogram=SpectrogramSettings(taper=0.25)))
    assert command(run) is None
    with zipfile.ZipFile(exported("bundle", tmp_path, run)) as archive:
        text = archive.read("README.md").decode()
    assert "    run = trajectory.fit('ärger 音.mp3', trajectory.Settings.from_dict(values))\n" in text


# --- A bundle from a stranger

Members = dict[str, bytes]


@functools.cache
def _honest() -> bytes:
    kept = io.BytesIO()
    bundles.write(kept, make_run(), features=heard(), sound=None, hue="time")
    return kept.getvalue()


def members() -> Members:
    with zipfile.ZipFile(io.BytesIO(_honest())) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(files: Members, *, hashed: bool = True, **about: Any) -> bytes:
    """A bundle with these members, under their true hashes."""
    if hashed:
        hashes = {name: hashlib.sha256(data).hexdigest() for name, data in files.items() if name != "manifest.json"}
        files = files | {"manifest.json": json.dumps({"version": 1, "hue": "time", "sha256": hashes} | about).encode()}
    kept = io.BytesIO()
    with zipfile.ZipFile(kept, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return kept.getvalue()


def npz(**arrays: Any) -> bytes:
    kept = io.BytesIO()
    np.savez_compressed(kept, **arrays)
    return kept.getvalue()


def changed_json(name: str, **changes: Any) -> Members:
    """A JSON member with values replaced by their path, written `a__b`."""
    values = json.loads(members()[name])
    for path, value in changes.items():
        *above, last = path.split("__")
        functools.reduce(lambda table, key: table[key], above, values)[last] = value
    return {name: json.dumps(values).encode()}


def test_a_bundle_packed_by_another_zip_program_is_taken() -> None:
    assert_equal(import_bundle(packed(members())).run, make_run())


@pytest.mark.parametrize(
    ("bundle", "words"),
    [
        (lambda: b"", "no zip"),
        (lambda: b"PK", "no zip"),
        (lambda: _honest()[:-30], "cut short"),
        (lambda: packed({"a.txt": b""}), "no part of a bundle"),
        (lambda: packed(members() | {"../evil.py": b"x"}), r"'\.\./evil\.py', which is no part of a bundle"),
        (lambda: packed(members() | {"/etc/passwd": b"x"}), "no part of a bundle"),
        (lambda: packed(members() | {"sound.ogg/../../x": b"x"}), "no part of a bundle"),
        (lambda: packed(members() | {"sound.ogg": b"x", "sound.mp3": b"y"}), "more than one sound"),
        (lambda: packed(members() | {f"sound.{i}": b"" for i in range(9_999)}), "lists more than a bundle holds"),
        (lambda: packed({name: data for name, data in members().items() if name != "settings.json"}), r"settings\.json is missing"),
        (lambda: packed(members() | {"README.md": b"other"}, hashed=False), r"README\.md is not what was put in"),
        (lambda: packed(members(), sha256={}), "is not what was put in"),
        (lambda: packed(members(), sha256=[]), "cannot be taken"),
        (lambda: packed(members(), version=2), "of version 2, and this program reads 1"),
        (lambda: packed(members(), hue="taste"), "coloured by what it does not hold"),
        (lambda: packed(members(), hue=["time"]), "coloured by what it does not hold"),
        (lambda: packed(members(), camera=[1.0] * 8), "camera is not nine numbers"),
        (lambda: packed(members(), camera=[float("nan")] * 9), "camera is not nine numbers"),
        (lambda: packed(members(), camera=7), "cannot be taken"),
        (lambda: packed(members() | {"manifest.json": b"[" * 100_000}, hashed=False), "cannot be taken"),
        (lambda: packed(members() | {"settings.json": b"[" * 100_000}), "cannot be taken"),
        (lambda: packed(members() | {"training.json": bytes(20_000_000)}), "20 MB large; 16 MB are the most"),
        (lambda: packed(members() | {"model.safetensors": b"x" * 100}), "its run is damaged"),
        (lambda: packed(members() | changed_json("settings.json", song__name=7)), "texts of its run make no sense"),
        (lambda: packed(members() | changed_json("settings.json", song__title="x" * 20_000)), "texts of its run"),
        (lambda: packed(members() | changed_json("settings.json", song__seconds=float("nan"))), "numbers of its run"),
        (lambda: packed(members() | changed_json("settings.json", song__seconds=0.5)), "times of its run"),
        (lambda: packed(members() | changed_json("settings.json", song__beat__bpm=0)), "numbers of its run"),
        (lambda: packed(members() | changed_json("settings.json", scaling__bin_seconds=1e-300)), "times of its run"),
        (lambda: packed(members() | changed_json("settings.json", scaling__low=10**400)), "cannot be taken"),
        (lambda: packed(members() | changed_json("settings.json", settings__model__dims=12)), "dimensions of its run"),
        (lambda: packed(members() | changed_json("training.json", losses__total=[[1], [2]])), "losses of its run"),
        (lambda: packed(members() | changed_json("training.json", versions=["torch"])), "cannot be taken"),
    ],
)
def test_a_bundle_that_was_tampered_with_is_refused_in_one_sentence(bundle: Any, words: str) -> None:
    with pytest.raises(ExportError, match=words) as caught:
        import_bundle(bundle())
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


POINTS, TIMES = np.zeros((50, 3), np.float32), make_run().trajectory.times


@pytest.mark.parametrize(
    ("name", "arrays", "words"),
    [
        ("trajectory.npz", {"points": POINTS}, "other arrays than points, times"),
        ("trajectory.npz", {"points": POINTS, "times": TIMES, "more": TIMES}, "other arrays"),
        ("trajectory.npz", {"points": POINTS[:, :2], "times": TIMES}, "dimensions"),
        ("trajectory.npz", {"points": POINTS[:9], "times": TIMES}, "do not make a trajectory"),
        ("trajectory.npz", {"points": POINTS.astype(np.float64), "times": TIMES}, "another type or shape"),
        ("trajectory.npz", {"points": POINTS[None], "times": TIMES}, "another type or shape"),
        ("trajectory.npz", {"points": np.array([{}] * 50, object), "times": TIMES}, "another type or shape"),
        ("trajectory.npz", {"points": POINTS, "times": TIMES[::-1]}, "do not rise"),
        ("forming.npz", {"steps": np.arange(2), "points": np.full((2, 50, 3), np.nan, np.float32), "times": TIMES}, "snapshots"),
        ("forming.npz", {"steps": np.arange(0), "points": np.zeros((0, 50, 3), np.float32), "times": TIMES}, "snapshots"),
        ("features.npz", vars(heard()) | {"brightness": np.zeros(3, np.float32)}, "heard in its song makes no sense"),
        ("features.npz", vars(heard()) | {"waveform": np.zeros((9, 3), np.float32)}, "heard in its song makes no sense"),
        ("features.npz", vars(heard()) | {"bin_seconds": 0.0}, "heard in its song makes no sense"),
        ("features.npz", vars(heard()) | {"start": np.nan}, "heard in its song makes no sense"),
    ],
)
def test_arrays_of_another_kind_are_refused_in_one_sentence(name: str, arrays: dict[str, Any], words: str) -> None:
    with pytest.raises(ExportError, match=words):
        import_bundle(packed(members() | {name: npz(**arrays)}))


def test_an_array_that_claims_to_be_huge_is_refused_before_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "<f4", "fortran_order": False, "shape": (10**15, 3)})
    bomb = packed({"points.npy": head.getvalue(), "times.npy": b""}, hashed=False)
    with pytest.raises(ExportError, match="another type or shape"):
        import_bundle(packed(members() | {"trajectory.npz": bomb}))
    monkeypatch.setattr(bundles, "UNPACKED_BYTES", 1_000_000)
    zeros = packed({"points.npy": bytes(1_000_001), "times.npy": b""}, hashed=False)
    with pytest.raises(ExportError, match="unpacks to more than 1 MB"):
        import_bundle(packed(members() | {"trajectory.npz": zeros}))


def edited(name: str, **fields: Any) -> bytes:
    """The honest bundle with one entry of another kind."""
    kept = io.BytesIO()
    with zipfile.ZipFile(kept, "w") as archive:
        for member, data in members().items():
            entry = zipfile.ZipInfo(member)
            for field, value in fields.items() if member == name else ():
                setattr(entry, field, value)
            archive.writestr(entry, data)
    return kept.getvalue()


def test_links_and_other_packings_are_refused() -> None:
    with pytest.raises(ExportError, match=r"README\.md is no plain file"):
        import_bundle(edited("README.md", external_attr=(stat.S_IFLNK | 0o777) << 16))
    with pytest.raises(ExportError, match="packed in a way that no bundle uses"):
        import_bundle(edited("README.md", compress_type=zipfile.ZIP_LZMA))


def test_a_member_that_is_there_twice_is_refused() -> None:
    with pytest.warns(UserWarning, match="Duplicate"), io.BytesIO(_honest()) as kept:  # noqa: PT031 - the archive is what warns
        with zipfile.ZipFile(kept, "a") as archive:
            archive.writestr("settings.json", b"{}")
        data = kept.getvalue()
    with pytest.raises(ExportError, match=r"settings\.json twice"):
        import_bundle(data)


def test_a_member_larger_than_it_says_is_not_unpacked_further() -> None:
    data = bytearray(packed(members() | {"README.md": bytes(900_000)}))
    real = struct.pack("<L", 900_000)
    assert data.count(real) == 2
    with pytest.raises(ExportError, match="cannot be taken"):
        import_bundle(bytes(data).replace(real, struct.pack("<L", 9)))


def test_a_bundle_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"'none\.zip' cannot be taken: No such file"):
        import_bundle(tmp_path / "none.zip")


def test_taking_a_bundle_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    import_bundle(_honest())
    with pytest.raises(ExportError):
        import_bundle(packed(members() | {"model.safetensors": b""}))
    assert not list(tmp_path.iterdir())


@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.binary(min_size=1, max_size=8)), max_size=3),
    st.none() | st.integers(0, 10**6),
)
@settings(max_examples=80, deadline=None)
def test_damaged_bytes_are_refused_or_do_no_harm(patches: list[tuple[int, bytes]], cut: int | None) -> None:
    data = bytearray(_honest())
    for place, patch in patches:
        data[place % len(data) : place % len(data) + len(patch)] = patch
    if cut is not None:
        del data[cut % len(data) :]
    try:
        found = import_bundle(bytes(data))
    except ExportError:
        return
    assert_equal(found.run, make_run())


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3))
PATHS = [
    *((name,) for name in ("settings", "song", "scaling")),
    *(("settings", stage) for stage in ("section", "spectrogram", "window", "model", "loss", "training")),
    *(("song", name) for name in ("name", "seconds", "title", "artist", "beat")),
    *(("song", "beat", name) for name in ("bpm", "confidence", "first")),
    *(("scaling", name) for name in ("bin_seconds", "frequencies", "low", "high")),
    *(("losses",), ("losses", "total"), ("seconds",), ("device",), ("versions",), ("reconstruction",)),
]


@example(("losses", "total"), 3.4028235677973366e38)
@given(st.sampled_from(PATHS), JSON)
@settings(max_examples=60, deadline=None)
def test_settings_of_any_kind_are_refused_or_can_be_shown(path: tuple[str, ...], value: Any) -> None:
    name = "settings.json" if path[0] in ("settings", "song", "scaling") else "training.json"
    try:
        found = import_bundle(packed(members() | changed_json(name, **{"__".join(path): value})))
    except ExportError:
        return
    kept = io.BytesIO()
    bundles.write(kept, found.run, features=found.features, sound=None, hue=found.hue)
    assert found.run.window_bins >= 0
    assert_equal(import_bundle(kept.getvalue()).run, found.run)


@given(st.sampled_from(sorted({*runs.FILES, "features.npz"})), st.binary(max_size=200))
@settings(max_examples=40, deadline=None)
def test_members_of_any_bytes_are_refused(name: str, data: bytes) -> None:
    with pytest.raises(ExportError):
        import_bundle(packed(members() | {name: data}))
