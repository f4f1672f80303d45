"""Workers that freeze, vanish or fall silent: their tasks are moved on in time, and late outcomes change nothing."""

import os
import signal
import time

import pytest

from tests.chaos.evidence import assert_histories_hold, assert_one_outcome_each, counter, wait_until_running
from tests.support.servers.programs import Worker
from tests.support.servers.waiting import wait_for

pytestmark = pytest.mark.chaos


def test_the_outcome_of_a_worker_that_was_frozen_past_its_lease_is_dropped(make_stack, ledger, tmp_path):
    trace = tmp_path / "trace"
    stack = make_stack(lease_seconds="6")
    task_id = stack.submit("trace_run", {"path": str(trace), "seconds": 1.5})
    frozen = wait_until_running(stack, task_id)
    everybody = [stack.worker.pid, *stack.worker.child_pids()]
    for pid in everybody:
        os.kill(pid, signal.SIGSTOP)
    try:
        ledger.note(f"worker frozen while it ran {task_id}")
        with Worker(stack.environment) as second:
            with ledger.timed("until the second worker has completed the frozen one's task"):
                stack.wait_until("COMPLETED", [task_id], timeout=40)
            completed = stack.rows("SELECT * FROM tasks WHERE id = %(id)s", {"id": task_id})
            for pid in everybody:
                os.kill(pid, signal.SIGCONT)
            ledger.note("the frozen worker goes on")
            wait_for(lambda: "outcome_dropped" in stack.worker.log or "attempt_abandoned" in stack.worker.log)
            # Its heartbeat may notice before the handler ends or after it: either way the attempt counts, and once.
            wait_for(lambda: counter(stack, "outcomes_dropped") == 1, timeout=10)
            assert second.is_running
    finally:
        for pid in everybody:
            os.kill(pid, signal.SIGCONT)

    assert stack.rows("SELECT * FROM tasks WHERE id = %(id)s", {"id": task_id}) == completed
    assert completed[0]["result"] != frozen["leased_pid"]
    assert_one_outcome_each(stack, [task_id])
    assert_histories_hold(stack)
    after = stack.submit("reverse_string", "the frozen worker takes hints again")
    stack.wait_until("COMPLETED", [after])


def test_a_worker_node_that_is_gone_is_rescued_within_20_seconds(make_stack, ledger):
    """At the default lease of a minute; the dispatcher has been there for long enough to judge."""
    stack = make_stack()
    task_id = stack.submit("sleep_for", 2.0)
    wait_until_running(stack, task_id)
    stack.wait_until("COMPLETED", [task_id])
    wait_for(lambda: _seconds_since_start(stack) > 16, timeout=30, what="the dispatcher knows the workers for 15 s")
    lost = stack.submit("sleep_for", 60.0)
    wait_until_running(stack, lost)

    stack.worker.kill()
    with ledger.timed("kill -9 of a worker's parent until its task is moved on") as took:
        wait_for(lambda: _attempts_ended(stack, lost), timeout=25)

    assert took[0] < 20
    [attempt] = stack.get(f"/tasks/{lost}/attempts").json()["items"]
    assert (attempt["outcome"], attempt["error"]["type"]) == ("failed", "WorkerLost")


def test_a_worker_that_came_back_from_a_long_freeze_is_rescued_when_it_is_lost_after_all(make_stack, ledger, tmp_path):
    stack = make_stack(lease_seconds="60")
    everybody = [stack.worker.pid, *stack.worker.child_pids()]
    wait_for(lambda: _seconds_since_start(stack) > 3, timeout=10)
    for pid in everybody:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(18)
    for pid in everybody:
        os.kill(pid, signal.SIGCONT)
    wait_for(lambda: stack.rows("SELECT 1 FROM workers WHERE last_seen_at > now() - interval '2 s'"), timeout=10)
    task_id = stack.submit("sleep_for", 60.0)
    wait_until_running(stack, task_id)
    time.sleep(1.5)

    stack.worker.kill()
    with ledger.timed("kill -9 of a worker that had been frozen for 18 s until its task is moved on") as took:
        wait_for(lambda: _attempts_ended(stack, task_id), timeout=25)

    assert took[0] < 20


def _seconds_since_start(stack) -> float:
    [row] = stack.rows("SELECT extract(epoch FROM now() - min(started_at))::float AS seconds FROM workers")
    return row["seconds"] or 0.0


def _attempts_ended(stack, task_id: str) -> bool:
    query = "SELECT 1 FROM task_events WHERE task_id = %(id)s AND previous_status = 'PROCESSING'"
    return bool(stack.rows(query, {"id": task_id}))
