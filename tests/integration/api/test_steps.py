"""GET /tasks/{id}/steps: what a durable task remembers; and a replay that forgets it."""

import pytest

from app.models import Status
from tests.integration.api.conftest import TASKS
from tests.support.factories import bring_to, make_task
from tests.support.waiting_tasks import remember


@pytest.fixture
def durable(session):
    """A dead letter that has done three things."""
    task, child = make_task(session), make_task(session)
    remember(session, task.id, "charge", 1, result='{"receipt": 7}', undo='{"type": "refund"}')
    remember(session, task.id, "render", 2, kind="call", child_id=child.id, state="BEGUN", result=None, ended_at=None)
    remember(session, task.id, "notify", 3, state="FAILED", result=None, error='{"type": "Gone", "message": "no"}')
    bring_to(session, Status.FAILED, task.id)
    session.commit()
    return task.id, child.id


def steps_of(client, task_id):
    return client.get(f"{TASKS}/{task_id}/steps").json["items"]


def test_steps_are_listed_in_the_order_of_the_handler_page_by_page(client, durable):
    task_id, child_id = durable

    page = client.get(f"{TASKS}/{task_id}/steps?limit=2").json
    rest = client.get(f"{TASKS}/{task_id}/steps?limit=2&cursor={page['next']}").json

    charge, render = page["items"]
    [notify] = rest["items"]
    assert (charge["name"], charge["result"], charge["is_undoable"]) == ("charge", {"receipt": 7}, True)
    assert (render["kind"], render["child_id"], render["child_status"]) == ("call", str(child_id), "PENDING")
    assert (notify["state"], notify["error"]) == ("FAILED", {"type": "Gone", "message": "no"})
    assert rest["next"] is None


def test_a_replay_keeps_what_was_done(client, durable):
    task_id, _ = durable

    assert client.post(f"{TASKS}/{task_id}/retry").status_code == 200

    assert "charge" in [each["name"] for each in steps_of(client, task_id)]


def test_a_fresh_replay_forgets_it(client, durable):
    task_id, _ = durable

    assert client.post(f"{TASKS}/{task_id}/retry", json={"fresh": True}).json["status"] == "PENDING"

    assert steps_of(client, task_id) == []


def test_another_payload_needs_a_fresh_start(client, durable):
    task_id, _ = durable

    kept = client.post(f"{TASKS}/{task_id}/retry", json={"payload": "other"})
    fresh = client.post(f"{TASKS}/{task_id}/retry", json={"payload": "other", "fresh": True})

    assert (kept.status_code, list(kept.json["errors"])) == (422, ["fresh"])
    assert (fresh.status_code, fresh.json["payload"]) == (200, "other")


def test_a_task_that_remembers_nothing_may_be_fresh(client, session):
    task = make_task(session)
    bring_to(session, Status.FAILED, task.id)
    session.commit()

    assert client.post(f"{TASKS}/{task.id}/retry", json={"fresh": True}).status_code == 200
