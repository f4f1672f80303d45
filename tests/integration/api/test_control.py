"""Cancelling, retrying, dead letters, queues and integrity over HTTP."""

import pytest
import sqlalchemy as sa

from app.clock import utcnow
from app.models import Status
from app.services import lifecycle
from app.services.recovery.failures import Failure
from app.services.tasks import task_log
from app.services.tasks.task_log import LogLine
from tests.support.factories import NOON, make_claim, make_task, pass_events_on, read_task
from tests.support.people import make_person

API = "/api/v1"
FAILURE = Failure(type="LookupError", message="no such city", traceback='File "handlers/secret.py"')


@pytest.fixture
def failed(session):
    """A dead letter."""
    held = make_claim(session, max_retries=0)
    lifecycle.fail(session, held, FAILURE, now=utcnow())
    session.commit()
    return held


def test_a_waiting_task_is_cancelled(client, session):
    task = make_task(session)
    session.commit()

    answer = client.post(f"{API}/tasks/{task.id}/cancel")

    assert answer.status_code == 200
    assert (answer.json["status"], answer.json["cancel_receipt"]) == ("CANCELLED", "never_started")


def test_a_running_task_is_asked_to_stop(client, session):
    held = make_claim(session)
    session.commit()

    answer = client.post(f"{API}/tasks/{held.id}/cancel")

    assert answer.status_code == 202
    assert answer.json["status"] == "PROCESSING"
    assert answer.json["cancel_requested_at"] is not None


def test_what_has_ended_cannot_be_cancelled(client, failed):
    answer = client.post(f"{API}/tasks/{failed.id}/cancel")

    assert (answer.status_code, answer.json["code"]) == (409, "wrong_status")
    assert "FAILED" in answer.json["detail"]


def test_a_dead_letter_is_retried_with_another_payload(client, failed):
    answer = client.post(f"{API}/tasks/{failed.id}/retry", json={"payload": "better", "max_retries": 5})

    assert answer.status_code == 200
    assert (answer.json["status"], answer.json["payload"], answer.json["max_retries"]) == ("PENDING", "better", 5)


def test_a_retry_needs_no_body(client, failed):
    assert client.post(f"{API}/tasks/{failed.id}/retry").json["status"] == "PENDING"


def test_a_completed_task_cannot_be_retried(client, session):
    held = make_claim(session)
    lifecycle.complete(session, [(held, 5)], now=NOON)
    session.commit()

    answer = client.post(f"{API}/tasks/{held.id}/retry")

    assert answer.status_code == 409
    assert "COMPLETED" in answer.json["detail"]


def test_a_retry_with_a_payload_its_type_refuses_changes_nothing(client, session, failed):
    answer = client.post(f"{API}/tasks/{failed.id}/retry", json={"payload": 17})

    assert (answer.status_code, list(answer.json["errors"])) == (422, ["payload"])
    assert read_task(session, failed.id).status == "FAILED"


def test_attempts_tell_an_admin_what_went_wrong_and_where(client, failed):
    [attempt] = client.get(f"{API}/tasks/{failed.id}/attempts").json["items"]

    assert (attempt["number"], attempt["outcome"]) == (1, "failed")
    assert attempt["error"] == {"type": "LookupError", "message": "no such city", "traceback": FAILURE.traceback}


def test_attempts_tell_an_owner_what_went_wrong_without_the_traceback(client, anonymous, session, database_url):
    owner = make_person(database_url)
    held = make_claim(session, max_retries=0, owner_id=owner.id)
    lifecycle.fail(session, held, FAILURE, now=utcnow())
    session.commit()

    answer = anonymous.get(f"{API}/tasks/{held.id}/attempts", headers=owner.headers)

    [attempt] = answer.json["items"]
    assert attempt["error"] == {"type": "LookupError", "message": "no such city"}
    assert b"secret.py" not in answer.data


def test_the_log_of_a_task_is_read_in_order(client, session):
    task = make_task(session)
    lines = [
        LogLine(task_id=task.id, attempt=1, at=NOON, message=f"page {page}", fields={"page": page}) for page in (1, 2)
    ]
    task_log.write(session, lines)
    session.commit()

    answer = client.get(f"{API}/tasks/{task.id}/logs")

    assert [(line["message"], line["fields"]) for line in answer.json["items"]] == [
        ("page 1", {"page": 1}),
        ("page 2", {"page": 2}),
    ]


@pytest.mark.parametrize("path", ["cancel", "retry"])
def test_a_task_that_does_not_exist_is_not_found(client, path):
    assert client.post(f"{API}/tasks/01a20187-e99f-7588-b4c3-6d36409e4538/{path}").status_code == 404


