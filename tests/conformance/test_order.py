"""Which task is next, and which one not yet, on every broker."""

import json
import time

import pytest

from tests.chaos.evidence import wait_until_running
from tests.services.programs import Worker
from tests.services.waiting import wait_for

HELD_SECONDS = 2.0


@pytest.fixture
def one_child(stack):
    """A worker that does one thing at a time, instead of the stack's own."""
    with stack.without_worker(), Worker(stack.environment, concurrency=1) as worker:
        yield worker


def test_with_200_low_tasks_waiting_a_high_one_is_next(stack, one_child, tmp_path):
    trace = tmp_path / "trace"
    first = stack.submit("sleep_for", 60.0)
    wait_until_running(stack, first)
    low = _insert(stack, 200, {"path": str(trace)}, "low")
    wait_for(lambda: stack.broker.ready() >= 199, timeout=30, what="199 hints wait")
    high = stack.submit("trace_run", {"path": str(trace)}, priority="high")
    wait_for(lambda: stack.broker.ready() >= 200, timeout=10, what="and one more")

    stack.post(f"/tasks/{first}/cancel", {})
    stack.wait_until("COMPLETED", [high, *low], timeout=60)

    started = [line.split()[1] for line in trace.read_text().splitlines() if line.startswith("start")]
    assert started.index(high) <= 1  # the worker may have one in its hand already


def test_a_low_task_rises_past_a_backlog_of_normal_ones(stack, one_child, tmp_path):
    """Ageing after 5 s: by then far fewer than all of the normal ones can have run."""
    trace = tmp_path / "trace"
    normal = _insert(stack, 150, {"path": str(trace), "seconds": 0.15}, "normal")
    wait_for(lambda: _started(stack, normal) > 0, timeout=20, what="the worker works")
    low = _insert(stack, 1, {"path": str(trace)}, "low")

    wait_for(lambda: _started(stack, low), timeout=20, what="the low task starts")

    behind = len(normal) - _started(stack, normal)
    stack.rows("UPDATE tasks SET status = 'CANCELLED' WHERE status = 'PENDING'")
    stack.wait_until("COMPLETED", low, timeout=10)
    assert behind > 10


@pytest.mark.parametrize("kind", ["queues/tasks", "task-types/trace_run"])
def test_a_pause_holds_hints_back_and_its_end_lets_them_run(kind, stack, tmp_path):
    trace = tmp_path / "trace"
    stack.wait_until("COMPLETED", [stack.submit("trace_run", {"path": str(trace)})])
    assert stack.post(f"/{kind}/pause", {}).status_code == 200
    try:
        time.sleep(3)  # what is promised
        held = [stack.submit("trace_run", {"path": str(trace)}) for _ in range(10)]
        time.sleep(HELD_SECONDS)
        assert stack.statuses(held) == {"PENDING": 10}
    finally:
        assert stack.post(f"/{kind}/resume", {}).status_code == 200

    stack.wait_until("COMPLETED", held, timeout=30)


def _insert(stack, count: int, payload: dict, priority: str) -> list[str]:
    """Rows that the dispatcher publishes, in no time."""
    rows = stack.rows(
        "INSERT INTO tasks (id, type, status, payload, priority, queue, max_retries, created_at, due_at) "
        "SELECT gen_random_uuid(), 'trace_run', 'PENDING', %(payload)s::jsonb, %(priority)s, 'tasks', 3, now(), now() "
        "FROM generate_series(1, %(count)s) RETURNING id::text",
        {"payload": json.dumps(payload), "priority": priority, "count": count},
    )
    return [row["id"] for row in rows]


def _started(stack, ids: list[str]) -> int:
    [row] = stack.rows(
        "SELECT count(*) AS n FROM tasks WHERE id = ANY(%(ids)s::uuid[]) AND started_at IS NOT NULL", {"ids": ids}
    )
    return row["n"]
