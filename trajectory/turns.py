"""Whose turn it is: everyone's first piece of work, then everyone's second, however many one of them has asked for."""

from collections.abc import Iterable


class Turns:
    """Rounds, in each of which every owner has one piece. Within a round, who came first begins first."""

    def __init__(self) -> None:
        self._now = 0  # the round that is under way
        self._last: dict[str, int] = {}  # of each owner who has had a turn in it, or has one in a later round

    def take(self, owner: str) -> int:
        """The round of what an owner asks for now."""
        self._last = {who: last for who, last in self._last.items() if last >= self._now}
        turn = self._last[owner] = max(self._now, self._last.get(owner, -1) + 1)
        return turn

    def give_back(self, owner: str, left: Iterable[int]) -> None:
        """A piece of this owner was given up before it began; these rounds are left to them."""
        self._last[owner] = max(left, default=-1)

    def begin(self, turn: int) -> None:
        """A piece of this round begins."""
        self._now = max(self._now, turn)
