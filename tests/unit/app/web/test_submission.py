"""Group commit: doing at once what several threads ask for at the same time."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.web.submission import GroupCommit
from tests.support.servers.waiting import wait_for

AWAY = 1_000_000


class Counting:
    """Doubles numbers; can be held up, and refuses what is negative."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.may_go = threading.Event()
        self.may_go.set()

    def __call__(self, numbers: Sequence[int]) -> list[int]:
        self.groups.append(list(numbers))
        assert self.may_go.wait(10)
        if any(number < 0 for number in numbers):
            raise ValueError(min(numbers))
        if AWAY in numbers:
            raise ConnectionError
        return [2 * number for number in numbers]


@pytest.fixture
def counting() -> Counting:
    return Counting()


@pytest.fixture
def together(counting: Counting) -> GroupCommit[int, int]:
    return GroupCommit(counting, max_group=8, is_for_all=lambda error: isinstance(error, ConnectionError))


def ask_while_the_first_is_held_up(together, counting, numbers):
    """The first number alone, the others while it is being worked on."""
    counting.may_go.clear()
    with ThreadPoolExecutor(len(numbers)) as pool:
        asked = [pool.submit(together.do, numbers[0])]
        wait_for(lambda: counting.groups)
        asked += [pool.submit(together.do, number) for number in numbers[1:]]
        wait_for(lambda: len(together._waiting) == len(numbers) - 1)
        counting.may_go.set()
        return [each.exception(10) or each.result() for each in asked]


def test_one_who_comes_alone_is_served_alone(together, counting):
    assert [together.do(1), together.do(2)] == [2, 4]
    assert counting.groups == [[1], [2]]


def test_those_who_come_meanwhile_are_served_together(together, counting):
    assert ask_while_the_first_is_held_up(together, counting, [1, 2, 3, 4]) == [2, 4, 6, 8]
    assert [sorted(group) for group in counting.groups] == [[1], [2, 3, 4]]


def test_no_group_is_larger_than_allowed(together, counting):
    assert ask_while_the_first_is_held_up(together, counting, list(range(21))) == [2 * n for n in range(21)]
    assert [len(group) for group in counting.groups] == [1, 8, 8, 4]


def test_one_that_fails_takes_no_other_with_it(together, counting):
    answers = ask_while_the_first_is_held_up(together, counting, [1, 2, -3, 4])

    assert [answer for answer in answers if not isinstance(answer, Exception)] == [2, 4, 8]
    assert [str(answer) for answer in answers if isinstance(answer, Exception)] == ["-3"]


def test_an_error_that_is_nobodys_own_is_told_to_all_and_not_tried_again(together, counting):
    answers = ask_while_the_first_is_held_up(together, counting, [1, 2, AWAY, 4])

    assert [type(answer) for answer in answers[1:]] == [ConnectionError] * 3
    assert len(counting.groups) == 2


def test_after_an_error_others_are_served(together):
    with pytest.raises(ValueError):
        together.do(-1)

    assert together.do(1) == 2


def test_many_threads_get_each_their_own_answer(together):
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(together.do, range(2000))) == [2 * n for n in range(2000)]
