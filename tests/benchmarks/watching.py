"""`python -m tests.benchmarks.watching run app.py`: Streamlit's command, with a book of what the queue of jobs did.

QUEUE_BOOK names the file. A line says when a job was asked for, began or ended, which one it was, and whose.
"""

import functools
import os
import time
from pathlib import Path
from typing import Any

from streamlit.web import cli

from trajectory.jobs import Jobs
from trajectory.queueing import Job


def main() -> None:
    with Path(os.environ["QUEUE_BOOK"]).open("a", buffering=1) as book:

        def write(what: str, job: Job) -> None:
            book.write(f"{time.monotonic()} {what} {job.kind} {job.id} {job.owner or '-'}\n")

        seen: set[str] = set()
        submit, follow, end = Jobs.submit, Jobs.follow, Jobs.end

        @functools.wraps(submit)
        def watched_submit(self: Jobs, *arguments: Any, **options: Any) -> Job:
            job = submit(self, *arguments, **options)
            if job.id not in seen:
                seen.add(job.id)
                write("asked", job)
            return job

        def watched_follow(self: Jobs, job: Job, message: dict[str, Any]) -> None:
            if "began" in message:
                write("began", job)
            follow(self, job, message)

        def watched_end(self: Jobs, job: Job, state: Any, **about: Any) -> None:
            if not job.ended:
                write(state, job)
            end(self, job, state, **about)

        Jobs.submit, Jobs.follow, Jobs.end = watched_submit, watched_follow, watched_end  # type: ignore[method-assign]
        cli.main()


if __name__ == "__main__":
    main()
