"""SIGTERM for a worker: it finishes or gives back what it has within the grace period, and no attempt is charged."""

import os
import signal
import time

import psutil
import pytest

from tests.chaos.evidence import (
    assert_histories_hold,
    assert_one_outcome_each,
    attempts,
    wait_for_status,
    wait_until_running,
)
from tests.support.servers.processes import runs
from tests.support.servers.programs import Worker
from tests.support.servers.waiting import wait_for

pytestmark = pytest.mark.chaos

GRACE_SECONDS = 2  # of SHORT


@pytest.fixture
def stack(short_stack):
    yield short_stack
    if not short_stack.worker.is_running:
        short_stack.worker.start().wait_until_ready()


def test_a_task_that_ends_within_the_grace_period_completes(stack, ledger):
    task_id = stack.submit("sleep_for", 1.5)
    wait_until_running(stack, task_id)

    with ledger.timed("SIGTERM with 1.5 s left to run"):
        status = stack.worker.stop()

    assert status == 0
    assert stack.statuses([task_id]) == {"COMPLETED": 1}


def test_an_idle_worker_stops_at_once_and_says_so(stack, ledger):
    with ledger.timed("SIGTERM without work"):
        assert stack.worker.stop() == 0

    [row] = stack.rows("SELECT * FROM workers ORDER BY started_at DESC LIMIT 1")
    assert row["stopped_at"] is not None


def test_a_task_that_runs_longer_is_given_back_at_the_end_of_the_grace_period_uncounted(stack, ledger, tmp_path):
    trace = tmp_path / "trace"
    running = [stack.submit("trace_run", {"path": str(trace), "seconds": 6}) for _ in range(2)]
    for task_id in running:
        wait_until_running(stack, task_id)
    waiting = [stack.submit("trace_run", {"path": str(trace)}) for _ in range(10)]

    stack.worker.send(stack.worker.stop_signal)
    with ledger.timed("SIGTERM with 6 s left to run until the tasks are given back") as given_back:
        stack.wait_until("PENDING", running, timeout=10)
    with ledger.timed("from there until the worker has ended"):
        assert stack.worker.wait(timeout=20) == 0

    assert given_back[0] < GRACE_SECONDS + 1.5
    assert attempts(stack, running) == {0: 2}
    stack.worker.start().wait_until_ready()
    stack.wait_until("COMPLETED", running + waiting, timeout=30)
    assert attempts(stack, running + waiting) == {1: 12}
    assert_one_outcome_each(stack, running + waiting)
    assert_histories_hold(stack)


def test_a_handler_that_will_not_stop_is_killed_and_its_task_given_back_uncounted(stack, ledger):
    task_id = stack.submit("ignore_stop", 60.0, max_retries=3)
    child = psutil.Process(wait_until_running(stack, task_id)["leased_pid"])

    with ledger.timed("SIGTERM with a handler that ignores everything"):
        status = stack.worker.stop(timeout=40)

    assert status == 0
    assert not runs(child)
    [row] = stack.rows("SELECT * FROM tasks WHERE id = %(id)s", {"id": task_id})
    assert (row["status"], row["attempt"]) == ("PENDING", 0)
    stack.post(f"/tasks/{task_id}/cancel", {})


def test_a_child_that_a_signal_ends_is_not_said_to_have_gone_on(stack, tmp_path):
    trace = tmp_path / "trace"
    task_id = stack.submit("trace_run", {"path": str(trace), "seconds": 60}, max_retries=0)
    wait_for(trace.exists, timeout=20, what="the handler runs")
    os.kill(wait_until_running(stack, task_id)["leased_pid"], signal.SIGTERM)

    wait_for_status(stack, task_id, "FAILED")
    wait_for(lambda: "a signal told it to end" in stack.worker.log_of_this_run, what="the child says why it ends")
    assert "its handler went on" not in stack.worker.log_of_this_run


def test_handlers_in_a_pool_of_threads_give_back_or_are_left_behind(stack):
    """No signal reaches them: one stops when it reports progress, the other one never does."""
    with stack.without_worker(), Worker(stack.environment, "--pool", "threads") as threads:
        polite = stack.submit("drill", {"steps": 600})
        deaf = stack.submit("ignore_stop", 60.0)
        for task_id in (polite, deaf):
            wait_until_running(stack, task_id)
        threads.send(threads.stop_signal)
        threads.wait(timeout=GRACE_SECONDS + 15)
        assert stack.statuses([polite, deaf]) == {"PENDING": 2}
        assert attempts(stack, [polite, deaf]) == {0: 2}
        for task_id in (polite, deaf):
            stack.post(f"/tasks/{task_id}/cancel", {})


def test_a_second_worker_takes_over_while_the_first_is_replaced_under_load(stack, ledger, tmp_path):
    """A rolling deploy: nothing is lost, nothing is charged."""
    trace = tmp_path / "trace"
    ids = []
    with Worker(stack.environment) as second:
        for number in range(60):
            ids.append(stack.submit("trace_run", {"path": str(trace), "seconds": 0.1}))
            ids.append(stack.submit("uppercase_text", f"number {number}"))
            if number == 20:
                stack.worker.send(stack.worker.stop_signal)
            time.sleep(0.02)
        assert stack.worker.wait(timeout=20) == 0
        with ledger.timed("until the second worker has done the rest"):
            stack.wait_until("COMPLETED", ids, timeout=30)
        assert second.is_running

    assert attempts(stack, ids) == {1: len(ids)}
    assert len(trace.read_text().splitlines()) == 2 * 60
