"""The clock: which measurements are believed, and that nobody can set it but PostgreSQL."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest

from app import clock
from tests.support.factories import NOON, Steady

HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def steady(monkeypatch):
    """A steady clock of the test's own, and nothing measured yet."""
    steady = Steady()
    monkeypatch.setattr(clock, "steady", steady)
    monkeypatch.setattr(clock, "_measured", None)
    monkeypatch.setattr(clock, "_is_doubtful", False)
    return steady


class Server:
    """A connection to a server whose answers take so long, one after the other."""

    def __init__(self, steady: Steady, *round_trips: float, now: datetime = NOON) -> None:
        self._steady = steady
        self._began = steady.passed
        self._now = now
        self._round_trips = itertools.cycle(round_trips or (0.0,))

    def cursor(self) -> "Server":
        return self

    def execute(self, sql: str) -> None:
        self._steady.passed += next(self._round_trips)

    def fetchone(self) -> tuple[datetime]:
        return (self._now + timedelta(seconds=self._steady.passed - self._began),)

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("round_trip", "measured_before", "is_believed"), [(0.4, True, True), (0.6, True, False), (0.6, False, True)]
)
def test_a_slow_answer_is_believed_only_when_nothing_was_ever_measured(
    steady, round_trip, measured_before, is_believed
):
    if measured_before:
        clock.measure(Server(steady, now=NOON - HOUR))
        steady.passed += 61

    clock.measure(Server(steady, round_trip))

    assert (clock.utcnow() >= NOON) is is_believed
    assert clock.is_stale() is not is_believed


def test_of_several_answers_the_soonest_counts(steady):
    server = Server(steady, 0.4, 0.3, 0.002, 0.4, 0.4)

    clock.measure(server)

    assert abs(clock.utcnow() - server.fetchone()[0]) < timedelta(seconds=0.002)


def test_the_host_s_time_of_day_is_not_asked_once_postgresql_has_answered(steady, monkeypatch):
    clock.measure(Server(steady))
    steady.passed += 30

    class SetForward(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + HOUR

    monkeypatch.setattr(clock, "datetime", SetForward)

    assert clock.utcnow() == NOON + timedelta(seconds=30)


def test_before_the_first_answer_it_is_the_host_s():
    assert abs(clock.utcnow() - datetime.now(UTC)) < timedelta(seconds=1)


def test_a_postgresql_whose_clock_was_set_is_asked_again(steady):
    clock.measure(Server(steady))

    assert clock.agrees(NOON + timedelta(seconds=1))
    assert not clock.agrees(NOON + HOUR)
    assert clock.is_stale()

    clock.measure(Server(steady, now=NOON + HOUR))
    assert clock.agrees(NOON + HOUR)
