"""GET /tasks/{id}: the task, its ETag, and waiting for its end."""

import threading
import time
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient

from app.database import Session
from app.models import Status
from app.web.live import long_poll
from tests.integration.api.conftest import TASKS, Store, Submit
from tests.support.factories import bring_to
from tests.support.people import Person

CONTRACT = {
    "id", "type", "name", "status", "payload", "result", "error", "priority", "queue", "attempt", "max_retries",
    "progress", "labels", "created_at", "scheduled_at", "started_at", "finished_at", "updated_at", "due_at", "links",
}  # fmt: skip


def finish(engine: sa.Engine, task_id: str, result: str = '"done"') -> None:
    with Session(engine) as session, session.begin():
        bring_to(session, "COMPLETED", task_id)
        session.execute(
            sa.text("UPDATE tasks SET result = CAST(:result AS jsonb) WHERE id = :id"),
            {"id": task_id, "result": result},
        )


def test_a_task_has_every_field_of_the_contract(submit: Submit, client: FlaskClient):
    task = client.get(f"{TASKS}/{submit()['id']}").json

    assert set(task) >= CONTRACT
    assert client.get(task["links"]["self"]).json == task
    assert client.get(task["links"]["events"]).status_code == 200


def test_moments_are_in_utc_with_z(submit: Submit):
    task = submit(scheduled_at="2100-01-01T02:00:00+02:00")

    assert task["scheduled_at"] == "2100-01-01T00:00:00Z"
    assert task["created_at"].endswith("Z")


def test_an_error_has_type_and_message_and_no_traceback(store: Store, client: FlaskClient):
    error = {"type": "ValueError", "message": "no", "traceback": "Traceback (most recent call last): ..."}
    task = store(status=Status.FAILED, error=error)

    assert client.get(f"{TASKS}/{task.id}").json["error"] == {"type": "ValueError", "message": "no"}


def test_large_integers_are_exact(store: Store, client: FlaskClient):
    task = store(status=Status.COMPLETED, type="fibonacci_calc", payload=1000, result=10**208 + 7)

    assert client.get(f"{TASKS}/{task.id}").json["result"] == 10**208 + 7


@pytest.mark.parametrize("template", ['"{}"', 'W/"{}"', '"other", "{}"', "*"])
def test_an_unchanged_task_is_304(submit: Submit, client: FlaskClient, template: str):
    path = f"{TASKS}/{submit()['id']}"
    etag = client.get(path).headers["ETag"].strip('"')

    answer = client.get(path, headers={"If-None-Match": template.format(etag)})

    assert (answer.status_code, answer.data) == (304, b"")
    assert answer.headers["ETag"] == f'"{etag}"'


def test_a_changed_task_is_not_304(submit: Submit, client: FlaskClient):
    path = f"{TASKS}/{submit()['id']}"
    etag = client.get(path).headers["ETag"]

    client.patch(path, json={"name": "new"})

    assert client.get(path, headers={"If-None-Match": etag}).json["name"] == "new"


def test_waiting_ends_when_the_task_does(submit: Submit, client: FlaskClient, engine: sa.Engine):
    task_id = submit()["id"]
    threading.Timer(0.2, finish, [engine, task_id]).start()

    started = time.monotonic()
    answer = client.get(f"{TASKS}/{task_id}?wait=30").json

    assert (answer["status"], answer["result"]) == ("COMPLETED", "done")
    assert 0.15 < time.monotonic() - started < 5


def test_waiting_for_a_finished_task_takes_no_time(store: Store, client: FlaskClient):
    task = store(status=Status.COMPLETED, result=1)

    started = time.monotonic()
    assert client.get(f"{TASKS}/{task.id}?wait=30").json["result"] == 1
    assert time.monotonic() - started < 5


def test_waiting_ends_after_the_seconds_asked_for(submit: Submit, client: FlaskClient):
    task_id = submit()["id"]

    started = time.monotonic()
    assert client.get(f"{TASKS}/{task_id}?wait=0.2").json["status"] == "PENDING"
    assert 0.2 <= time.monotonic() - started < 5


def test_many_wait_for_many_tasks_and_each_gets_its_own(
    submit: Submit, admin: Person, application: Flask, engine: sa.Engine
):
    ids = [submit()["id"] for _ in range(8)]
    answers: dict[str, Any] = {}

    def wait(task_id: str) -> None:
        answers[task_id] = admin.client(application).get(f"{TASKS}/{task_id}?wait=30").json["result"]

    threads = [threading.Thread(target=wait, args=[task_id]) for task_id in ids]
    for thread in threads:
        thread.start()
    for number, task_id in enumerate(ids):
        finish(engine, task_id, str(number))
    for thread in threads:
        thread.join(20)

    assert answers == {task_id: number for number, task_id in enumerate(ids)}


def test_when_too_many_wait_the_answer_comes_at_once(
    submit: Submit, client: FlaskClient, application: Flask, monkeypatch: pytest.MonkeyPatch
):
    task_id = submit()["id"]
    nobody = long_poll.Hub(application.extensions["taskledger.autocommit"], most=0)
    monkeypatch.setitem(application.extensions, "taskledger.hub", nobody)

    started = time.monotonic()
    assert client.get(f"{TASKS}/{task_id}?wait=30").json["status"] == "PENDING"
    assert time.monotonic() - started < 5


def test_waiting_survives_a_look_that_fails(
    submit: Submit, client: FlaskClient, application: Flask, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
):
    class Failing(long_poll.Hub):
        looks = 0

        def _look(self, ids: Any) -> Any:
            self.looks += 1
            if self.looks == 1:
                raise sa.exc.OperationalError("SELECT", {}, Exception("away"))
            return super()._look(ids)

    hub = Failing(application.extensions["taskledger.autocommit"], most=1)
    monkeypatch.setitem(application.extensions, "taskledger.hub", hub)
    task_id = submit()["id"]
    threading.Timer(0.1, finish, [engine, task_id]).start()

    assert client.get(f"{TASKS}/{task_id}?wait=30").json["status"] == "COMPLETED"
    assert hub.looks > 1


def test_a_task_that_is_deleted_while_somebody_waits_is_404(store: Store, client: FlaskClient, engine: sa.Engine):
    task = store()

    def delete() -> None:
        with engine.begin() as connection:
            connection.execute(sa.text("DELETE FROM tasks WHERE id = :id"), {"id": task.id})

    threading.Timer(0.1, delete).start()

    assert client.get(f"{TASKS}/{task.id}?wait=0.5").status_code == 404


def test_a_waiting_request_holds_no_connection(submit: Submit, application: Flask):
    task_id = submit()["id"]
    pool = application.extensions["taskledger.autocommit"].pool
    thread = threading.Thread(target=lambda: application.test_client().get(f"{TASKS}/{task_id}?wait=1.5"))
    thread.start()
    taken = []
    for _ in range(40):
        time.sleep(0.01)
        taken.append(pool.checkedout())
    thread.join()

    # Only the looks of the hub take one, for less than a millisecond each.
    assert sum(taken) < len(taken) / 2
