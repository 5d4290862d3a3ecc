"""`python -m tests.fuzz` tries many cases, spread over all targets, and keeps those that went wrong as files."""

import argparse
import os
import sys
import time
from pathlib import Path

from tests.fuzz.hunt import hunt
from tests.fuzz.targets import TARGETS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=main.__doc__ or __doc__)
    parser.add_argument(
        "--cases", type=int, default=int(os.environ.get("FUZZ_CASES", "100000")), help="in all (default: FUZZ_CASES or %(default)s)"
    )
    parser.add_argument("--first", type=int, default=0, metavar="NUMBER", help="of the cases of each target (default: %(default)s)")
    parser.add_argument("--targets", default=",".join(TARGETS), metavar="A,B", help="of %(default)s")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="takes the cases that went wrong")
    options = parser.parse_args()
    chosen = [TARGETS[name] for name in options.targets.split(",")]
    shares, faults, tried = sum(target.share for target in chosen), 0, 0
    for target in chosen:
        count, began = round(options.cases * target.share / shares), time.perf_counter()
        found = list(hunt((target.name, number) for number in range(options.first, options.first + count)))
        tried += count
        faults += len(found)
        print(f"{target.name}: {count} cases, {len(found)} wrong, {time.perf_counter() - began:.0f} s", flush=True)
        for fault in found:
            print(f"--- {target.name} {fault.case}\n{fault.wrong}", flush=True)
            if options.keep:
                options.keep.mkdir(parents=True, exist_ok=True)
                (options.keep / f"{target.name}-{fault.case}").write_bytes(target.case(int(fault.case)))
    print(f"{tried - faults} passed, {faults} failed")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
