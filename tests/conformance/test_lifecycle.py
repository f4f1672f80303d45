"""What a task goes through, on every broker."""

from datetime import UTC, datetime, timedelta

from tests.chaos.evidence import assert_histories_hold, wait_until_running
from tests.conformance.evidence import assert_each_ended_once


def test_a_task_completes_and_its_history_says_how(stack):
    task_id = stack.submit("reverse_string", "hello world")

    task = stack.task(task_id, wait=20)

    assert (task["status"], task["result"], task["attempt"]) == ("COMPLETED", "dlrow olleh", 1)
    assert stack.events(task_id) == ["PENDING", "PROCESSING", "COMPLETED"]


def test_a_hundred_tasks_complete_once_each(stack):
    ids = [stack.submit("uppercase_text", f"number {number}") for number in range(100)]

    stack.wait_until("COMPLETED", ids, timeout=40)

    assert_each_ended_once(stack, ids)
    assert_histories_hold(stack)


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


def test_a_failing_task_is_retried_until_it_succeeds(stack):
    task_id = stack.submit("fail_twice", "")

    task = stack.task(task_id, wait=30)

    assert (task["status"], task["result"], task["attempt"]) == ("COMPLETED", 3, 3)


def test_a_task_whose_retries_are_spent_is_a_dead_letter_and_can_be_replayed(stack):
    task_id = stack.submit("fail_twice", "", max_retries=1)
    assert stack.task(task_id, wait=30)["status"] == "FAILED"
    assert task_id in {item["id"] for item in stack.get("/dead-letters").json()["items"]}

    assert stack.post(f"/tasks/{task_id}/retry", {}).status_code == 200

    assert stack.task(task_id, wait=30)["status"] == "COMPLETED"


def test_a_task_that_was_scheduled_waits_for_its_moment(stack):
    at = datetime.now(UTC) + timedelta(seconds=2)
    task_id = stack.submit("reverse_string", "later", scheduled_at=at.isoformat())
    assert stack.task(task_id)["status"] == "SCHEDULED"

    task = stack.task(task_id, wait=20)

    assert task["status"] == "COMPLETED"
    assert datetime.fromisoformat(task["started_at"]) >= at


def test_a_running_task_is_cancelled(stack):
    task_id = stack.submit("sleep_for", 60.0)
    wait_until_running(stack, task_id)

    assert stack.post(f"/tasks/{task_id}/cancel", {}).status_code == 202

    stack.wait_until("CANCELLED", [task_id], timeout=20)


def test_a_waiting_task_is_cancelled_and_its_hint_does_nothing(stack):
    with stack.without_worker():
        task_id = stack.submit("reverse_string", "never mind")
        assert stack.post(f"/tasks/{task_id}/cancel", {}).status_code == 200
    after = stack.submit("reverse_string", "next")
    stack.wait_until("COMPLETED", [after])

    assert stack.events(task_id) == ["PENDING", "CANCELLED"]


def test_tasks_whose_hints_were_lost_all_complete_once(stack):
    with stack.without_worker():
        ids = [stack.submit("uppercase_text", f"number {number}") for number in range(50)]
        stack.broker.lose_hints_of(ids)

    stack.wait_until("COMPLETED", ids, timeout=40)

    assert_each_ended_once(stack, ids)
    assert {task["attempt"] for task in map(stack.task, ids)} == {1}


def test_a_worker_that_is_stopped_gives_back_what_it_has(stack):
    running = [stack.submit("sleep_for", 5.0) for _ in range(2)]
    for task_id in running:
        wait_until_running(stack, task_id)
    waiting = [stack.submit("sleep_for", 0.1) for _ in range(6)]
    stack.worker.stop()
    assert stack.statuses([*running, *waiting]) == {"PENDING": 8}

    stack.worker.start().wait_until_ready()

    stack.wait_until("COMPLETED", [*running, *waiting], timeout=40)
    assert_each_ended_once(stack, [*running, *waiting])
