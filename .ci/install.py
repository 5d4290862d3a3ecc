"""Installs into .venv what lock files name, each package by its hashes; says in one sentence what stands in the way.

`python .ci/install.py requirements.lock` does nothing where all of it is installed already, and updates an older .venv.
"""

import hashlib
import platform
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = ROOT / ".venv"
WHEELS = "Linux with glibc 2.28 or later (x86-64, arm64), macOS 14 or later (Apple silicon), and Windows through WSL"
HERE = f"{platform.system()} on {platform.machine()} with Python {platform.python_version()}"
UNREACHED = (
    "NewConnectionError",
    "Failed to establish a new connection",
    "Temporary failure in name resolution",
    "ConnectTimeoutError",
    "ReadTimeoutError",
    "ProxyError",
    "Connection refused",
    "Network is unreachable",
)
CAUSES = (  # what pip says: what the reader can do; the first that fits
    (
        ("DO NOT MATCH THE HASHES",),
        "a package that arrived is not the one that was tested (its hash differs); ask whoever runs your package index",
    ),
    (("No space left on device",), "the disk is full: the packages need about 8 GB; make room and try again"),
    (
        UNREACHED,
        "the packages cannot be fetched without a network; connect this machine, or name a package index of your own in PIP_INDEX_URL",
    ),
    (
        ("No matching distribution found", "Could not find a version"),
        f"a package that is needed has no wheel for {HERE}; there are wheels for {WHEELS}",
    ),
)


def main(locks: list[str]) -> None:
    """Makes .venv where there is none that works, and installs what each lock names unless it did so before."""
    if not works(ENVIRONMENT):
        make(ENVIRONMENT)
    for lock in locks:
        stamp = ENVIRONMENT / f"{lock.replace('/', '-')}.installed"
        wanted = hashlib.sha256((ROOT / lock).read_bytes()).hexdigest()
        if not stamp.is_file() or stamp.read_text() != wanted:
            stamp.unlink(missing_ok=True)
            install(lock)
            stamp.write_text(wanted)


def works(environment: Path) -> bool:
    """Whether there is an environment, and the Python that it was made with is still there and not too old."""
    python = environment / "bin" / "python"
    check = [python, "-c", "import sys, pip; sys.exit(sys.version_info < (3, 11))"]
    return python.exists() and subprocess.run(check, capture_output=True, check=False).returncode == 0


def make(environment: Path) -> None:
    """A fresh environment in the place of one that does not work."""
    shutil.rmtree(environment, ignore_errors=True)
    made = subprocess.run([sys.executable, "-m", "venv", environment], capture_output=True, text=True, check=False)
    if made.returncode:
        shutil.rmtree(environment, ignore_errors=True)
        if "ensurepip" in made.stdout + made.stderr:
            sys.exit("this Python cannot make an environment: install its venv module (on Debian and Ubuntu: apt install python3-venv)")
        sys.exit(f"{environment} cannot be made: {last_line(made.stdout + made.stderr)}")


def install(lock: str, *options: str) -> None:
    """Fetches and installs what a lock names, and shows which package it is at; pip's own words go to a file."""
    log = ENVIRONMENT / "install.log"
    print(f"installing what {lock} names into .venv; the first time this takes minutes", flush=True)
    command = [ENVIRONMENT / "bin" / "python", "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar=off"]
    command += ["--require-hashes", "--only-binary=:all:", *options, "-r", ROOT / lock]
    with (
        log.open("w") as kept,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace") as pip,
    ):
        for line in pip.stdout or ():
            kept.write(line)
            if sys.stdout.isatty() and not line.startswith("WARNING"):
                print(f"\r\033[K{line.strip()[:100]}", end="", flush=True)
    if sys.stdout.isatty():
        print("\r\033[K", end="", flush=True)
    if pip.returncode:
        sys.exit(f"{explanation(log.read_text(errors='replace'))} (what pip said is in .venv/install.log)")


def explanation(words: str) -> str:
    """What pip said at its end, as one sentence for whoever wants the app."""
    for signs, sentence in CAUSES:
        if any(sign in words for sign in signs):
            return sentence
    return f"the packages could not be installed: {last_line(words)}"


def last_line(words: str) -> str:
    """What a program said last."""
    return next((line.strip() for line in reversed(words.splitlines()) if line.strip()), "it said nothing")


if __name__ == "__main__":
    main(sys.argv[1:])
