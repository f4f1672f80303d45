"""Which task is next, and which one not yet, on every broker."""

import json
import threading
import time

import pytest
import requests

from tests.chaos.evidence import wait_until_running
from tests.support.servers.programs import Worker
from tests.support.servers.waiting import wait_for

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


def test_a_low_task_rises_past_an_endless_flood_of_high_ones(stack, one_child, tmp_path):
    """Ageing after 5 s, in two steps."""
    trace = tmp_path / "trace"
    stopping = threading.Event()

    def flood() -> None:
        while not stopping.wait(0.1):  # twice as much as one child can do
            _submit_alone(stack, {"path": str(trace), "seconds": 0.2}, "high")

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        wait_for(lambda: stack.broker.ready() > 10, timeout=30, what="there is a backlog of high ones")
        low = _insert(stack, 1, {"path": str(trace)}, "low")
        wait_for(lambda: _started(stack, low), timeout=30, what="the low task starts")
        backlog = stack.broker.ready()
    finally:
        stopping.set()
        thread.join()
        stack.rows("UPDATE tasks SET status = 'CANCELLED' WHERE status = 'PENDING'")

    assert backlog > 5


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


def _submit_alone(stack, payload: dict, priority: str) -> None:
    """Over a connection of its own: the session belongs to the test's thread."""
    body = {"type": "trace_run", "payload": payload, "priority": priority}
    answer = requests.post(f"{stack.api.url}/api/v1/tasks", json=body, headers=stack.http.headers, timeout=10)
    assert answer.status_code == 201, answer.text


def _started(stack, ids: list[str]) -> int:
    [row] = stack.rows(
        "SELECT count(*) AS n FROM tasks WHERE id = ANY(%(ids)s::uuid[]) AND started_at IS NOT NULL", {"ids": ids}
    )
    return row["n"]
