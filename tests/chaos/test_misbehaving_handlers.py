"""Handlers that die, hang or overrun their limits: their own task pays for it, and nobody else's."""

import os
import signal
import time

import psutil
import pytest

from tests.chaos.evidence import assert_histories_hold, wait_for_status, wait_until_running
from tests.support.servers.processes import runs
from tests.support.servers.programs import Worker
from tests.support.servers.waiting import wait_for

pytestmark = pytest.mark.chaos


def test_a_handler_that_kills_its_process_every_time_fails_and_takes_no_other_task_with_it(short_stack, ledger):
    others = [short_stack.submit("uppercase_text", f"bystander {number}") for number in range(100)]
    killer = short_stack.submit("kill_itself", 0.0)
    others += [short_stack.submit("sleep_for", 0.2) for _ in range(20)]

    with ledger.timed("three attempts of a handler that kills its own process"):
        row = wait_for_status(short_stack, killer, "FAILED", timeout=40)
    short_stack.wait_until("COMPLETED", others, timeout=20)

    attempts = short_stack.get(f"/tasks/{killer}/attempts").json()["items"]
    assert [attempt["number"] for attempt in attempts] == [1, 2, 3]
    assert {attempt["error"]["type"] for attempt in attempts} == {"WorkerLost"}
    assert row["error"]["type"] == "WorkerLost"
    charged = short_stack.rows("SELECT id FROM tasks WHERE attempt > 1 AND id = ANY(%(ids)s::uuid[])", {"ids": others})
    assert charged == []
    assert_histories_hold(short_stack)


def test_a_killed_child_s_task_is_moved_on_within_6_seconds(short_stack, ledger):
    task_id = short_stack.submit("sleep_for", 60.0)
    time.sleep(1)
    child = wait_until_running(short_stack, task_id)["leased_pid"]
    try:
        with ledger.timed("kill -9 of a child until its task is moved on") as took:
            os.kill(child, signal.SIGKILL)
            wait_for(lambda: _events(short_stack, task_id)[2:3] == ["RETRYING"], timeout=10)
        assert took[0] < 6
        [attempt, *_] = short_stack.get(f"/tasks/{task_id}/attempts").json()["items"]
        assert attempt["error"]["type"] == "WorkerLost"
    finally:
        _cancel(short_stack, task_id)


def test_a_soft_limit_is_raised_in_the_handler_and_recorded_as_such(short_stack, ledger):
    with ledger.timed("a soft limit of 1 s"):
        task_id = short_stack.submit("sleep_for", 30.0, timeout=1, max_retries=0)
        row = wait_for_status(short_stack, task_id, "FAILED", timeout=5)

    assert row["error"]["type"] == "TimeLimitReached"


def test_a_handler_that_ignores_its_limit_is_killed_and_recorded_as_such_within_6_seconds(short_stack, ledger):
    task_id = short_stack.submit("ignore_stop", 30.0, timeout=1)
    child = psutil.Process(wait_until_running(short_stack, task_id)["leased_pid"])
    wait_for(lambda: not runs(child), timeout=6, what="the child is killed at its limit and grace, 2 s")

    with ledger.timed("the end of a child at its hard limit until its task is moved on") as took:
        row = wait_for_status(short_stack, task_id, "FAILED", timeout=10)

    assert took[0] < 6
    assert row["error"]["type"] == "TimeLimitExceeded"


def test_a_handler_that_holds_the_interpreter_is_killed_by_the_parent_at_its_hard_limit(make_stack, ledger, tmp_path):
    stack = make_stack()  # a lease of 60 s: the limit comes first
    task_id = stack.submit("hold_interpreter", {"path": str(tmp_path / "pid")}, timeout=1)
    child = psutil.Process(wait_until_running(stack, task_id)["leased_pid"])

    with ledger.timed("a limit of 1 + 1 s, and 5 s for the child to end by itself"):
        row = wait_for_status(stack, task_id, "FAILED", timeout=14)

    assert row["error"]["type"] == "TimeLimitExceeded"
    assert not runs(child)


def test_a_handler_that_holds_the_interpreter_is_killed_by_the_parent_when_its_lease_expires(
    short_stack, ledger, tmp_path
):
    for number in range(3):
        pid = tmp_path / f"pid-{number}"
        task_id = short_stack.submit("hold_interpreter", {"path": str(pid), "first_seconds": number / 3})
        child = psutil.Process(int(wait_for(lambda file=pid: file.exists() and file.read_text().strip(), timeout=10)))

        with ledger.timed("from the start of a hung handler until its process is killed, with a lease of 6 s"):
            wait_for(lambda process=child: not runs(process), timeout=15)
        row = wait_for_status(short_stack, task_id, "FAILED", timeout=10)

        assert row["error"]["type"] == "WorkerLost"


def test_a_child_that_is_replaced_after_so_many_tasks_loses_none(make_stack, ledger, tmp_path):
    def replace_often(stack):
        stack.worker = Worker(stack.environment, "--max-tasks-per-child", "3", concurrency=2)

    stack = make_stack(change=replace_often)
    trace = tmp_path / "trace"
    ids = [stack.submit("trace_run", {"path": str(trace)}) for _ in range(15)]

    with ledger.timed("15 tasks in children that end after three each"):
        stack.wait_until("COMPLETED", ids, timeout=40)

    starts = [line.split() for line in trace.read_text().splitlines() if line.startswith("start")]
    assert len(starts) == 15
    assert len({pid for _, _, _, pid, _ in starts}) >= 4


def _events(stack, task_id: str) -> list[str]:
    return [
        row["status"]
        for row in stack.rows("SELECT status FROM task_events WHERE task_id = %(id)s ORDER BY id", {"id": task_id})
    ]


def _cancel(stack, task_id: str) -> None:
    stack.post(f"/tasks/{task_id}/cancel", {})
    wait_for_status(stack, task_id, "CANCELLED", timeout=10)
