"""The components' JavaScript is tested by node."""

import shutil
import subprocess

from tests.songs import ROOT


def passes(folder: str) -> None:
    """All tests of a folder below this one."""
    node = shutil.which("node")
    assert node, "node is missing; the components' JavaScript is tested with it (Debian: apt-get install nodejs, 20 or newer)"
    files = sorted(str(file) for file in (ROOT / "tests" / folder).glob("*.test.js"))
    assert files
    found = subprocess.run([node, "--test", *files], cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
