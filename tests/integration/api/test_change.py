"""PATCH and DELETE /tasks/{id}: what may change when, and who wins."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from app import clock
from app.database import Session
from app.models import FINISHED, UNCLAIMED, Status
from tests.integration.api.conftest import TASKS, Store, Submit
from tests.support.factories import pass_events_on, read_task, statuses_of

STARTED = sorted({Status.PROCESSING, *FINISHED})
UNFINISHED = sorted({Status.PROCESSING, *UNCLAIMED})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "new"),
        ("name", None),
        ("payload", "other"),
        ("priority", "low"),
        ("max_retries", 9),
        ("timeout", 60),
        ("timeout", None),
        ("labels", {"b": "2"}),
        ("labels", {}),
        ("expires_at", "2100-01-01T00:00:00Z"),
        ("expires_at", None),
    ],
)
def test_a_field_is_changed_and_the_others_stay(client: FlaskClient, submit: Submit, field: str, value: Any):
    before = submit(name="old", priority="high", max_retries=1, timeout=5, labels={"a": "1"})

    answer = client.patch(f"{TASKS}/{before['id']}", json={field: value})

    assert answer.status_code == 200, answer.text
    after = {name: value for name, value in answer.json.items() if name not in ("updated_at", "due_at")}
    assert after == {name: before[name] for name in after} | {field: value}
    assert client.get(f"{TASKS}/{before['id']}").json == answer.json


@pytest.mark.parametrize("status", sorted(UNCLAIMED))
def test_a_task_that_waits_can_be_changed(client: FlaskClient, store: Store, status: Status):
    task = store(status=status)

    assert client.patch(f"{TASKS}/{task.id}", json={"name": "new"}).json["name"] == "new"


@pytest.mark.parametrize("status", STARTED)
def test_a_task_that_has_started_is_409_and_says_its_status(client: FlaskClient, store: Store, status: Status):
    task = store(status=status, name="old")

    answer = client.patch(f"{TASKS}/{task.id}", json={"name": "new"})

    assert (answer.status_code, answer.json["code"]) == (409, "wrong_status")
    assert status in answer.json["detail"]
    assert client.get(f"{TASKS}/{task.id}").json["name"] == "old"


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"payload": 5}, "payload"),
        ({"payload": None}, "payload"),
        ({"type": "uppercase_text"}, "type"),
        ({"status": "COMPLETED"}, "status"),
        ({"result": 1}, "result"),
        ({"due_at": "2100-01-01T00:00:00Z"}, "due_at"),
        ({"nmae": "x"}, "nmae"),
        ({"priority": None}, "priority"),
        ({"timeout": 604_801}, "timeout"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"scheduled_at": "2101-01-01T00:00:00Z", "expires_at": "2100-01-01T00:00:00Z"}, "expires_at"),
    ],
)
def test_a_bad_change_is_422_and_changes_nothing(
    client: FlaskClient, submit: Submit, fields: dict[str, Any], path: str
):
    before = submit(name="old")

    answer = client.patch(f"{TASKS}/{before['id']}", json={"name": "new"} | fields)

    assert (answer.status_code, list(answer.json["errors"])) == (422, [path])
    assert client.get(f"{TASKS}/{before['id']}").json == before


def test_a_start_moved_behind_the_expiry_is_422(client: FlaskClient, submit: Submit):
    task = submit(expires_at="2100-01-01T00:00:00Z")

    answer = client.patch(f"{TASKS}/{task['id']}", json={"scheduled_at": "2101-01-01T00:00:00Z"})

    assert (answer.status_code, list(answer.json["errors"])) == (422, ["expires_at"])


def test_a_start_moved_to_later_makes_the_task_scheduled(client: FlaskClient, submit: Submit, session: Session):
    task = submit()
    later = clock.utcnow() + timedelta(hours=1)

    answer = client.patch(f"{TASKS}/{task['id']}", json={"scheduled_at": later.isoformat()}).json

    row = read_task(session, UUID(task["id"]))
    assert answer["status"] == "SCHEDULED"
    assert (row.due_at, row.dispatched_at) == (later, None)
    assert statuses_of(session, row.id) == ["PENDING", "SCHEDULED"]


@pytest.mark.parametrize("start", [None, "2020-01-01T00:00:00Z"])
def test_a_start_taken_back_makes_the_task_pending(client: FlaskClient, submit: Submit, start: str | None):
    task = submit(scheduled_at="2100-01-01T00:00:00Z")

    answer = client.patch(f"{TASKS}/{task['id']}", json={"scheduled_at": start}).json

    assert (answer["status"], answer["scheduled_at"]) == ("PENDING", start)


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
@pytest.mark.parametrize("tags", ['"0"', '"zz"', 'W/"1"', "nonsense", '"1", "2"', '"", ","', "9" * 5000])
def test_a_change_of_something_older_is_412(client: FlaskClient, store: Store, method: str, tags: str):
    task = store(status=Status.PENDING if method == "PATCH" else Status.COMPLETED)

    body = {"json": {"name": "x"}} if method == "PATCH" else {}
    answer = client.open(f"{TASKS}/{task.id}", method=method, headers={"If-Match": tags}, **body)

    assert (answer.status_code, answer.json["code"]) == (412, "precondition_failed")
    assert client.get(f"{TASKS}/{task.id}").status_code == 200


@pytest.mark.parametrize("template", ["{}", "W/{}", '"0", {}', "*"])
def test_a_change_of_what_was_read_succeeds(client: FlaskClient, submit: Submit, template: str):
    path = f"{TASKS}/{submit()['id']}"
    etag = client.get(path).headers["ETag"]

    answer = client.patch(path, json={"name": "new"}, headers={"If-Match": template.format(etag)})

    assert answer.status_code == 200
    assert answer.headers["ETag"] not in ("", etag)


def test_of_two_changes_of_the_same_state_one_wins(client: FlaskClient, submit: Submit):
    path = f"{TASKS}/{submit()['id']}"
    read = {"If-Match": client.get(path).headers["ETag"]}

    answers = [client.patch(path, json={"name": name}, headers=read).status_code for name in "ab"]

    assert answers == [200, 412]


@pytest.mark.parametrize("status", sorted(FINISHED))
def test_a_finished_task_is_deleted_with_its_history(
    client: FlaskClient, store: Store, session: Session, status: Status
):
    task = store(status=status)
    pass_events_on(session)

    answer = client.delete(f"{TASKS}/{task.id}")

    assert (answer.status_code, answer.data) == (204, b"")
    assert client.get(f"{TASKS}/{task.id}").status_code == 404
    events = sa.text("SELECT count(*) FROM task_events WHERE task_id = :id")
    assert session.scalar(events, {"id": task.id}) == 0


def test_a_task_whose_events_have_not_been_passed_on_is_not_deleted(client: FlaskClient, store: Store):
    task = store(status=Status.COMPLETED)

    answer = client.delete(f"{TASKS}/{task.id}")

    assert (answer.status_code, answer.json["code"]) == (409, "wrong_status")
    assert "passed on" in answer.json["detail"]
    assert client.get(f"{TASKS}/{task.id}").status_code == 200


@pytest.mark.parametrize("status", UNFINISHED)
def test_an_unfinished_task_is_not_deleted(client: FlaskClient, store: Store, status: Status):
    task = store(status=status)

    answer = client.delete(f"{TASKS}/{task.id}")

    assert (answer.status_code, answer.json["code"]) == (409, "wrong_status")
    assert status in answer.json["detail"]
    assert client.get(f"{TASKS}/{task.id}").status_code == 200