def test_dead_letters_are_listed_and_grouped(client, failed):
    listed = client.get(f"{API}/dead-letters", query_string={"type": "reverse_string"}).json
    [group] = client.get(f"{API}/dead-letters/groups").json["items"] or [None]

    assert [item["id"] for item in listed["items"]] == [str(failed.id)]
    assert (group["count"], group["message"], group["example_id"]) == (1, "no such city", str(failed.id))


def test_a_mass_replay_needs_the_token_of_its_dry_run(client, session, failed):
    bare = client.post(f"{API}/dead-letters/replay", json={})
    assert (bare.status_code, list(bare.json["errors"])) == (422, ["token"])

    dry = client.post(f"{API}/dead-letters/replay", json={"filter": {"type": "reverse_string"}, "dry_run": True}).json
    assert dry["count"] == 1
    assert read_task(session, failed.id).status == "FAILED"

    done = client.post(f"{API}/dead-letters/replay", json={"token": dry["token"]}).json
    session.rollback()
    assert done == {"count": 1, "token": None}
    assert read_task(session, failed.id).status == "PENDING"


def test_the_token_of_a_replay_does_not_purge(client, failed):
    token = client.post(f"{API}/dead-letters/replay", json={"dry_run": True}).json["token"]

    assert client.post(f"{API}/dead-letters/purge", json={"token": token}).status_code == 422


def test_a_purge_deletes_what_its_dry_run_counted(client, session, failed):
    pass_events_on(session)
    token = client.post(f"{API}/dead-letters/purge", json={"dry_run": True}).json["token"]

    assert client.post(f"{API}/dead-letters/purge", json={"token": token}).json["count"] == 1
    assert session.scalar(sa.text("SELECT count(*) FROM tasks")) == 0


def test_a_purge_leaves_a_task_whose_events_nobody_has_been_told_yet(client, session, store):
    told = [store(status=Status.FAILED) for _ in range(2)]
    pass_events_on(session)
    untold = store(status=Status.FAILED)
    token = client.post(f"{API}/dead-letters/purge", json={"dry_run": True}).json["token"]

    assert client.post(f"{API}/dead-letters/purge", json={"token": token}).json["count"] == len(told)
    assert session.scalars(sa.text("SELECT id FROM tasks")).all() == [untold.id]
    assert session.scalar(sa.text("SELECT count(*) FROM task_events JOIN event_outbox ON event_id = id")) == 1


def test_a_queue_is_paused_with_a_reason_and_resumed(client):
    paused = client.post(f"{API}/queues/tasks/pause", json={"reason": "deploy"})
    listed = client.get(f"{API}/queues").json["items"]
    resumed = client.post(f"{API}/queues/tasks/resume")

    assert (paused.status_code, paused.json["reason"]) == (200, "deploy")
    assert next(queue for queue in listed if queue["name"] == "tasks")["paused"]["reason"] == "deploy"
    assert resumed.json == {"resumed": True}


def test_a_task_type_is_paused_and_resumed(client):
    client.post(f"{API}/task-types/reverse_string/pause")

    assert [each["name"] for each in client.get(f"{API}/queues").json["paused_types"]] == ["reverse_string"]
    assert client.post(f"{API}/task-types/reverse_string/resume").json == {"resumed": True}


@pytest.mark.parametrize(
    "path", ["queues/nothing/pause", "task-types/nothing/resume", "queues/a%00b/pause", "task-types/a%00b/resume"]
)
def test_what_does_not_exist_cannot_be_paused_or_resumed(client, path):
    assert client.post(f"{API}/{path}").status_code == 404


def test_the_integrity_report_counts_tasks_and_says_that_the_broker_did_not_answer(client, failed):
    report = client.get(f"{API}/integrity").json

    assert (report["clean"], report["tasks_by_status"]["FAILED"]) == (True, 1)
    assert [queue["waiting_hints"] for queue in report["queues"]] == [None] * len(report["queues"])


def test_an_idempotency_key_returns_the_first_task(client):
    body = {"type": "reverse_string", "payload": "hello"}
    first = client.post(f"{API}/tasks", json=body, headers={"Idempotency-Key": "order-17"})
    again = client.post(f"{API}/tasks", json=body, headers={"Idempotency-Key": "order-17"})
    other = client.post(f"{API}/tasks", json={**body, "payload": "bye"}, headers={"Idempotency-Key": "order-17"})

    assert (first.status_code, again.status_code, other.status_code) == (201, 200, 422)
    assert again.json["id"] == first.json["id"]
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert other.json["code"] == "idempotency_key_reused"


def test_the_idempotency_key_of_a_deleted_task_is_gone(client, session):
    body = {"type": "reverse_string", "payload": "hello"}
    client.post(f"{API}/tasks", json=body, headers={"Idempotency-Key": "order-17"})
    session.execute(sa.text("DELETE FROM tasks"))
    session.commit()

    answer = client.post(f"{API}/tasks", json=body, headers={"Idempotency-Key": "order-17"})

    assert (answer.status_code, answer.json["code"]) == (410, "gone")
