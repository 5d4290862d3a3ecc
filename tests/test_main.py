import csv
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from trajectory.__main__ import main
from trajectory.collection import Collection, Heard
from trajectory.library import Library
from trajectory.records import Trajectory
from trajectory.workers import Weights, version_of

ROOT = Path(__file__).parents[1]
LOOP = str(ROOT / "tests/truth/loop4bar_120bpm.ogg")
QUICK = ["--steps", "3", "--batch", "8", "--device", "cpu"]


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main([*arguments, "--json"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    facts: dict[str, Any] = json.loads(printed.out)
    return facts


def test_embed_keeps_a_run_that_info_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(tmp_path / "run")
    made = run_json(capsys, "embed", LOOP, "--out", folder, "--from", "0:02", "--to", "8", "--preset", "smooth", *QUICK)
    assert made == run_json(capsys, "info", folder)
    assert (made["preset"], made["dims"], made["points"]) == ("smooth", 3, 237)
    assert made["beat_bpm"] == pytest.approx(120, rel=0.02)


def test_every_option_reaches_the_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = (
        "--window 2 --dims 12 --scale decibel --seed 1 --rate 0.001 --history 20 --horizons 1,3 --train-until 0.7"
        " --alpha 0.1 --beta 0.9 --gamma 0.2 --delta 0.3 --kappa 0.4"
    )
    run_json(capsys, "embed", LOOP, "--out", str(tmp_path / "run"), "--to", "10", *QUICK, *options.split())
    kept = json.loads((tmp_path / "run/settings.json").read_text())["settings"]
    assert kept["window"]["seconds"] == 2
    assert kept["spectrogram"]["scale"] == "decibel"
    assert kept["section"] == {"start": 0, "stop": 10}
    assert (kept["model"]["dims"], kept["model"]["history"], kept["model"]["horizons"]) == (12, 20, [1, 3])
    assert kept["loss"] == {"forecast": 0.1, "reconstruction": 0.9, "off_centre": 0.2, "curvature": 0.3, "kl": 0.4}
    assert {name: kept["training"][name] for name in ("seed", "rate", "until", "steps")} == {
        "seed": 1,
        "rate": 0.001,
        "until": 0.7,
        "steps": 3,
    }


def test_a_place_that_no_run_can_take_is_refused_before_the_song_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "note").write_text("a note")
    assert main(["embed", "no such song.mp3", "--out", str(tmp_path / "note")]) == 2
    assert "is not a run" in capsys.readouterr().err


def test_what_a_terminal_would_obey_is_not_sent_to_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(tmp_path / "red\x1b[31m\nfile.wav")]) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert "\x1b" not in printed


def test_a_reader_that_has_enough_is_no_error() -> None:
    command = f"{sys.executable} -m trajectory info '{LOOP}' | true"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S607
    assert (done.returncode, done.stderr) == (0, "")


def test_info_tells_what_a_song_is(capsys: pytest.CaptureFixture[str]) -> None:
    facts = run_json(capsys, "info", LOOP)
    assert facts["seconds"] == pytest.approx(32, abs=0.05)
    assert facts["sample_rate"] == 44_100


