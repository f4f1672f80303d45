"""Triggers while workers and dispatchers are killed: one event starts the work of each rule exactly once."""

import os
import signal
import time
from collections import Counter

import pytest

from tests.chaos.evidence import assert_histories_hold

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

EVENTS, TRIGGERS, MATCHING = 60, 450, 420  # three batches for each event
KILL_EVERY_SECONDS, KILLS, MAX_SECONDS = 1.5, 10, 400
OPEN = "SELECT count(*) AS n FROM outside_events WHERE applied_at IS NULL"
STARTED = """
SELECT payload #>> '{}' AS event, count(*) AS tasks
FROM tasks
WHERE type = 'reverse_string'
GROUP BY payload
"""
MATCHES = """
SELECT count(*) AS n, count(DISTINCT task_id) AS tasks, count(DISTINCT (event_id, trigger_id)) AS pairs
FROM trigger_matches
"""
STRAY = """
SELECT count(*) AS n
FROM tasks
WHERE type = 'reverse_string' AND NOT EXISTS (SELECT FROM trigger_matches WHERE task_id = tasks.id)
"""


def test_60_events_start_420_tasks_each_once_while_workers_and_dispatchers_are_killed(make_stack, ledger):
    stack = make_stack(lease_seconds="6", shutdown_grace_seconds="2")
    rule = {"event": "order.paid", "task": {"type": "reverse_string", "payload": {"$from": "event.data"}}}
    for number in range(TRIGGERS):
        when = {"when": {"equals": [{"$from": "event.data"}, "never"]}} if number >= MATCHING else {}
        assert stack.post("/triggers", rule | when).status_code == 201
    names = [f"event {number}" for number in range(EVENTS)]
    for name in names:
        assert stack.post("/events", {"name": "order.paid", "data": name}).status_code == 201

    began, kills = time.monotonic(), 0
    while stack.rows(OPEN)[0]["n"]:
        assert time.monotonic() - began < MAX_SECONDS
        time.sleep(KILL_EVERY_SECONDS)
        if kills < KILLS:
            kills += 1
            _kill(stack, kills)
    ledger.note(f"{kills} kills, {time.monotonic() - began:.0f} s")

    assert {row["event"]: row["tasks"] for row in stack.rows(STARTED)} == Counter(names * MATCHING)
    [told] = stack.rows(MATCHES)
    assert told == {"n": EVENTS * MATCHING, "tasks": EVENTS * MATCHING, "pairs": EVENTS * MATCHING}
    assert stack.rows(STRAY) == [{"n": 0}]
    [unmatched] = stack.rows("SELECT DISTINCT unmatched FROM outside_events")
    assert unmatched == {"unmatched": TRIGGERS - MATCHING}
    assert_histories_hold(stack)


def _kill(stack, number):
    if number % 5 == 2:
        stack.worker.kill()
        stack.worker.start().wait_until_ready()
    elif number % 5 == 4:
        stack.dispatcher.kill()
        stack.dispatcher.start().wait_until_ready()
    else:
        children = stack.worker.child_pids()
        if children:
            os.kill(children[number % len(children)], signal.SIGKILL)
