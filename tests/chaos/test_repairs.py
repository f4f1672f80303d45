"""Repairs while workers and dispatchers are killed: each dead letter is replayed once, and a bad patch stops soon.

2,500 dead letters; with CHAOS_FULL=1, 5,000.
"""

import os
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.chaos.evidence import assert_histories_hold
from tests.chaos.repetitions import repetitions
from tests.support.servers.waiting import wait_for

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

DEAD_LETTERS, CANARY, PER_SECOND = repetitions(5_000, 2_500), 20, 100
KILL_EVERY_SECONDS, KILLS = 4.0, 12
MAX_SECONDS = 500
# As a release with a fault has left them behind, oldest first.
FAIL = """
INSERT INTO tasks (id, type, status, payload, priority, queue, max_retries, attempt, created_at, started_at,
                   finished_at, error, error_fingerprint)
SELECT (lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint), 12, '0') || '7' || lpad(to_hex(n), 19, '0'))::uuid,
       %(type)s, 'FAILED', CASE WHEN n <= %(good)s THEN %(well)s ELSE %(badly)s END::jsonb, 'normal', 'tasks', 3, 1,
       now(), now(), now(), '{"type": "KeyError", "message": "path"}', '0123456789abcdef'
FROM generate_series(1, %(count)s) AS n
RETURNING id::text
"""
REPLAYS = "SELECT task_id::text FROM task_events WHERE previous_status = 'FAILED' AND status = 'PENDING'"
OUTCOMES = "SELECT task_id::text FROM task_events WHERE previous_status = 'PROCESSING' AND status = 'COMPLETED'"
FIRST_FAILURE = "SELECT min(at) AS at FROM task_events WHERE previous_status = 'PROCESSING' AND status = 'FAILED'"


def fail(stack, type_, *, count, good=0, well="{}", badly="{}"):
    values = {"type": type_, "count": count, "good": good, "well": well, "badly": badly}
    return {row["id"] for row in stack.rows(FAIL, values)}


def start(stack, **asked):
    dry = stack.post("/repairs", {**asked, "dry_run": True})
    assert dry.status_code == 200, dry.text
    started = stack.post("/repairs", {"token": dry.json()["token"]})
    assert started.status_code == 201, started.text
    return dry.json(), started.json()


def now_is(stack, repair):
    return stack.get(f"/repairs/{repair['id']}").json()


def kill_a_child(stack, number):
    children = stack.worker.child_pids()
    if children:
        os.kill(children[number % len(children)], signal.SIGKILL)


def test_dead_letters_are_patched_and_replayed_once_each_while_workers_are_killed(make_stack, ledger, tmp_path):
    stack = make_stack(lease_seconds="6", shutdown_grace_seconds="2")
    trace = tmp_path / "trace"
    ids = fail(stack, "append_line", count=DEAD_LETTERS, badly='{"path": "/nowhere/at/all"}')

    dry, repair = start(
        stack,
        filter={"type": "append_line", "fingerprint": "0123456789abcdef"},
        patch=[{"op": "replace", "path": "/path", "value": str(trace)}],
        canary=CANARY,
        per_second=PER_SECOND,
        stop_above_failure_ratio=0.5,
    )
    assert (dry["count"], dry["checked"], dry["refused_count"]) == (DEAD_LETTERS, DEAD_LETTERS, 0)
    began, kills = time.monotonic(), 0
    while (shown := now_is(stack, repair))["status"] in ("CANARY", "RUNNING"):
        assert time.monotonic() - began < MAX_SECONDS, shown
        time.sleep(KILL_EVERY_SECONDS)
        if kills == KILLS:
            continue
        kills += 1
        if kills % 4 == 2:
            stack.worker.kill()
            stack.worker.start().wait_until_ready()
            ledger.note(f"worker killed and started: {shown['replayed']} replayed, {shown['counts']}")
        elif kills % 4 == 0:
            stack.dispatcher.kill()
            stack.dispatcher.start().wait_until_ready()
            ledger.note(f"dispatcher killed and started: {shown['replayed']} replayed")
        else:
            kill_a_child(stack, kills)
    seconds = time.monotonic() - began
    ledger.note(f"{kills} kills, {seconds:.0f} s, {shown['counts']}")

    assert shown["status"] == "COMPLETED", shown
    assert shown["replayed"] == shown["counts"]["well"] + shown["counts"]["failed"] == DEAD_LETTERS
    assert seconds > DEAD_LETTERS / PER_SECOND * 0.9
    stack.wait_until("COMPLETED", ids, timeout=60)
    for sql in (REPLAYS, OUTCOMES):
        assert Counter(row["task_id"] for row in stack.rows(sql)) == Counter(ids)
    assert {line.split()[0] for line in Path(trace).read_text().splitlines()} == ids
    assert_histories_hold(stack)


def test_a_repair_whose_tasks_fail_again_stops_within_two_seconds(make_stack, ledger):
    stack = make_stack()
    good = '{"steps": 0}'
    fail(stack, "drill", count=2_000, good=CANARY, well=good, badly='{"steps": 0, "message": "still broken"}')

    _, repair = start(
        stack, filter={"type": "drill"}, canary=CANARY, per_second=PER_SECOND, stop_above_failure_ratio=0.1
    )
    wait_for(lambda: now_is(stack, repair)["status"] == "STOPPED", timeout=40)

    shown = now_is(stack, repair)
    [first] = stack.rows(FIRST_FAILURE)
    [row] = stack.rows("SELECT finished_at FROM repairs")
    took = (row["finished_at"] - first["at"]).total_seconds()
    ledger.note(f"stopped {took:.2f} s after the first failure, {shown['replayed']} replayed: {shown['reason']}")
    assert took < 2
    assert CANARY < shown["replayed"] < CANARY + PER_SECOND


def test_undo_under_load_returns_exactly_what_has_not_started(make_stack, ledger):
    stack = make_stack()
    ids = fail(stack, "sleep_for", count=1_000, badly="0.5")
    _, repair = start(
        stack,
        filter={"type": "sleep_for"},
        patch=[{"op": "replace", "path": "", "value": 0.4}],
        canary=0,
        per_second=500,
        stop_above_failure_ratio=None,
    )
    wait_for(lambda: now_is(stack, repair)["replayed"] > 400, timeout=20)

    undone = stack.post(f"/repairs/{repair['id']}/undo", {}).json()

    ledger.note(f"{undone['counts']}")
    assert undone["status"] == "UNDONE"
    started = {
        row["id"]
        for row in stack.rows("SELECT DISTINCT task_id::text AS id FROM task_events WHERE status = 'PROCESSING'")
    }
    back = {row["id"] for row in stack.rows("SELECT id::text FROM tasks WHERE status = 'FAILED' AND payload = '0.5'")}
    assert back == ids - started
    assert undone["counts"]["undone"] > 0
    stack.wait_until("COMPLETED", started, timeout=60)
    assert_histories_hold(stack)
