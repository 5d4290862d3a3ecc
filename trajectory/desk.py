"""One visitor's way to the workers: nobody's jobs meet another's, and nobody has more of them at once than they may."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trajectory.jobs import Jobs
from trajectory.queueing import ANSWER_SECONDS, Job, Kind

NEWCOMERS_SHARE = 0.75  # of the queue: however many new cookies somebody takes, the rest stays for others
LARGER = 4  # times what one visitor's jobs may hold in memory: those of all together


@dataclass(frozen=True, kw_only=True)
class Desk:
    """What `Jobs` is to a whole machine. Two visitors may ask for the same under the same key: each gets a job of their own."""

    queue: Jobs
    visitor: str
    room: str  # where the visitor's jobs are found: in what a link shows, not among those of their own songs
    most: int  # jobs of this visitor at once
    most_of_all: int  # of all visitors together
    most_bytes: int  # of sound that this visitor's jobs hold in memory
    training_refused: Callable[[], str | None]  # why nothing can be trained or made now, if so
    address: str = ""  # from which the visitor comes
    most_of_address: int = 1_000_000  # jobs of all visitors from there
    is_newcomer: bool = False  # part of the queue is kept for those who were here before today

    def submit(
        self,
        task: Callable[..., Any],
        *arguments: Any,
        key: str,
        kind: Kind = "training",
        owner: str = "",  # noqa: ARG002 - in any number of tabs a visitor has one turn
        done: Callable[[Any], object] | None = None,
    ) -> Job:
        """As `Queue.submit`; beyond what this visitor may have, a job that failed and says why."""

        def refused() -> str | None:
            under_way = self.queue.active()
            if kind == "training" and done is not None and (why := self.training_refused()):  # what is made would be kept
                return why
            own = [job.size for job in under_way if job.owner == self.visitor]
            if len(own) >= self.most or sum(own) > self.most_bytes:
                return f"{self.most} pieces of work at once are the most, or fewer on long songs; wait until one is done, or cancel one"
            if sum(job.size for job in under_way) > LARGER * self.most_bytes:
                return "so much work of all visitors is under way that no more fits into memory; try again in a while"
            if self.address and sum(job.address == self.address for job in under_way) >= self.most_of_address:
                return f"{self.most_of_address} pieces of work from your address at once are the most; wait until some are done"
            if len(under_way) >= self.most_of_all * (NEWCOMERS_SHARE if self.is_newcomer else 1):
                return f"{len(under_way)} pieces of work of all visitors are under way, which is all that fit; try again in a while"
            return None

        return self.queue.submit(
            *(task, *arguments), key=key, kind=kind, owner=self.visitor, done=done, room=self.room, address=self.address, refused=refused
        )

    def answer(self, task: Callable[..., Any], *arguments: Any, key: str, seconds: float = ANSWER_SECONDS) -> Any:
        result = self.submit(task, *arguments, key=key, kind="quick").outcome(seconds)
        self.forget(key)
        return result

    def carried(self, file: Path) -> Path | bytes:
        return self.queue.carried(file)

    def find(self, key: str) -> Job | None:
        return self.queue.find(key, room=self.room)

    def forget(self, key: str) -> None:
        self.queue.forget(key, room=self.room)

    def active(self) -> list[Job]:
        return [job for job in self.queue.active() if job.owner == self.visitor]

    def health(self) -> dict[str, Any]:
        return self.queue.health()
