from collections import Counter

import numpy as np

from trajectory.turns import Turns


def serve(turns: Turns, waiting: list[tuple[int, str]]) -> str:
    """Begins what is next."""
    chosen = min(waiting, key=lambda piece: piece[0])  # the first of those that are alike
    waiting.remove(chosen)
    turns.begin(chosen[0])
    return chosen[1]


def test_one_owners_many_songs_do_not_starve_the_others() -> None:
    turns = Turns()
    waiting = [(turns.take(owner), owner) for owner in "aaabacb"]
    assert [serve(turns, waiting) for _ in range(7)] == list("abcabaa")


def test_who_comes_late_waits_for_one_piece_of_everybody_and_not_for_all() -> None:
    turns = Turns()
    waiting = [(turns.take(owner), owner) for owner in "pqpqpqpqpqpq"]
    assert [serve(turns, waiting) for _ in range(2)] == ["p", "q"]
    waiting.append((turns.take("late"), "late"))
    assert serve(turns, waiting) == "late"


def test_who_asks_again_as_soon_as_a_piece_is_done_gets_no_more_than_the_others() -> None:
    turns = Turns()
    waiting = [(turns.take("a"), "a") for _ in range(20)] + [(turns.take("b"), "b")]
    begun = []
    for _ in range(30):
        begun.append(serve(turns, waiting))
        if begun[-1] == "b":
            waiting.append((turns.take("b"), "b"))
    assert Counter(begun)["a"] >= 14


def test_what_was_cancelled_does_not_count() -> None:
    turns = Turns()
    first = turns.take("a")
    turns.begin(first)
    for _ in range(50):
        turns.take("a")
    turns.give_back("a", [first])
    assert turns.take("a") == first + 1


def test_nobody_waits_for_more_than_one_piece_of_another_for_each_of_their_own() -> None:
    turns, choose = Turns(), np.random.default_rng(0)
    waiting: list[tuple[int, str, int]] = []
    asked: list[tuple[int, str, int]] = []  # when, by whom, after how many of their own
    begun: dict[int, int] = {}
    for moment in range(3_000):
        if choose.random() < 0.55:
            owner = str(choose.integers(5)) if choose.random() < 0.5 else "0"
            asked.append((moment, owner, sum(whose == owner for _, whose, _ in waiting)))
            waiting.append((turns.take(owner), owner, len(asked) - 1))
        elif waiting:
            piece = min(waiting, key=lambda piece: piece[0])
            waiting.remove(piece)
            turns.begin(piece[0])
            begun[piece[2]] = moment
    for number, (moment, owner, ahead) in enumerate(asked):
        if number in begun:
            between = [one for one, at in begun.items() if moment < at < begun[number] and asked[one][1] != owner]
            assert max(Counter(asked[one][1] for one in between).values(), default=0) <= ahead + 2
