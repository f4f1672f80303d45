"""A task submitted over HTTP runs once, on RabbitMQ and a real worker, and its row tells what happened."""

import subprocess

import pytest

from app.embedded import postgres as embedded


def test_a_submitted_task_completes_and_its_history_says_how(stack):
    task_id = stack.submit("reverse_string", "hello world")

    task = stack.task(task_id, wait=10)

    assert (task["status"], task["result"], task["attempt"]) == ("COMPLETED", "dlrow olleh", 1)
    assert stack.events(task_id) == ["PENDING", "PROCESSING", "COMPLETED"]


def test_the_same_id_delivered_five_times_at_once_runs_once(stack, tmp_path):
    runs = tmp_path / "runs"
    with stack.without_worker():
        task_id = stack.submit("append_line", {"path": str(runs)})
        stack.broker.publish_hint("append_line", [task_id], copies=5)
    stack.wait_until("COMPLETED", [task_id])

    stack.broker.publish_hint("append_line", [task_id], copies=5)
    after = stack.submit("append_line", {"path": str(runs)})  # behind the copies in the queue
    stack.wait_until("COMPLETED", [after])

    assert sorted(runs.read_text().splitlines()) == sorted([f"{task_id} 1", f"{after} 1"])
    assert stack.events(task_id) == ["PENDING", "PROCESSING", "COMPLETED"]


def test_tasks_whose_messages_were_lost_all_complete_once(stack):
    with stack.without_worker():
        ids = [stack.submit("uppercase_text", f"number {number}") for number in range(200)]
        stack.broker.lose_hints_of(ids)

    stack.wait_until("COMPLETED", ids, timeout=30)

    assert _outcomes_recorded(stack, ids) == {1}
    assert _attempts(stack, ids) == {1}


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


def _outcomes_recorded(stack, ids: list[str]) -> set[int]:
    """How often the tasks were recorded as COMPLETED: one means once each."""
    rows = stack.rows(
        "SELECT t.id, (SELECT count(*) FROM task_events e WHERE e.task_id = t.id AND e.status = 'COMPLETED') AS times "
        "FROM tasks t WHERE t.id = ANY(%(ids)s::uuid[])",
        {"ids": ids},
    )
    assert len(rows) == len(ids)
    return {row["times"] for row in rows}


def _attempts(stack, ids: list[str]) -> set[int]:
    rows = stack.rows("SELECT DISTINCT attempt FROM tasks WHERE id = ANY(%(ids)s::uuid[])", {"ids": ids})
    return {row["attempt"] for row in rows}
