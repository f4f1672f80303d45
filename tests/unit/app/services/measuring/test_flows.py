"""How fast tasks flow, from counts that were read a few seconds apart."""

from datetime import UTC, datetime, timedelta

import pytest

from app.models import Status
from app.services.measuring.flows import FlowSums, RateMeter, sums
from app.services.measuring.levels import Flow, Mark, Total, place_in_line

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def started(count: int) -> dict[str, FlowSums]:
    return {"pdf": FlowSums(submitted=count, started=count, finished=count, failed=0)}


def test_changes_of_status_are_counted_by_what_they_mean():
    found = sums(
        [
            Total(type="pdf", previous_status=None, status=Status.PENDING, n=5),
            Total(type="pdf", previous_status=None, status=Status.SCHEDULED, n=2),
            Total(type="pdf", previous_status=Status.PENDING, status=Status.PROCESSING, n=4),
            Total(type="pdf", previous_status=Status.PROCESSING, status=Status.COMPLETED, n=2),
            Total(type="pdf", previous_status=Status.PROCESSING, status=Status.FAILED, n=1),
            Total(type="pdf", previous_status=Status.PROCESSING, status=Status.RETRYING, n=1),
            Total(type="mail", previous_status=Status.PENDING, status=Status.CANCELLED, n=3),
        ]
    )

    assert found == {
        "pdf": FlowSums(submitted=7, started=4, finished=3, failed=1),
        "mail": FlowSums(submitted=0, started=0, finished=3, failed=0),
    }


def test_one_look_says_nothing_of_speed():
    assert RateMeter().read(started(1000), NOON) == {"pdf": Flow()}


def test_the_flow_is_that_of_the_last_minute():
    meter = RateMeter()
    for second, count in ((0, 0), (60, 6_000), (120, 6_060)):  # a hundred a second, then one
        flow = meter.read(started(count), after(second))["pdf"]

    assert (flow.started, flow.finished, flow.seconds) == (1.0, 1.0, 60.0)


def test_where_little_happens_a_longer_window_says_more():
    meter = RateMeter()
    for second, count in ((0, 0), (200, 4), (260, 5)):
        flow = meter.read(started(count), after(second))["pdf"]

    assert (flow.started, flow.seconds) == (pytest.approx(5 / 260), 260.0)


def test_what_was_read_before_the_longest_window_is_not_measured():
    meter = RateMeter()
    for second, count in ((0, 0), (10, 9), (311, 9)):
        flow = meter.read(started(count), after(second))["pdf"]

    assert (flow.started, flow.seconds) == (0.0, 0.0)


def test_the_last_seconds_are_measured_by_themselves():
    meter = RateMeter()
    for second, count in ((0, 0), (50, 0), (60, 40)):
        flow = meter.read(started(count), after(second))["pdf"]

    assert (flow.started, flow.started_lately) == (pytest.approx(40 / 60), 4.0)


def test_a_type_that_is_new_has_flowed_since_it_was_first_counted():
    meter = RateMeter()
    meter.read({}, NOON)

    assert meter.read(started(30), after(30))["pdf"].started == 1.0


MARKS = (Mark(at=NOON, ahead=0), Mark(at=after(10), ahead=100), Mark(at=after(20), ahead=110))


@pytest.mark.parametrize(
    ("second", "ahead"),
    [(-1, 0), (0, 0), (5, 50), (10, 100), (15, 105), (20, 110), (99, 110)],
)
def test_a_place_between_two_marks_is_told_in_proportion(second, ahead):
    assert place_in_line(MARKS, after(second)) == ahead


def test_without_marks_nobody_is_ahead():
    assert place_in_line((), NOON) == 0
