"""What a person changes in psql beside running processes: it is in the history, and the lifecycle holds."""

import subprocess

import pytest

from app.embedded import postgres as embedded


def test_a_status_changed_by_hand_in_psql_appears_in_the_history(stack):
    with stack.without_worker():
        task_id = stack.submit("reverse_string", "never mind")
        _psql(stack, f"UPDATE tasks SET status = 'CANCELLED' WHERE id = '{task_id}'")

    assert stack.task(task_id)["status"] == "CANCELLED"
    assert stack.events(task_id) == ["PENDING", "CANCELLED"]


def test_a_finished_task_set_to_pending_by_hand_runs_again(stack):
    task_id = stack.submit("reverse_string", "again", scheduled_at="2099-01-01T00:00:00Z")
    stack.post(f"/tasks/{task_id}/cancel", {})

    _psql(stack, f"UPDATE tasks SET status = 'PENDING' WHERE id = '{task_id}'")
    stack.wait_until("COMPLETED", [task_id])

    assert stack.events(task_id) == ["SCHEDULED", "CANCELLED", "PENDING", "PROCESSING", "COMPLETED"]


def test_a_status_that_the_lifecycle_does_not_allow_is_refused_in_psql(stack):
    task_id = stack.submit("reverse_string", "once")
    stack.wait_until("COMPLETED", [task_id])

    with pytest.raises(AssertionError, match=r"cannot go from COMPLETED to PENDING .* taskledger\.submit"):
        _psql(stack, f"UPDATE tasks SET status = 'PENDING' WHERE id = '{task_id}'")


def _psql(stack, statement: str) -> None:
    """The real psql, as a person would use it; the embedded PostgreSQL brings one."""
    command = [embedded.programs() / "psql", stack.database_url, "-v", "ON_ERROR_STOP=1", "-c", statement]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
