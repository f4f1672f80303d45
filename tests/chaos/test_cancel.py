"""Cancelling what runs: stopped within seconds, killed when it will not stop, and the receipt tells which."""

import psutil
import pytest

from tests.chaos.evidence import assert_histories_hold, wait_for_status, wait_until_running
from tests.support.servers.processes import runs
from tests.support.servers.waiting import wait_for

pytestmark = pytest.mark.chaos


def test_a_running_task_is_stopped_within_3_seconds(short_stack, ledger):
    task_id = short_stack.submit("sleep_for", 60.0)
    child = psutil.Process(wait_until_running(short_stack, task_id)["leased_pid"])

    with ledger.timed("cancel of a running task until it is CANCELLED") as took:
        answer = short_stack.post(f"/tasks/{task_id}/cancel", {})
        row = wait_for_status(short_stack, task_id, "CANCELLED", timeout=10)

    assert answer.status_code == 202
    assert took[0] < 3
    assert row["cancel_receipt"] == "stopped"
    assert runs(child)


def test_a_handler_that_ignores_it_is_killed_after_its_grace_period(short_stack, ledger):
    task_id = short_stack.submit("ignore_stop", 60.0)
    child = psutil.Process(wait_until_running(short_stack, task_id)["leased_pid"])

    with ledger.timed("cancel of a handler that ignores it, with 1 s of grace") as took:
        assert short_stack.post(f"/tasks/{task_id}/cancel", {}).status_code == 202
        wait_for(lambda: not runs(child), timeout=6, what="the child is killed")
        ledger.note("its process is gone")
        row = wait_for_status(short_stack, task_id, "CANCELLED", timeout=10)

    assert took[0] < 2 + 1 + 6
    assert row["cancel_receipt"] == "killed"


def test_a_handler_that_holds_the_interpreter_is_killed_once_its_lease_expires(short_stack, ledger, tmp_path):
    pid = tmp_path / "pid"
    task_id = short_stack.submit("hold_interpreter", {"path": str(pid)})
    child = psutil.Process(int(wait_for(lambda: pid.exists() and pid.read_text().strip(), timeout=10)))

    assert short_stack.post(f"/tasks/{task_id}/cancel", {}).status_code == 202
    row = wait_for_status(short_stack, task_id, "CANCELLED", timeout=20)

    assert not runs(child)
    assert row["cancel_receipt"] == "killed"


def test_a_task_cancelled_while_its_worker_was_away_is_confirmed_and_does_not_run_again(short_stack, ledger):
    task_id = short_stack.submit("sleep_for", 60.0)
    wait_until_running(short_stack, task_id)
    short_stack.worker.kill()
    try:
        assert short_stack.post(f"/tasks/{task_id}/cancel", {}).status_code == 202
        with ledger.timed("cancel of a task whose worker is gone until it is confirmed"):
            row = wait_for_status(short_stack, task_id, "CANCELLED", timeout=25)
    finally:
        short_stack.worker.start().wait_until_ready()

    assert row["cancel_receipt"] == "killed"
    assert row["attempt"] == 1
    assert_histories_hold(short_stack)


def test_a_waiting_task_never_starts_and_a_finished_one_says_so(short_stack):
    waiting = short_stack.submit("reverse_string", "x", scheduled_at="2099-01-01T00:00:00Z")
    finished = short_stack.submit("reverse_string", "x")
    short_stack.wait_until("COMPLETED", [finished])

    cancelled = short_stack.post(f"/tasks/{waiting}/cancel", {})

    assert (cancelled.status_code, cancelled.json()["cancel_receipt"]) == (200, "never_started")
    assert short_stack.post(f"/tasks/{finished}/cancel", {}).status_code == 409
