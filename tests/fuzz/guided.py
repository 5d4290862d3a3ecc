"""`python -m tests.fuzz.guided` lets atheris find its way: inputs that reach new lines of the code are changed further.

atheris has wheels for Linux on x86-64 alone, so only `make nightly` installs it, from tests/fuzz/requirements.txt.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from random import Random

ROOT = Path(__file__).parents[2]
LIMITS = ("-timeout=20", "-rss_limit_mb=3000", "-max_len=400000", "-verbosity=0", "-print_final_stats=1")
TARGETS = ("sound", "tags", "bundle", "run", "kept", "vectors", "index", "settings", "address")  # without torch, which it would slow down


def explore(name: str, runs: int, keep: Path) -> None:
    """One target, in this process, which ends with it."""
    import atheris

    with atheris.instrument_imports(include=["trajectory"]):
        from tests.fuzz.cases import empty
        from tests.fuzz.targets import TARGETS as KNOWN
        from trajectory.errors import TrajectoryError
    target, folder = KNOWN[name], Path(tempfile.mkdtemp(prefix="trajectory-fuzz-"))
    case, corpus = folder / "case", folder / "corpus"
    case.mkdir()
    corpus.mkdir()
    for number, seed in enumerate(target.kept_seeds):
        (corpus / str(number)).write_bytes(seed)

    def attempt(data: bytes) -> None:
        try:
            target.door(data, case)
        except TrajectoryError as error:
            if "\n" in str(error):
                raise AssertionError("that is no sentence") from error
        empty(case)

    def change(data: bytes, size: int, seed: int) -> bytes:
        random = Random(seed)  # noqa: S311 - nothing secret
        changed = target.change(data, random, target.kept_seeds) if random.random() < 0.7 else atheris.Mutate(data, size)
        return bytes(changed[:size])

    os.chdir(case)
    arguments = [sys.argv[0], f"-runs={runs}", f"-artifact_prefix={keep}/{name}-", *LIMITS, str(corpus)]
    atheris.Setup(arguments, attempt, custom_mutator=change)
    atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.guided", description=__doc__)
    parser.add_argument("--runs", type=int, default=2_000, help="of each target (default: %(default)s)")
    parser.add_argument("--targets", default=",".join(TARGETS), metavar="A,B", help="(default: %(default)s)")
    parser.add_argument(
        "--keep", type=Path, default=Path(tempfile.gettempdir()), metavar="FOLDER", help="takes what went wrong (default: %(default)s)"
    )
    parser.add_argument("--here", action="store_true", help="in this process: one target")
    options = parser.parse_args()
    if options.here:
        explore(options.targets, options.runs, options.keep.resolve())
        return 0
    failed = 0
    for name in options.targets.split(","):
        command = [
            sys.executable,
            "-m",
            "tests.fuzz.guided",
            "--here",
            "--targets",
            name,
            "--runs",
            str(options.runs),
            "--keep",
            str(options.keep),
        ]
        with tempfile.TemporaryDirectory(prefix="trajectory-fuzz-") as folder:
            ended = subprocess.run(
                command,
                cwd=ROOT,
                env=os.environ | {"TMPDIR": folder, "PYTHONWARNINGS": "ignore"},
                capture_output=True,
                text=True,
                check=False,
            )
        failed += ended.returncode != 0
        said = [line for line in ended.stderr.splitlines() if line.startswith(("stat::number_of_executed_units", "stat::peak_rss_mb"))]
        print(f"{name}: {'wrong' if ended.returncode else 'well'}, {', '.join(said)}", flush=True)
        if ended.returncode:
            print(ended.stdout[-2_000:], ended.stderr[-1_000:], flush=True)
    print(f"{len(options.targets.split(',')) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
