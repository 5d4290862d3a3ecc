import os
import subprocess
import sys
from pathlib import Path

from tests.songs import ROOT

HANGING = """
import subprocess, sys, threading, time

CHILD = "import time\\ndef wait_for_ever():\\n    print('here', flush=True)\\n    time.sleep(100)\\nwait_for_ever()"

def wait_beside():
    time.sleep(100)

def test_that_waits_for_a_child_that_says_nothing_more():
    threading.Thread(target=wait_beside, daemon=True).start()
    with subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE, text=True) as child:
        try:
            child.stdout.readline()
            child.stdout.readline()
        finally:
            child.kill()
"""


def test_a_test_without_an_end_is_ended_and_says_where_everything_stands(tmp_path: Path) -> None:
    (tmp_path / "test_hanging.py").write_text(HANGING)
    options = ["-p", "tests.hanging", "--rootdir", tmp_path, "-c", os.devnull, "--timeout", "3"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, tmp_path],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "no end after 3 s" in done.stdout
    assert "in wait_beside" in done.stdout  # a thread beside the test's own
    assert "in test_that_waits" in done.stdout
    assert "--- process" in done.stdout
    if os.geteuid() == 0:  # others may not look into every process
        assert "wait_for_ever (" in done.stdout
