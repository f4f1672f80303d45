"""Who has more connections than another process lets that one accept."""

import os

import pytest

from app.server import connection_counts
from app.server.connection_counts import FRESH_SECONDS, MAX_MORE, SLOTS, YIELD_SECONDS, ConnectionCounts


class Clock:
    """Moments, and how long was slept."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(connection_counts, "time", clock)
    return clock


@pytest.fixture
def counts(clock) -> ConnectionCounts:
    return ConnectionCounts()


@pytest.mark.parametrize(
    ("others", "waits"), [((), False), ((3,), False), ((2,), True), ((7, 2), True), ((7, 3), False)]
)
def test_who_has_more_than_one_of_the_others_waits_for_a_moment(counts, clock, others, waits):
    for process, connections in enumerate(others, start=2):
        counts.say(process, connections)

    counts.yield_to_others(1, 3)

    assert bool(clock.slept) is waits


def test_it_waits_longer_the_more_it_has_but_never_for_long(counts, clock):
    counts.say(2, 0)

    for connections in (1, 2, MAX_MORE, 1_000):
        counts.yield_to_others(1, connections)

    assert clock.slept == pytest.approx([YIELD_SECONDS * more for more in (1, 2, MAX_MORE, MAX_MORE)])


def test_what_it_says_itself_makes_nobody_wait_for_itself(counts, clock):
    counts.say(1, 0)

    counts.yield_to_others(1, 3)
    counts.yield_to_others(1 + SLOTS, 3)  # which has taken its place

    assert clock.slept == []


def test_a_process_that_says_nothing_any_more_is_forgotten(counts, clock):
    counts.say(2, 0)
    clock.now += FRESH_SECONDS

    counts.yield_to_others(1, 3)

    assert clock.slept == []


def test_what_a_child_says_is_read_by_its_parent(counts, clock):
    child = os.fork()
    if child == 0:
        counts.say(2, 0)
        os._exit(0)
    os.waitpid(child, 0)

    counts.yield_to_others(1, 3)

    assert len(clock.slept) == 1
