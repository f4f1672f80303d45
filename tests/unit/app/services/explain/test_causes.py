"""From evidence to a cause: which rule speaks first, and what is estimated of the wait."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from app.models import Status, TaskRecord, new_id
from app.services.admission import Obstacle
from app.services.dispatch.queues import Paused
from app.services.dispatch.workers import WorkerSeen
from app.services.explain.answers import span
from app.services.explain.causes import rank
from app.services.explain.evidence import DispatcherSeen, Evidence, Line

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def task(**columns) -> TaskRecord:
    """A PENDING task whose hint went out a second ago."""
    empty = dict.fromkeys(TaskRecord.__struct_fields__)
    values = {
        "id": new_id(), "type": "pdf", "status": Status.PENDING, "priority": "normal", "queue": "tasks", "attempt": 0,
        "attempt_base": 0, "max_retries": 3, "created_at": NOON, "updated_at": NOON, "dispatched_at": NOON - SECOND,
        "due_at": NOON + 5 * SECOND, "labels": {}, "boosts": 0, "unchunked": False, "admission_required": False,
    }  # fmt: skip
    return TaskRecord(**{**empty, **values, **columns})


def worker(**fields) -> WorkerSeen:
    values = {
        "id": "a/1", "node": "a", "host": "here", "pid": 1, "concurrency": 2, "queues": ["tasks"],
        "types": {"pdf": "x"}, "version": "1", "runtime": {},
        "started_at": NOON, "last_seen_at": NOON, "stopped_at": None,
    }  # fmt: skip
    return WorkerSeen(**{**values, **fields})


def line(**fields) -> Line:
    values = {
        "ahead": 9,
        "is_exact": True,
        "started_per_second": 2.0,
        "started_lately": 2.0,
        "concurrency": 2,
        "busy": 2,
    }
    return Line(**{**values, **fields})


def waiting(**fields) -> Evidence:
    """Of a task that nothing keeps but those before it."""
    values = {
        "task": task(), "now": NOON, "workers": [worker()], "line": line(),
        "dispatcher": DispatcherSeen(last_success_at=NOON, last_error=None),
    }  # fmt: skip
    return Evidence(**{**values, **fields})


def paused(kind: str) -> Paused:
    return Paused(kind=kind, name="tasks", paused_at=NOON, paused_by="ann", reason="repairs")


HELD = task(dispatched_at=None, due_at=NOON - 10 * SECOND)
AWAY = DispatcherSeen(last_success_at=NOON - timedelta(minutes=5), last_error="OSError: refused")


@pytest.mark.parametrize(
    ("evidence", "cause"),
    [
        (waiting(), "in_line"),
        (waiting(task=task(status=Status.SCHEDULED, dispatched_at=None, due_at=NOON + SECOND)), "not_due"),
        (waiting(workers=[]), "no_live_worker"),
        (waiting(workers=[worker(queues=["mail"])]), "no_worker_takes_queue"),
        (waiting(workers=[worker(types={})]), "no_worker_knows_type"),
        (waiting(workers=[worker(types={}), worker(queues=["mail"])]), "no_worker_knows_type"),
        (waiting(task=HELD), "waiting_for_dispatch"),
        (waiting(task=HELD, dispatcher=AWAY), "dispatcher_away"),
        (waiting(task=HELD, obstacle=Obstacle(cause="turn", ahead=3)), "waiting_for_its_turn"),
        (waiting(task=HELD, obstacle=Obstacle(cause="turn"), dispatcher=AWAY), "dispatcher_away"),
        (waiting(task=HELD, obstacle=Obstacle(cause="order"), dispatcher=AWAY), "blocked_by_order"),
        (waiting(task=HELD, obstacle=Obstacle(cause="blocked")), "blocked_by_order"),
        (waiting(task=HELD, obstacle=Obstacle(cause="rate", frees_at=NOON)), "rate_reached"),
        (waiting(task=HELD, obstacle=Obstacle(cause="limit")), "limit_reached"),
        (waiting(task=task(dispatched_at=NOON - timedelta(minutes=1)), passed_at=NOON), "message_lost"),
        (waiting(task=task(dispatched_at=NOON - timedelta(minutes=1))), "in_line"),
        (
            waiting(task=task(dispatched_at=NOON - timedelta(minutes=1)), line=line(busy=0, started_lately=0)),
            "message_lost",
        ),
    ],
)
def test_the_cause_is_the_first_rule_that_holds(evidence, cause):
    assert rank(evidence).cause == cause


def test_what_else_holds_is_named_in_the_evidence():
    answer = rank(waiting(task=HELD, paused_type=paused("type"), paused_queue=paused("queue"), workers=[]))

    assert answer.cause == "type_paused"
    assert answer.evidence["also"][:2] == ["queue_paused", "no_live_worker"]
    assert "in_line" not in answer.evidence["also"]


def test_a_finished_task_is_asked_nothing_else():
    done = task(status=Status.COMPLETED, due_at=None, finished_at=NOON)

    answer = rank(waiting(task=done, workers=[], paused_type=paused("type")))

    assert (answer.cause, "also" in answer.evidence, answer.status) == ("finished", False, Status.COMPLETED)


@pytest.mark.parametrize(
    ("holder", "said"),
    [
        (None, "is not known any more"),
        (worker(last_seen_at=NOON - timedelta(minutes=1)), "was last seen at 2026-11-28T11:59:00Z"),
        (worker(stopped_at=NOON - SECOND), "stopped at 2026-11-28T11:59:59Z"),
    ],
)
def test_a_worker_that_is_gone_is_said_to_be_so(holder, said):
    running = task(status=Status.PROCESSING, leased_by="a/1", started_at=NOON)

    answer = rank(Evidence(task=running, now=NOON, holder=holder))

    assert answer.cause == "worker_lost"
    assert said in answer.summary


def test_a_task_that_was_asked_to_stop_is_stopping_as_long_as_its_worker_lives():
    running = task(status=Status.PROCESSING, leased_by="a/1", started_at=NOON, cancel_requested_at=NOON)

    assert rank(Evidence(task=running, now=NOON, holder=worker())).cause == "stopping"


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({"ahead": 9, "started_per_second": 2.0}, 5.0),
        ({"ahead": 1, "concurrency": 4, "busy": 2}, 0.0),  # two places are free: for the one ahead, and for this one
        ({"ahead": 2, "concurrency": 4, "busy": 2, "started_per_second": 1.0}, 3.0),
        ({"started_per_second": 0.0}, None),
    ],
)
def test_the_wait_is_estimated_from_what_was_measured(fields, seconds):
    assert line(**fields).seconds == seconds


def test_what_is_late_is_late_from_its_moment_on():
    evidence = waiting(task=task(due_at=NOON - 4 * SECOND))

    assert evidence.overdue == 4 * SECOND
    assert replace(evidence, now=NOON - timedelta(minutes=1)).overdue == timedelta(0)


@pytest.mark.parametrize(
    ("length", "said"),
    [
        (-5, "0 s"), (0.4, "0 s"), (119, "119 s"), (120, "2 min"), (7_199, "120 min"), (7_200, "2 h"),
        (172_800, "2 days"), (timedelta(days=9), "9 days"),
    ],
)  # fmt: skip
def test_a_length_of_time_is_told_in_one_unit(length, said):
    assert span(length) == said
