"""Which task is next: priorities, ageing, pauses and expiry, as a worker lives them."""

import json
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
import requests

from tests.chaos.evidence import wait_for_status, wait_until_running
from tests.support.servers.programs import Worker
from tests.support.servers.waiting import wait_for

pytestmark = pytest.mark.chaos

AGING_SECONDS = 4
PAUSE_SECONDS = 3.0


def one_child(stack):
    stack.worker = Worker(stack.environment, concurrency=1)


def test_with_1000_low_tasks_waiting_a_high_one_is_next(make_stack, ledger, tmp_path):
    trace = tmp_path / "trace"
    stack = make_stack(change=one_child)
    first = stack.submit("sleep_for", 60.0)
    wait_until_running(stack, first)
    low = _submit_many(stack, 1000, "trace_run", {"path": str(trace)}, "low")
    wait_for(lambda: stack.broker.queue().ready >= 999, timeout=30, what="1,000 hints wait")
    high = stack.submit("trace_run", {"path": str(trace)}, priority="high")
    wait_for(lambda: stack.broker.queue().ready >= 1000, timeout=10)

    stack.post(f"/tasks/{first}/cancel", {})
    stack.wait_until("COMPLETED", [high], timeout=20)

    before = [line.split()[1] for line in trace.read_text().splitlines() if line.startswith("start")].index(high)
    ledger.note(f"{before} low tasks started before the high one, of {len(low)}")
    assert before <= 1  # the one that the worker had in its hand already


def test_under_endless_high_load_each_low_task_starts_within_twice_the_ageing_time(make_stack, ledger, tmp_path):
    trace = tmp_path / "trace"
    stack = make_stack(change=one_child, aging_seconds=str(AGING_SECONDS))
    stop = threading.Event()
    high: list[str] = []

    def flood() -> None:
        while not stop.is_set():  # twice as much as one child can do
            high.append(stack.submit("trace_run", {"path": str(trace), "seconds": 0.1}, priority="high"))
            stop.wait(0.05)

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        wait_for(lambda: stack.broker.queue().ready > 20, timeout=20, what="there is a backlog of high ones")
        low = []
        for _ in range(5):
            low.append(_submit_raw(stack, "trace_run", {"path": str(trace)}, "low"))
            time.sleep(0.5)
        wait_for(lambda: _started(stack, low) == len(low), timeout=4 * AGING_SECONDS)
    finally:
        stop.set()
        thread.join()

    waits = _waits(stack, low)
    backlog = stack.broker.queue().ready
    ledger.note(f"low tasks waited {waits} s with ageing after {AGING_SECONDS} s; {backlog} high ones still wait")
    assert backlog > 20
    assert max(waits) <= 2 * AGING_SECONDS


@pytest.mark.parametrize("kind", ["queues/tasks", "task-types/trace_run"])
def test_a_pause_and_its_end_are_honoured_within_3_seconds(kind, short_stack, ledger, tmp_path):
    stack, trace = short_stack, tmp_path / "trace"
    stack.wait_until("COMPLETED", [stack.submit("trace_run", {"path": str(trace)})])
    assert stack.post(f"/{kind}/pause", {}).status_code == 200
    try:
        time.sleep(PAUSE_SECONDS)
        held = [stack.submit("trace_run", {"path": str(trace)}) for _ in range(20)]
        time.sleep(2)
        assert stack.statuses(held) == {"PENDING": 20}
        if kind.startswith("task-types"):
            stack.wait_until("COMPLETED", [stack.submit("reverse_string", "another type")], timeout=5)
    finally:
        assert stack.post(f"/{kind}/resume", {}).status_code == 200
    with ledger.timed(f"from the end of the pause of {kind} until its first task has started") as took:
        wait_for(lambda: _started(stack, held) > 0, timeout=10)
    stack.wait_until("COMPLETED", held, timeout=20)

    assert took[0] < PAUSE_SECONDS


def test_a_task_that_was_not_started_in_time_is_cancelled_with_the_reason(make_stack, ledger):
    stack = make_stack(change=one_child)
    first = stack.submit("sleep_for", 60.0)
    wait_until_running(stack, first)
    expires_at = datetime.now(UTC) + timedelta(seconds=2)
    task_id = stack.submit("reverse_string", "too late", expires_at=expires_at.isoformat())

    row = wait_for_status(stack, task_id, "CANCELLED", timeout=8)
    stack.post(f"/tasks/{first}/cancel", {})
    stack.wait_until("CANCELLED", [first])

    ledger.note(
        f"cancelled {(row['finished_at'] - expires_at).total_seconds():.2f} s after its expiry: {row['reason']}"
    )
    assert row["cancel_receipt"] == "never_started"
    assert "expires_at" in row["reason"]
    assert (row["finished_at"] - expires_at).total_seconds() < 3
    stack.wait_until("COMPLETED", [stack.submit("reverse_string", "the worker saw its hint and let it be")])
    assert [event["status"] for event in stack.get(f"/tasks/{task_id}/events").json()["items"]] == [
        "PENDING",
        "CANCELLED",
    ]


def _submit_many(stack, count: int, type_: str, payload, priority: str) -> list[str]:
    """Rows that the dispatcher publishes, in no time."""
    rows = stack.rows(
        "INSERT INTO tasks (id, type, status, payload, priority, queue, max_retries, created_at, due_at) "
        "SELECT gen_random_uuid(), %(type)s, 'PENDING', %(payload)s::jsonb, %(priority)s, 'tasks', 3, now(), now() "
        "FROM generate_series(1, %(count)s) RETURNING id::text",
        {"type": type_, "payload": json.dumps(payload), "priority": priority, "count": count},
    )
    return [row["id"] for row in rows]


def _submit_raw(stack, type_: str, payload, priority: str) -> str:
    """Over a connection of its own: the session belongs to the thread that floods."""
    body = {"type": type_, "payload": payload, "priority": priority}
    answer = requests.post(f"{stack.api.url}/api/v1/tasks", json=body, headers=stack.http.headers, timeout=10)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def _started(stack, ids: list[str]) -> int:
    [row] = stack.rows(
        "SELECT count(*) AS n FROM tasks WHERE id = ANY(%(ids)s::uuid[]) AND started_at IS NOT NULL", {"ids": ids}
    )
    return row["n"]


def _waits(stack, ids: list[str]) -> list[float]:
    rows = stack.rows(
        "SELECT extract(epoch FROM started_at - created_at)::float AS waited FROM tasks "
        "WHERE id = ANY(%(ids)s::uuid[]) ORDER BY created_at",
        {"ids": ids},
    )
    return [round(row["waited"], 2) for row in rows]
