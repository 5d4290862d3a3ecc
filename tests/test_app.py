import os
import subprocess
import sys
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.songs import ROOT


def test_the_front_door_opens() -> None:
    app = AppTest.from_file(str(ROOT / "app.py")).run()
    assert not app.exception
    assert app.title[0].value == "See the shape of music"


@pytest.mark.parametrize(
    ("environment", "address", "why"),
    [
        ({}, "0.0.0.0", "the app would give one library to everybody at '0.0.0.0'"),  # noqa: S104
        ({"TRAJECTORY_DEPLOYMENT": "shared", "TRAJECTORY_QUOTA_JOBS": "many"}, "localhost", "TRAJECTORY_QUOTA_JOBS is 'many'"),
        ({"TRAJECTORY_LOG": "xml"}, "localhost", "TRAJECTORY_LOG is 'xml'"),
    ],
)
def test_what_is_not_safe_or_makes_no_sense_is_not_served(environment: dict[str, str], address: str, why: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.headless=true", "--server.port=0"]
    told = subprocess.run(
        [*command, f"--server.address={address}"],
        cwd=ROOT,
        env=os.environ | {"TRAJECTORY_HOME": str(tmp_path / "home")} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert told.returncode == 1
    assert told.stderr.splitlines()[-1].startswith(why)
    assert "Traceback" not in told.stderr
    assert not (tmp_path / "home").exists()
