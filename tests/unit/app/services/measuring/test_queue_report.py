"""Figures, verdicts and the scaling signal, from levels and flows; and the place in a long line."""

from datetime import timedelta

import pytest

from app.models import Status
from app.services.dispatch.workers import WorkerSeen
from app.services.measuring import queue_report
from app.services.measuring.flows import FlowSums, RateMeter
from app.services.measuring.levels import Flow, Level, Levels, Mark, place_in_line
from app.services.measuring.queue_report import Thresholds
from tests.support.factories import NOON, seconds

HOMES = {"reverse_string": "tasks"}
WORKER = WorkerSeen(
    id="a/1", node="a", host="here", pid=1, concurrency=4, queues=["tasks"], types={"reverse_string": "abc"},
    version="1", runtime={}, started_at=NOON, last_seen_at=NOON, stopped_at=None,
)  # fmt: skip


def level(status, tasks, *, held=0, since=NOON):
    return Level(
        queue="tasks", type="reverse_string", priority="normal", status=status.value, tasks=tasks, held=held,
        waiting_since=since, overdue_since=None,
    )  # fmt: skip


def figures(*levels, flow=None, workers=(WORKER,), now=NOON):
    found = Levels(measured_at=NOON, levels=levels, flows={"reverse_string": flow} if flow else {})
    [queue] = queue_report.queue_figures(found, workers, [], homes=HOMES, now=now)
    return queue


def flow(submitted, finished):
    return Flow(submitted=submitted, started=finished, finished=finished, seconds=60)


@pytest.mark.parametrize(
    ("waiting", "rates", "drain"),
    [(0, (5, 5), 0), (100, (5, 15), 10), (100, (5, 5), None), (100, (9, 5), None)],
)
def test_a_queue_is_drained_by_what_goes_out_beyond_what_comes_in(waiting, rates, drain):
    assert figures(level(Status.PENDING, waiting), flow=flow(*rates)).figures.drain_seconds == drain


@pytest.mark.parametrize(
    ("waiting", "age", "rates", "workers", "reasons"),
    [
        (5, 10, (1, 2), 1, []),
        (200, 10, (1, 100), 1, ["waiting"]),
        (5, 61, (1, 2), 1, ["oldest_seconds"]),
        (90, 10, (1, 2), 1, ["drain_seconds"]),
        (5, 10, (1, 2), 0, ["workers"]),
    ],
)
def test_a_queue_is_overloaded_for_each_threshold_it_exceeds(waiting, age, rates, workers, reasons):
    queue = figures(
        level(Status.PENDING, waiting), flow=flow(*rates), workers=[WORKER] * workers, now=NOON + seconds(age)
    )

    verdict = queue_report.verdict([queue], Thresholds(waiting=100, oldest_seconds=60, drain_seconds=60))

    assert [reason.what for reason in verdict.reasons] == reasons
    assert verdict.overloaded is bool(reasons)


@pytest.mark.parametrize(
    ("waiting", "running", "rates", "desired"),
    [
        (0, 0, None, 0),
        (3, 0, None, 3),
        (50, 0, None, 8),  # nothing measured: twice of the four there are
        (0, 4, (2, 4), 2),  # each handler does one a second, two come in
        (120, 4, (2, 4), 4),  # and what waits shall be done in 60 s: two more
        (600, 4, (2, 4), 12),
    ],
)
def test_so_many_handlers_are_asked_for(waiting, running, rates, desired):
    queue = figures(
        level(Status.PENDING, waiting), level(Status.PROCESSING, running), flow=flow(*rates) if rates else None
    )

    assert queue_report.scaling(queue, drain_seconds=60, concurrency_per_worker=4).desired_concurrency == desired


def test_the_place_in_line_lies_between_two_marks():
    marks = [Mark(at=NOON, ahead=0), Mark(at=NOON + seconds(10), ahead=100), Mark(at=NOON + seconds(20), ahead=400)]

    moments = (-5, 0, 5, 15, 25)
    assert [place_in_line(marks, NOON + seconds(moment)) for moment in moments] == [0, 0, 50, 250, 400]


def test_flows_are_what_came_since_by_the_seconds_between():
    meter = RateMeter()
    meter.read({"a": FlowSums(started=100, finished=90)}, NOON)
    meter.read({"a": FlowSums(started=160, finished=120)}, NOON + timedelta(seconds=30))

    found = meter.read({"a": FlowSums(started=220, finished=180)}, NOON + timedelta(seconds=60))

    assert (found["a"].started, found["a"].finished, found["a"].seconds) == (2.0, 1.5, 60.0)


def test_a_slow_flow_is_measured_over_more_minutes():
    meter = RateMeter()
    meter.read({"a": FlowSums(started=0)}, NOON)
    meter.read({"a": FlowSums(started=5)}, NOON + timedelta(minutes=3))

    found = meter.read({"a": FlowSums(started=6)}, NOON + timedelta(minutes=4))

    assert found["a"].started == pytest.approx(6 / 240)
