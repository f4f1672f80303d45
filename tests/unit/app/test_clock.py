"""The clock's offset: which measurements are believed."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest

from app import clock


class SlowServer:
    """A connection to a server that is an hour ahead, and whose answers take so long, one after the other."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *round_trips: float) -> None:
        self._now = 1_000.0
        self._round_trips = itertools.cycle(round_trips)
        monkeypatch.setattr(clock.time, "monotonic", lambda: self._now)

    def cursor(self) -> "SlowServer":
        return self

    def execute(self, sql: str) -> None:
        self._now += next(self._round_trips)

    def fetchone(self) -> tuple[datetime]:
        return (datetime.now(UTC) + timedelta(hours=1),)

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("round_trip", "measured_before", "is_believed"), [(0.4, True, True), (0.6, True, False), (0.6, False, True)]
)
def test_a_slow_answer_is_believed_only_when_nothing_was_ever_measured(
    monkeypatch, round_trip, measured_before, is_believed
):
    monkeypatch.setattr(clock, "_offset", timedelta(0))
    monkeypatch.setattr(clock, "_measured_at", 900.0 if measured_before else None)

    clock.measure(SlowServer(monkeypatch, round_trip))

    assert (clock._offset > timedelta(minutes=59)) is is_believed
    assert clock.is_stale() is not is_believed


def test_of_several_answers_the_soonest_counts(monkeypatch):
    monkeypatch.setattr(clock, "_offset", timedelta(0))

    clock.measure(SlowServer(monkeypatch, 0.4, 0.3, 0.002, 0.4, 0.4))

    assert abs(clock._offset - timedelta(hours=1)) < timedelta(seconds=0.1)
