"""What a server is given: the image, the lock file, a cluster behind TLS, and the page of licences."""

import fnmatch
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from streamlit.testing.v1 import AppTest

import trajectory
from tests.songs import ROOT
from trajectory.ui.about import packages

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCKS = ("requirements.lock", "tests/requirements.lock")
RANGES = ("requirements.txt", "tests/requirements.txt")
DOCKERFILE = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
INSTRUCTIONS = [line.split(maxsplit=1) for line in DOCKERFILE.splitlines() if line.strip() and not line.startswith("#")]
PATIENCE = 90.0  # seconds, where a busy machine may take its time


def instructions(kind: str) -> list[str]:
    return [rest for name, rest in INSTRUCTIONS if name == kind]


# --- The image


def test_the_image_has_only_instructions_that_there_are() -> None:
    known = {"FROM", "WORKDIR", "COPY", "ARG", "RUN", "USER", "ENV", "VOLUME", "EXPOSE", "HEALTHCHECK", "CMD"}
    assert {name for name, _ in INSTRUCTIONS} <= known
    assert INSTRUCTIONS[0][0] == "FROM"
    for command in instructions("RUN"):
        subprocess.run(["/bin/sh", "-n", "-c", command], check=True)


def test_the_image_has_a_python_that_the_project_takes() -> None:
    (image,) = instructions("FROM")
    found = re.fullmatch(r"python:(\d+\.\d+)-slim", image)
    assert found
    assert Version(found[1]) >= Version(PROJECT["requires-python"].removeprefix(">="))


def copied() -> list[tuple[list[str], str]]:
    return [(paths[:-1], paths[-1]) for paths in map(shlex.split, instructions("COPY"))]


def test_all_that_is_copied_is_there_and_nothing_of_it_is_ignored() -> None:
    ignored, *exceptions = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    allowed = [line[1:] for line in exceptions if line.startswith("!")]
    assert ignored == "*"
    for source in (source for sources, _ in copied() for source in sources):
        assert (ROOT / source).exists()
        assert any(fnmatch.fnmatch(source, pattern) for pattern in allowed)
    assert sorted(allowed) == sorted(source for sources, _ in copied() for source in sources)


def test_the_app_in_the_image_is_nobody_special() -> None:
    names = [name for name, _ in INSTRUCTIONS]
    (user,) = instructions("USER")
    assert user not in ("root", "0")
    assert f" {user} " in next(command for command in instructions("RUN") if command.startswith("useradd"))
    assert names.index("USER") > max(index for index, name in enumerate(names) if name in ("RUN", "COPY"))
    assert names.index("USER") < names.index("CMD")


def test_the_image_names_no_registry_and_takes_the_hashes_unless_told_otherwise() -> None:
    assert instructions("ARG") == ["CPU_INDEX="]
    assert not re.findall(r"https?://(?!127\.0\.0\.1)\S+", DOCKERFILE)
    assert any("--require-hashes -r requirements.lock" in command for command in instructions("RUN"))


