"""A long queue is left alone: hints that only wait are not published again and again."""

import time

import pytest

from tests.chaos.evidence import counter, wait_until_running
from tests.support.servers.programs import Worker
from tests.support.servers.waiting import wait_for

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(240)]

TASKS = 50_000
SINGLES = 500
"""Of a type that travels alone; the others share hints by the hundred."""
CHUNK = 100
HINTS = SINGLES + (TASKS - SINGLES) // CHUNK
WATCHED_SECONDS = 12
WORKED_SECONDS = 5

SUBMIT = """
INSERT INTO tasks (id, type, status, payload, priority, queue, max_retries, created_at, due_at)
SELECT gen_random_uuid(), %(type)s, 'PENDING', %(payload)s::jsonb, 'normal', 'tasks', 3, now(), now()
FROM generate_series(1, %(count)s)
"""
AN_HOUR_LATER = """
UPDATE tasks SET dispatched_at = dispatched_at - interval '1 hour', due_at = now() WHERE status = 'PENDING';
UPDATE queue_positions SET passed_at = passed_at - interval '1 hour'
"""


def test_hints_of_50000_waiting_tasks_are_not_published_again_and_again(make_stack, ledger):
    def one_child(stack):
        stack.worker = Worker(stack.environment, concurrency=1)

    stack = make_stack(change=one_child, aging_seconds="86400")  # ageing publishes on purpose
    first = stack.submit("sleep_for", 280.0)  # the only child is busy: everything else waits
    wait_until_running(stack, first)
    with ledger.timed(f"{TASKS} tasks submitted"):
        stack.rows(SUBMIT, {"type": "append_line", "payload": '{"path": "/dev/null"}', "count": SINGLES})
        stack.rows(SUBMIT, {"type": "reverse_string", "payload": '"x"', "count": TASKS - SINGLES})
    with ledger.timed("and dispatched"):
        wait_for(lambda: not _held(stack), timeout=60)
        wait_for(lambda: _is_quiet(stack), timeout=20)  # rows are moved first, and then their hints go out
    published = _published(stack)
    ledger.note(f"{published} hints published for {TASKS} tasks")
    assert published <= HINTS + 60  # a batch of the dispatcher may end with a chunk that is not full

    time.sleep(WATCHED_SECONDS)
    ledger.note(f"watched for {WATCHED_SECONDS} s: {_published(stack)} hints")
    assert _published(stack) == published
    stack.rows(AN_HOUR_LATER)  # the clock is moved, not slept for: all have waited for an hour, and are to be looked at
    with ledger.timed("every one of them looked at as if it had waited for an hour"):
        wait_for(lambda: not _to_look_at(stack), timeout=40)

    assert _published(stack) == published
    assert counter(stack, "hints_republished") == 0
    stack.post(f"/tasks/{first}/cancel", {})
    time.sleep(WORKED_SECONDS)
    ledger.note(f"worked on for {WORKED_SECONDS} s: {_unfinished(stack)} tasks and {_published(stack)} hints are left")
    assert _published(stack) < published
    assert counter(stack, "hints_republished") == 0


def _published(stack) -> int:
    """What waits, and the one hint that the worker holds ready for its busy child; nothing has left the queue."""
    return stack.broker.queue().ready


def _is_quiet(stack) -> bool:
    before = _published(stack)
    time.sleep(1)
    return _published(stack) == before


def _held(stack) -> int:
    return _count(stack, "status = 'PENDING' AND dispatched_at IS NULL")


def _to_look_at(stack) -> int:
    return _count(stack, "status = 'PENDING' AND due_at < now()")


def _unfinished(stack) -> int:
    return _count(stack, "due_at IS NOT NULL")


def _count(stack, condition: str) -> int:
    [row] = stack.rows(f"SELECT count(*) AS n FROM tasks WHERE {condition}")
    return row["n"]