def test_words_for_people_are_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", LOOP]) == 0
    assert "sample rate" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["info", "no such song.mp3"], "no such song.mp3"),
        (["info", str(ROOT / "tests")], "there is no run at"),
        (["embed", LOOP, "--window", "9", "--out", "x"], "0.25 to 4"),
        (["embed", LOOP, "--dims", "1", "--out", "x"], "2 to 32"),
        (["embed", LOOP, "--from", "50", "--out", "x"], "50"),
        (["embed", LOOP, "--to", "0.2", "--out", "x"], "at least"),
        (["embed", LOOP, "--to", "8", *QUICK, "--gamma", "1e38", "--out", "x"], "diverged"),
        (["embed", LOOP, "--to", "3", *QUICK, "--out", str(ROOT / "tests")], "not a run"),
    ],
)
def test_what_a_user_can_mend_is_one_sentence_and_exit_code_2(
    arguments: list[str], part: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert part in printed.err
    assert printed.err.startswith("trajectory: ")
    assert printed.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments", [["embed"], ["embed", LOOP, "--out", "x", "--from", "abc"], ["embed", LOOP, "--out", "x", "--preset", "best"], []]
)
def test_a_command_that_cannot_be_read_is_exit_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_it_runs_as_a_module_with_help_that_names_the_commands() -> None:
    done = subprocess.run([sys.executable, "-m", "trajectory", "--help"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "embed" in done.stdout
    assert "info" in done.stdout


def test_forecast_keeps_what_was_told_beside_what_came(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_json(capsys, "embed", LOOP, "--out", str(tmp_path / "run"), *QUICK)
    found = run_json(
        capsys,
        "forecast",
        str(tmp_path / "run"),
        "--methods",
        "delay-knn,mean,ensemble",
        "--at",
        "0:25",
        "28",
        "--steps",
        "60",
        "--out",
        str(tmp_path / "f.npz"),
    )
    assert [one["method"] for one in found["forecasts"]] == 2 * ["delay-knn", "mean", "ensemble"]
    assert found["forecasts"][0]["mean_distance"] < found["forecasts"][1]["mean_distance"]
    with np.load(tmp_path / "f.npz") as kept:
        assert kept["delay-knn.path"].shape == kept["truth"].shape == (2, 60, 3)
        assert kept["ensemble.members"].shape == (2, 24, 60, 3)
        np.testing.assert_allclose(kept["starts"], (25, 28), atol=0.05)
        np.testing.assert_allclose(kept["times"][:, 0], (25, 28), atol=0.05)
    assert main(["forecast", str(tmp_path / "run"), "--at", "99"]) == 2
    assert "outside the path" in capsys.readouterr().err


def test_divergence_writes_a_table_numbers_a_plot_and_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("one", "two"):
        run_json(capsys, "embed", LOOP, "--out", str(tmp_path / name), *QUICK)
    out = tmp_path / "out"
    found = run_json(capsys, "divergence", str(tmp_path / "one"), str(tmp_path / "two"), "--methods", "knn,mean", "--out", str(out))
    assert [(one["run"], one["method"]) for one in found["results"]] == [("one", "knn"), ("one", "mean"), ("two", "knn"), ("two", "mean")]
    rows = list(csv.DictReader((out / "divergence.csv").read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 4 * 29
    assert {row["protocol"] for row in rows} == {"past-only"}
    assert float(rows[28]["seconds"]) == pytest.approx(29 * 1024 / 44_100, abs=1e-4)
    assert float(rows[28]["beats"]) == pytest.approx(29 * 1024 / 44_100 / 0.5, rel=0.01)
    assert float(rows[28]["distance"]) == pytest.approx(found["results"][0]["distance_at"]["29"])
    assert json.loads((out / "divergence.json").read_text()) == found["results"]
    assert (out / "divergence.png").read_bytes().startswith(b"\x89PNG")
    assert "past-only" in (out / "divergence.html").read_text(encoding="utf-8")
    assert "The encoder itself was trained on the whole song" in (out / "methods.txt").read_text()


def streams(film: Path) -> list[str]:
    with av.open(str(film)) as container:
        return sorted(stream.type for stream in container.streams)


def test_a_run_finds_the_file_that_it_was_made_from_and_says_where_it_does_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAJECTORY_HOME", str(tmp_path / "home"))
    song, run, out = tmp_path / "My song.ogg", str(tmp_path / "run"), tmp_path / "film.mp4"
    song.write_bytes(Path(LOOP).read_bytes())
    film = ["video", run, "--size", "320x240", "--fps", "5", "--to", "2", "--draft", "--out", str(out)]
    run_json(capsys, "embed", str(song), "--to", "4", "--out", run, *QUICK)
    run_json(capsys, *film)
    assert streams(out) == ["audio", "video"]

    def said(*arguments: str) -> str:
        assert main([*arguments]) == 0
        return capsys.readouterr().err

    moved = song.rename(tmp_path / "moved.ogg")
    gone = f"{song}, from which this run was made, is no longer there or has changed"
    assert said(*film) == f"trajectory: the film is silent: {gone}; name the song's file with --song\n"
    assert streams(out) == ["video"]
    song.write_bytes(b"another song under its name")
    assert "has changed" in said(*film)
    assert "the page and the bundle hold no sound" in said("export", run, "--with-sound", "--out", str(tmp_path / "out"))
    assert said(*film, "--song", str(moved)) == ""
    assert streams(out) == ["audio", "video"]
    assert said(*film[:-1], str(tmp_path / "poster.png")) == ""  # which has no sound to miss
    monkeypatch.setenv("TRAJECTORY_HOME", str(tmp_path / "another"))
    assert "it is not known where My song.ogg lies" in said(*film)


def test_where_a_song_lies_leaves_the_machine_with_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAJECTORY_HOME", str(tmp_path / "home"))
    secret = tmp_path / "a secret place"
    secret.mkdir()
    (secret / "song.ogg").write_bytes(Path(LOOP).read_bytes())
    run_json(capsys, "embed", str(secret / "song.ogg"), "--to", "4", "--out", str(tmp_path / "run"), *QUICK)
    kinds = "npz,csv,html,gltf,bundle"
    run_json(capsys, "export", str(tmp_path / "run"), "--as", kinds, "--with-sound", "--out", str(tmp_path / "out"))
    files = [path for folder in ("run", "out") for path in (tmp_path / folder).rglob("*") if path.is_file()]
    for path in [path for path in files if path.suffix == ".zip"]:
        with zipfile.ZipFile(path) as bundle:
            bundle.extractall(tmp_path / "out" / "unpacked")
    files += [path for path in (tmp_path / "out/unpacked").rglob("*") if path.is_file()]
    assert len(files) > 12
    assert [path for path in files if b"a secret place" in path.read_bytes()] == []


def test_a_song_is_kept_in_the_library_exported_filmed_and_brought_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAJECTORY_HOME", str(tmp_path / "home"))
    kept = run_json(capsys, "embed", LOOP, *QUICK)
    assert run_json(capsys, "info", kept["run"])["points"] > 1_000
    written = run_json(capsys, "export", kept["run"], "--as", "npz,bundle", "--with-sound", "--out", str(tmp_path / "out"))["written"]
    with np.load(written[0]) as numbers:
        assert {"points", "times", "loudness"} <= set(numbers.files)  # the library's sound was heard
    poster = tmp_path / "poster.svg"
    run_json(capsys, "video", kept["run"], "--size", "320x240", "--out", str(poster))
    assert poster.read_text(encoding="utf-8").startswith("<")
    seen = {poster.read_text(encoding="utf-8")}
    for more in (["--camera", "1.5,0,0.5,0,0,0,0,0,1"], ["--forecast", "knn", "--forecast-at", "0:20", "--at", "0:22"]):
        run_json(capsys, "video", kept["run"], "--size", "320x240", "--out", str(poster), *more)
        seen.add(poster.read_text(encoding="utf-8"))
    assert len(seen) == 3
    with pytest.raises(SystemExit):
        main(["video", kept["run"], "--out", str(poster), "--camera", "1,2,3"])
    assert "is no camera" in capsys.readouterr().err
    monkeypatch.setenv("TRAJECTORY_HOME", str(tmp_path / "another"))
    back = run_json(capsys, "import", written[1])
    assert (back["song"], back["run"]) == (kept["song_id"], kept["run"])
    assert run_json(capsys, "embed", back["song"], *QUICK)["run"] == kept["run"]
    assert main(["info", "0123456789abcdef"]) == 2
    assert "no longer in the library" in capsys.readouterr().err


def test_songs_whose_rhythm_is_alike_are_named_by_their_paths(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAJECTORY_HOME", str(tmp_path / "home"))
    kept = Library(tmp_path / "home")
    songs = [kept.add_song(ROOT / "tests/truth" / name, name=name) for name in ("loop4bar_120bpm.ogg", "loop1bar_90bpm.ogg")]
    path = Trajectory(points=np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32), times=np.arange(4.0))
    for song in songs:
        Collection(kept, version_of(Weights(encoder="rhythm"))).keep(song.id, Heard(frames=path))
    found = run_json(capsys, "similar", songs[0].id, "--encoder", "rhythm")
    assert [one["song"] for one in found["similar"]] == [songs[1].id]
    assert main(["similar", LOOP, "--encoder", "rhythm"]) == 2
    assert "train the song first" in capsys.readouterr().err
