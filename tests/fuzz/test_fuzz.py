"""A few hundred cases, and all that ever went wrong; `make nightly` tries 100,000."""

import argparse
import io
import json
import math
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz import changes, targets
from tests.fuzz.hunt import hunt
from tests.test_export import members
from trajectory.bundles import ExportError, import_bundle, stem
from trajectory.errors import TrajectoryError
from trajectory.options import _camera, _moment, _size, _steps_ahead
from trajectory.settings import Settings, preset
from trajectory.similarity import read_vectors
from trajectory.ui import place

FOUND = sorted((Path(__file__).parent / "found").iterdir())
LIGHT = [target for target in targets.TARGETS.values() if not target.heavy]
ODD = ("nan", "inf", "1:nan", "1e999", "-0", "turn", ",".join(["nan"] * 9))
CASES = 30  # of each target
SOON = settings(max_examples=100, deadline=2_000, database=None, derandomize=True)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def assert_sentence(error: Exception) -> None:
    assert 0 < len(str(error)) < 400
    assert "\n" not in str(error)


def test_damaged_input_gives_a_result_or_one_sentence() -> None:
    cases = [(target.name, number) for target in LIGHT for number in range(round(CASES * target.share))]
    assert len(cases) >= 300
    assert list(hunt(cases)) == []


def test_damaged_encoders_and_what_once_went_wrong_give_one_sentence() -> None:
    found = [(path.name.partition("-")[0], path) for path in FOUND]
    assert {name for name, _ in found} <= set(targets.TARGETS)
    assert list(hunt([*found, *(("logmel", number) for number in range(20))])) == []


def test_the_hunt_sees_what_goes_wrong_and_goes_on() -> None:
    signs = {
        "escape": "outside: [",
        "litter": "left behind: ['tmp",
        "bug": "ZeroDivisionError",
        "crash": "SIGSEGV",
        "grow": "memory grew by",
    }
    faults = list(hunt([("good", 0), *((name, 7) for name in signs), ("good", 1)]))
    assert [(fault.target, fault.case) for fault in faults] == [(name, "7") for name in signs]
    for fault in faults:
        assert signs[fault.target] in fault.wrong


def test_the_hunt_ends_what_hangs_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUZZ_CPU_SECONDS", "1")  # of a case that does nothing else, however busy the machine is
    (fault,) = hunt([("good", 0), ("hang", 7), ("good", 1)])
    assert (fault.target, fault.case) == ("hang", "7")
    assert "SIGPROF (it hung)" in fault.wrong


def test_a_case_is_the_same_each_time() -> None:
    assert all(target.case(3) == target.case(3) for target in (targets.TARGETS["settings"], targets.TARGETS["address"]))


@SOON
@given(JSON)
def test_any_json_is_settings_or_one_sentence(values: Any) -> None:
    for whole in (values, preset("pure").to_dict() | {"model": values}, preset("pure").to_dict() | {"encoder": values}):
        try:
            made = Settings.from_dict(whole)
        except TrajectoryError as error:
            assert_sentence(error)
        else:
            assert Settings.from_dict(json.loads(json.dumps(made.to_dict()))) == made


@SOON
@given(st.text(max_size=40) | st.lists(st.floats(), max_size=10).map(lambda numbers: ",".join(map(str, numbers))), st.integers(1, 9))
def test_numbers_in_an_address_are_numbers_or_nothing(text: str, count: int) -> None:
    found = place._numbers(text, count)
    assert found is None or (len(found) == count and all(math.isfinite(number) and abs(number) < 1e6 for number in found))


@SOON
@given(st.text(max_size=200))
def test_a_file_name_of_any_text_leads_nowhere_else(text: str) -> None:
    name = stem(text)
    assert name
    assert Path(name).name == name
    assert len(name.encode()) <= 200
    assert not {"/", "\\", "\0", ".."} & {name, *name}


@SOON
@given(st.sampled_from(ODD) | st.text(max_size=30) | st.from_regex(r"-?\d{1,400}([:.,x]-?\d{1,5}){0,3}", fullmatch=True))
def test_words_of_the_command_line_are_values_or_refused(text: str) -> None:
    for read in (_moment, _size, _camera, _steps_ahead):
        try:
            value: Any = read(text)
        except argparse.ArgumentTypeError:
            continue
        if read is _moment:
            assert math.isfinite(value)
        if read is _camera and value is not None:
            assert all(math.isfinite(number) for axes in value.values() for number in axes.values())


@SOON
@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_vectors_or_one_sentence(data: bytes) -> None:
    try:
        names, vectors = read_vectors(io.BytesIO(data))
    except TrajectoryError as error:
        assert_sentence(error)
    else:
        assert len(names) == len(vectors) > 0


def test_sound_that_unpacks_to_more_than_sound_does_is_refused() -> None:
    kept = io.BytesIO()
    with zipfile.ZipFile(kept, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in (members() | {"sound.ogg": bytes(20_000_000)}).items():
            archive.writestr(name, data)
    with pytest.raises(ExportError, match="unpacks to more than sound does"):
        import_bundle(kept.getvalue())


@pytest.mark.parametrize("name", ["README.md", "trajectory.npz", "sound.mp3"])
def test_a_zip_bomb_is_refused_before_it_goes_off(name: str) -> None:
    with pytest.raises(ExportError, match=r"MB large|more than sound does"):
        import_bundle(changes.bomb(name))
