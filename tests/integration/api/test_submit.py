"""POST /tasks: what is accepted, and that it is durable."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from app import clock
from app.database import Session
from app.messaging import Hint
from app.services.submission import storage
from tests.integration.api.conftest import TASKS, Submit
from tests.support.factories import read_task


@pytest.fixture
def hints(monkeypatch: pytest.MonkeyPatch) -> list[Hint]:
    """What was handed to the publisher."""
    handed: list[Hint] = []
    monkeypatch.setattr(storage, "dispatch_soon", lambda *given: handed.extend(given))
    return handed


def test_a_task_is_answered_with_201_and_where_it_is(client: FlaskClient):
    answer = client.post(TASKS, json={"type": "reverse_string", "payload": "hello world"})

    assert answer.status_code == 201
    assert answer.headers["Location"] == f"{TASKS}/{answer.json['id']}"
    assert client.get(answer.headers["Location"]).json == answer.json


def test_the_answer_to_a_submission_has_the_etag_of_the_task(client: FlaskClient):
    answer = client.post(TASKS, json={"type": "reverse_string", "payload": "hello world"})

    assert client.get(answer.headers["Location"]).headers["ETag"] == answer.headers["ETag"]


def test_defaults_come_from_the_type(submit: Submit):
    task = submit("fibonacci_calc", 10)

    chosen = {name: task[name] for name in ("status", "priority", "queue", "max_retries", "timeout", "labels", "name")}
    assert chosen == {
        "status": "PENDING",
        "priority": "normal",
        "queue": "tasks",
        "max_retries": 3,
        "timeout": None,
        "labels": {},
        "name": None,
    }


def test_every_field_is_stored_as_sent(submit: Submit):
    later = (datetime.now(UTC) + timedelta(days=2)).replace(microsecond=0)
    sent: dict[str, Any] = {
        "name": "Ünïcödé 😀",
        "priority": "high",
        "max_retries": 0,
        "timeout": 30,
        "labels": {"team": "billing", "run/2026": ""},
        "expires_at": later.isoformat().replace("+00:00", "Z"),
    }

    task = submit(**sent)

    assert {name: task[name] for name in sent} == sent


@pytest.mark.parametrize("payload", ["", "'; DROP TABLE tasks; --", '"\\', "%s %(id)s :id", "<script>", "\u202e\u0001"])
def test_text_is_data_whatever_it_says(submit: Submit, client: FlaskClient, payload: str):
    task = submit(payload=payload, labels={"note": payload})

    read = client.get(f"{TASKS}/{task['id']}").json
    assert (read["payload"], read["labels"]) == (payload, {"note": payload})


def test_a_new_task_is_on_its_way_to_the_broker(submit: Submit, session: Session, hints: list[Hint]):
    task = submit()

    row = read_task(session, UUID(task["id"]))
    assert row.dispatched_at == row.created_at
    assert row.due_at == row.created_at + timedelta(seconds=5)
    assert [hint.ids for hint in hints] == [(row.id,)]


def test_a_task_for_later_is_scheduled_and_no_hint_is_sent(submit: Submit, session: Session, hints: list[Hint]):
    later = clock.utcnow() + timedelta(hours=1)

    task = submit(scheduled_at=later.isoformat())

    row = read_task(session, UUID(task["id"]))
    assert (row.status, row.dispatched_at, row.due_at) == ("SCHEDULED", None, later)
    assert hints == []


def test_a_start_in_the_past_is_now(submit: Submit):
    assert submit(scheduled_at="2020-01-01T00:00:00+02:00")["status"] == "PENDING"


def test_a_submission_is_one_statement_and_leaves_no_transaction_open(
    client: FlaskClient, application: Any, submit: Submit
):
    submit()  # opens the connection, and prepares the statement
    engine = application.extensions["taskledger.autocommit"]
    statements: list[str] = []
    sa.event.listen(engine, "before_cursor_execute", lambda *args: statements.append(args[2]))

    submit()

    [statement] = statements
    assert "; EXECUTE taskledger_insert_1 " in statement
    assert engine.pool.checkedout() == 0


def test_ids_are_in_the_order_of_submission(submit: Submit):
    ids = [submit()["id"] for _ in range(5)]

    assert ids == sorted(ids)


def test_the_first_event_is_the_submission(submit: Submit, client: FlaskClient):
    task = submit()

    [event] = client.get(f"{TASKS}/{task['id']}/events").json["items"]
    assert (event["status"], event["previous_status"], event["attempt"]) == ("PENDING", None, 0)