def test_the_image_without_cuda_has_the_versions_of_the_lock_too() -> None:
    (command,) = [found[0] for each in instructions("RUN") if (found := re.search(r"sed .*? requirements.lock", each))]
    made = subprocess.run(["/bin/sh", "-c", command], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert [Requirement(line) for line in made.splitlines()] == [pin for each in pins("requirements.lock").values() for pin in each]


def environment() -> dict[str, str]:
    return dict(pair.split("=", 1) for line in instructions("ENV") for pair in shlex.split(line))


def test_visitors_data_lies_on_the_volume_and_apart() -> None:
    assert instructions("VOLUME") == [environment()["TRAJECTORY_HOME"]]
    assert environment()["TRAJECTORY_DEPLOYMENT"] == "shared"


def test_what_is_copied_starts_as_the_image_says_and_says_that_it_is_healthy(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    for sources, target in copied():
        for source in sources:
            place = tmp_path / "app" / (source if target in (".", "./") else target)
            shutil.copytree(ROOT / source, place) if (ROOT / source).is_dir() else shutil.copy(ROOT / source, tmp_path / "app")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    (start,), (check,) = instructions("CMD"), instructions("HEALTHCHECK")
    program, *options = json.loads(start.replace("8501", port))
    ask = json.loads(check.partition("CMD")[2].replace("8501", port))
    own = environment() | {"TRAJECTORY_HOME": str(tmp_path / "data"), "HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    with started([sys.executable, "-m", program, *options], tmp_path / "app", own, tmp_path / "log"):
        until(lambda: subprocess.run([sys.executable, *ask[1:]], capture_output=True, check=False).returncode == 0, tmp_path / "log")


# --- The lock files


def pins(lock: str) -> dict[str, list[Requirement]]:
    """By name: a version, and where there is more than one, the systems and Pythons that each is for."""
    found: dict[str, list[Requirement]] = {}
    for line in re.sub(r"\\\n", " ", (ROOT / lock).read_text(encoding="utf-8")).splitlines():
        if line and not line.startswith("#"):
            requirement, *hashes = line.split("--hash=")
            assert hashes, line
            assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", each.strip()) for each in hashes), line
            pin = Requirement(requirement)
            assert re.fullmatch(r"==[^*,]+", str(pin.specifier)), line
            found.setdefault(canonicalize_name(pin.name), []).append(pin)
    return found


def ranges(requirements: str) -> list[Requirement]:
    lines = (ROOT / requirements).read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def version(pin: Requirement) -> str:
    return str(pin.specifier).removeprefix("==")


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_file_names_no_registry(lock: str) -> None:
    assert not re.search(r"https?:|--(extra-)?index-url|--find-links", (ROOT / lock).read_text(encoding="utf-8"))


@pytest.mark.parametrize(("requirements", "lock"), list(zip(RANGES, LOCKS, strict=True)))
def test_every_requirement_is_locked_to_a_version_that_it_takes(requirements: str, lock: str) -> None:
    locked = pins(lock)
    for wanted in ranges(requirements):
        versions = [version(pin) for pin in locked.get(canonicalize_name(wanted.name), [])]
        assert versions, f"{wanted} is not in {lock}: make lock"
        assert all(Version(each) in wanted.specifier for each in versions), f"{wanted} is locked to {versions}: make lock"


def test_torch_and_torchaudio_are_named_exactly() -> None:
    """A range of the two takes versions that do not load together."""
    exact = {each.name: str(each.specifier) for each in ranges("requirements.txt") if each.name.startswith("torch")}
    assert exact.keys() == {"torch", "torchaudio"}
    assert all(re.fullmatch(r"==\d+\.\d+\.\d+", each) for each in exact.values())
    assert len(set(exact.values())) == 1


def test_the_tools_of_the_tests_change_nothing_that_the_app_stands_on() -> None:
    app, tools = (pins(lock) for lock in LOCKS)
    for name in app.keys() & tools.keys():
        assert {version(pin) for pin in tools[name]} <= {version(pin) for pin in app[name]}, f"{name}: make lock"


def test_all_that_the_app_stands_on_is_locked() -> None:
    here = {name: [pin for pin in each if pin.marker is None or pin.marker.evaluate()] for name, each in pins("requirements.lock").items()}
    standing = {package.name for package in packages(ROOT / "requirements.txt")}
    assert len(standing) > 80
    assert standing <= {name for name, each in here.items() if len(each) == 1}


def test_what_is_tested_here_is_what_is_locked() -> None:
    for lock in LOCKS:
        for name, each in pins(lock).items():
            for pin in each:
                if pin.marker is None or pin.marker.evaluate():
                    assert metadata.version(name) == version(pin), f"{name}: make test installs what {lock} names"


@pytest.mark.parametrize("lock", LOCKS)
@pytest.mark.parametrize("python", ["3.11.9", "3.12.3", "3.13.1", "3.14.0"])
def test_a_lock_file_has_one_version_of_each_for_every_python(python: str, lock: str) -> None:
    system = {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64", "implementation_name": "cpython"}
    place = {"python_full_version": python, "python_version": python.rpartition(".")[0], **system}
    here = {name: [pin for pin in each if pin.marker is None or pin.marker.evaluate(place)] for name, each in pins(lock).items()}
    assert all(len(each) <= 1 for each in here.values())
    for wanted in ranges(RANGES[LOCKS.index(lock)]):
        assert here[canonicalize_name(wanted.name)], wanted


# --- A cluster


@contextmanager
def started(command: list[str], folder: Path, own: dict[str, str], log: Path) -> Iterator[None]:
    with log.open("a") as file:
        process = subprocess.Popen(command, cwd=folder, env=own, stdout=file, stderr=file)
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def until(holds: object, log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if holds():  # type: ignore[operator]
            return
        time.sleep(0.3)
    raise AssertionError(log.read_text()[-3_000:])


ASK = """
import sys, time
from tests.test_jobs import at_once
from trajectory.jobs import Jobs

jobs = Jobs.start(address=sys.argv[1])
end = time.monotonic() + 60
while not jobs.health()["ready"] and jobs.problem is None and time.monotonic() < end:
    time.sleep(0.1)
job = jobs.submit(at_once, 5, key="five")
job.wait(60)
print(job.state, job.result, job.error)
jobs.close()
"""


def test_a_cluster_behind_tls_answers_those_who_have_a_certificate(tmp_path: Path) -> None:
    commands = re.findall(r"^(openssl .*|export DASK_\S+)$", (ROOT / "docs/deploying.md").read_text(encoding="utf-8"), re.MULTILINE)
    issue = [shlex.split(command) for command in commands if command.startswith("openssl")]
    assert len(issue) == 1
    subprocess.run(issue[0], cwd=tmp_path, check=True, capture_output=True)
    with_certificate = dict(command.removeprefix("export ").split("=", 1) for command in commands if command.startswith("export"))
    assert len(with_certificate) == 7
    plain = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address, dask, log = f"tls://127.0.0.1:{port}", [sys.executable, "-m", "dask"], tmp_path / "log"
    scheduler = ["scheduler", "--protocol", "tls", "--host", "127.0.0.1", "--port", str(port), "--dashboard-address", "127.0.0.1:0"]
    worker = ["worker", address, "--nthreads", "2", "--resources", "training=1", "--host", "127.0.0.1", "--no-dashboard"]
    with ExitStack() as stack:
        for command in (scheduler, worker):
            stack.enter_context(started([*dask, *command], tmp_path, plain | with_certificate, log))

        def said(own: dict[str, str]) -> str:
            return subprocess.run(
                [sys.executable, "-c", ASK, address], cwd=tmp_path, env=own, capture_output=True, text=True, check=True
            ).stdout.strip()

        until(lambda: "Registered to" in log.read_text(), log)
        assert said(plain | with_certificate) == "done 5 None"
        assert "ask for a certificate; name one in DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT" in said(plain)
        stranger = tmp_path / "stranger"
        stranger.mkdir()
        subprocess.run(issue[0], cwd=stranger, check=True, capture_output=True)
        other = {name: value.replace("cluster-", "stranger/cluster-") for name, value in with_certificate.items()}
        assert "cannot be reached" in said(plain | other)


# --- What is told of it


def test_every_variable_that_the_app_reads_is_in_the_docs() -> None:
    known = set()
    for path in (*(ROOT / "trajectory").rglob("*.py"), *(ROOT / "pages").glob("*.py")):
        text = path.read_text(encoding="utf-8")
        known |= set(re.findall(r"TRAJECTORY_[A-Z_]+[A-Z]", text))
        known |= {f"TRAJECTORY_{name}" for name in re.findall(r'_from\("([A-Z_]+)"', text)}
    assert len(known) >= 12
    docs = (ROOT / "docs/deploying.md").read_text(encoding="utf-8")
    assert sorted(name for name in known if f"`{name}`" not in docs) == []
    assert set(re.findall(r"TRAJECTORY_[A-Z_]+[A-Z]", docs)) == known


def test_one_version_is_told_everywhere() -> None:
    assert trajectory.__version__ == PROJECT["version"]
    assert f"## {trajectory.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_page_of_licences_names_every_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from trajectory.ui import services

    monkeypatch.setenv("TRAJECTORY_HOME", str(tmp_path))
    services.forget_libraries()
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).run()
    app.switch_page("pages/about.py").run()
    services.forget_libraries()
    assert not app.exception
    assert app.title[0].value == "About"
    assert any(trajectory.__version__ in each.value for each in app.markdown)
    assert any("MIT License" in each.value for each in app.code)
    assert any("CC-BY-SA-3.0" in each.value for each in app.markdown)
    shown = {row["name"]: row for row in app.dataframe[0].value.to_dict("records")}
    assert shown["streamlit"] == {"name": "streamlit", "version": metadata.version("streamlit"), "licence": "Apache-2.0"}
    assert {"numpy", "torch", "av", "faiss-cpu", "starlette"} <= shown.keys()
    assert all(row["licence"] for row in shown.values())
