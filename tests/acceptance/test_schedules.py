"""Schedules on real parts: API, dispatcher, broker and worker."""

from datetime import UTC, datetime, timedelta

from tests.support.servers.waiting import wait_for

TASK = {"type": "reverse_string", "payload": "hello"}


def slots(stack, schedule):
    return stack.get(f"/schedules/{schedule['id']}/slots").json()["items"]


def test_a_one_off_runs_at_its_moment(stack):
    moment = datetime.now(UTC) + timedelta(seconds=2)
    schedule = stack.post("/schedules", {"run_at": moment.isoformat(), "task": TASK}).json()

    [slot] = wait_for(lambda: slots(stack, schedule), timeout=20)
    stack.wait_until("COMPLETED", [slot["task_id"]])

    task = stack.task(slot["task_id"])
    assert (slot["state"], task["result"]) == ("fired", "olleh")
    assert moment <= datetime.fromisoformat(task["started_at"]) < moment + timedelta(seconds=10)


def test_running_now_needs_no_moment(stack):
    schedule = stack.post("/schedules", {"cron": "0 0 1 1 *", "task": TASK}).json()

    task = stack.post(f"/schedules/{schedule['id']}/run", None).json()

    stack.wait_until("COMPLETED", [task["id"]])


def test_a_queued_slot_starts_when_the_task_before_it_has_finished(stack):
    schedule = stack.post("/schedules", {"cron": "0 0 1 1 *", "overlap": "queue_one", "task": TASK}).json()
    with stack.without_worker():
        first = stack.post(f"/schedules/{schedule['id']}/run", None).json()["id"]
        stack.rows(
            "UPDATE schedules SET last_task_id = %(task)s, queued_slot_at = now() WHERE id = %(id)s",
            {"task": first, "id": schedule["id"]},
        )
        waiting = len(slots(stack, schedule))

    both = wait_for(lambda: len(found := slots(stack, schedule)) == 2 and found, timeout=20)
    stack.wait_until("COMPLETED", [slot["task_id"] for slot in both])

    assert waiting == 1
    assert both[0]["reason"] == "waited for the task of the last slot to finish"
