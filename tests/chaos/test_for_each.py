"""A step for each of many items while workers and dispatchers are killed: never too many at once, results in order.

500 items usually, 10,000 with CHAOS_FULL=1.
"""

import os
import signal
import time

import psutil
import pytest

from tests.chaos.evidence import assert_histories_hold
from tests.support.servers.waiting import wait_for

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(3600)]

ITEMS = 10_000 if os.environ.get("CHAOS_FULL") else 500
MAX_PARALLEL = 50
KILL_EVERY_SECONDS, KILLS, MAX_SECONDS = 2.0, 10, 3_000
MAX_MEGABYTES = 500  # of any one process of ours
# In the order of the events: an item is let go after the end that made room for it was seen, whatever clocks say.
MOST_AT_ONCE = """
SELECT max(under_way) AS most
FROM (
    SELECT sum(
            CASE
                WHEN status = 'PENDING' AND coalesce(previous_status, 'SCHEDULED') = 'SCHEDULED' THEN 1
                WHEN status = 'COMPLETED' THEN -1
                ELSE 0
            END
        ) OVER (ORDER BY id) AS under_way
    FROM task_events
    WHERE task_id IN (SELECT child_id FROM task_steps WHERE child_id IS NOT NULL)
) AS running
"""
NOW = """
SELECT count(*) AS n FROM tasks WHERE type = 'reverse_string' AND parent_id IS NOT NULL
    AND status IN ('PENDING', 'PROCESSING', 'RETRYING')
"""
DONE = "SELECT count(*) AS n FROM tasks WHERE type = 'reverse_string' AND status = 'COMPLETED'"
TWICE = """
SELECT task_id, count(*) AS n FROM task_events WHERE status = 'COMPLETED' GROUP BY task_id HAVING count(*) > 1
"""


def test_never_more_than_max_parallel_items_are_under_way_and_their_results_are_in_order(make_stack, ledger):
    stack = make_stack(lease_seconds="6", shutdown_grace_seconds="2")
    steps = {
        "each": {
            "type": "reverse_string",
            "payload": {"$text": ["item ", {"$from": "item"}, " of ", {"$from": "item.index"}]},
            "for_each": {"$from": "input.items"},
            "max_parallel": MAX_PARALLEL,
        },
        "last": {"type": "reverse_string", "payload": {"$from": "steps.each.result.-1"}, "after": ["each"]},
        "some": {"type": "reverse_string", "payload": {"$from": "steps.each.result.123"}, "after": ["each"]},
    }
    stack.post("/workflows", {"name": "many", "definition": {"steps": steps}})
    started = stack.post("/workflows/many/runs", {"input": {"items": [f"n{number}" for number in range(ITEMS)]}})
    assert started.status_code == 201, started.text
    run = started.json()

    began, kills, largest = time.monotonic(), 0, 0.0
    while stack.get(f"/runs/{run['id']}").json()["status"] == "RUNNING":
        assert time.monotonic() - began < MAX_SECONDS
        assert stack.rows(NOW)[0]["n"] <= MAX_PARALLEL
        largest = max(largest, _largest(stack))
        time.sleep(0.2)
        if kills < KILLS and time.monotonic() - began > (kills + 1) * KILL_EVERY_SECONDS:
            kills += 1
            _kill(stack, kills)
    took = time.monotonic() - began
    ledger.note(f"{ITEMS} items, {kills} kills, {took:.0f} s, the largest process had {largest:.0f} MB")

    shown = stack.get(f"/runs/{run['id']}").json()
    assert shown["status"] == "COMPLETED", shown["reason"]
    [each, *_] = shown["steps"]
    assert each["items"] == {"total": ITEMS, "completed": ITEMS, "failed": 0, "running": 0}
    assert stack.rows(MOST_AT_ONCE)[0]["most"] <= MAX_PARALLEL
    results = {step["key"]: stack.get(f"/tasks/{step['task_id']}").json()["result"] for step in shown["steps"]}
    assert results["last"] == f"item n{ITEMS - 1} of {ITEMS - 1}"
    assert results["some"] == "item n123 of 123"
    assert stack.rows(DONE)[0]["n"] == ITEMS + 2
    assert stack.rows(TWICE) == []
    assert largest < MAX_MEGABYTES
    assert_histories_hold(stack)


def _largest(stack):
    """Megabytes of the largest process of worker and dispatcher that are there now."""
    sizes = [0.0]
    for program in (stack.worker, stack.dispatcher):
        try:
            process = psutil.Process(program.pid)
            for each in (process, *process.children(recursive=True)):
                sizes.append(each.memory_info().rss / 1e6)
        except psutil.Error:
            continue
    return max(sizes)


def _kill(stack, number):
    if number % 5 == 2:
        stack.worker.kill()
        stack.worker.start().wait_until_ready()
    elif number % 5 == 4:
        stack.dispatcher.kill()
        stack.dispatcher.start().wait_until_ready()
    else:
        children = wait_for(stack.worker.child_pids, timeout=20)
        os.kill(children[number % len(children)], signal.SIGKILL)
