"""Runs whose definition comes with the request, and runs whose id the caller chose."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from app.clock import utcnow
from app.database import Session
from app.models import Status
from app.services.accounts.quotas import WAITING_TASKS
from app.services.retention import Ages
from app.services.workflows import upkeep
from taskledger_sdk.client import new_id
from tests.integration.api.test_workflows import DEFINITION, RUNS, WORKFLOWS, make
from tests.support.people import make_person
from tests.support.runs import end

BODY = {"definition": DEFINITION, "input": {"words": "abc"}}


def start(client: FlaskClient, **fields: Any) -> Any:
    return client.post(RUNS, json={**BODY, **fields})


def versions(session: Session) -> int:
    return session.scalar(sa.text("SELECT count(*) FROM workflow_versions WHERE workflow_id IS NULL")) or 0


def test_a_run_goes_by_the_definition_that_came_with_it(client: FlaskClient, session: Session):
    answer = start(client, labels={"team": "billing"})
    run = answer.json
    end(session, run["id"], "reverse", "cba")
    end(session, run["id"], "shout", "CBA")

    told = client.get(f"{RUNS}/{run['id']}").json
    assert (answer.status_code, answer.headers["Location"]) == (201, f"{RUNS}/{run['id']}")
    assert (told["workflow"], told["version"], told["status"]) == ("inline", 1, "COMPLETED")
    assert [step["key"] for step in told["steps"]] == ["reverse", "shout"]
    assert told["labels"] == {"team": "billing"}
    assert client.get(f"{RUNS}/{run['id']}/graph").status_code == 200
    assert client.get(WORKFLOWS, query_string={"q": "inline"}).json["items"] == []


def test_it_may_have_a_name_by_which_it_is_found(client: FlaskClient):
    run = start(client, name="nightly import").json

    assert [each["id"] for each in client.get(RUNS, query_string={"workflow": "nightly import"}).json["items"]] == [
        run["id"]
    ]


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"definition": {"steps": {}}}, "definition"),
        ({"definition": {"steps": {"a": {"type": "no_such_type", "payload": 1}}}}, "definition"),
        ({"definition": None}, "definition"),
        ({"input": {}}, "input"),
        ({"input": {"words": 5}}, "input"),
        ({"name": "/"}, "name"),
        ({"colour": "red"}, "colour"),
        ({"id": str(uuid4())}, "id"),
    ],
)
def test_what_cannot_be_run_is_refused_with_its_place_and_leaves_nothing(
    client: FlaskClient, session: Session, fields: Any, place: str
):
    answer = start(client, **fields)

    assert (answer.status_code, list(answer.json["errors"])) == (422, [place]), answer.text
    assert versions(session) == 0


def test_rights_and_quotas_hold(application: Any, session: Session, database_url: str):
    full, limited = make_person(database_url), make_person(database_url)
    session.execute(sa.text("UPDATE users SET max_waiting_tasks = 1 WHERE id = :id"), {"id": full.id})
    session.execute(sa.text("UPDATE users SET allowed_types = '{reverse_string}' WHERE id = :id"), {"id": limited.id})
    session.commit()
    WAITING_TASKS.forget()

    answers = [start(person.client(application)) for person in (full, limited)]

    assert [(each.status_code, each.json["code"]) for each in answers] == [
        (429, "quota_reached"),
        (403, "type_not_allowed"),
    ]
    assert versions(session) == 0


def test_runs_of_others_are_not_there(client: FlaskClient, application: Any, database_url: str):
    run = start(client).json

    other = make_person(database_url).client(application)

    assert other.get(f"{RUNS}/{run['id']}").status_code == 404
    assert other.post(f"{RUNS}/{run['id']}/cancel").status_code == 404


def test_the_same_key_starts_one_run(client: FlaskClient, session: Session):
    headers = {"Idempotency-Key": "import-7"}
    first, again = (client.post(RUNS, json=BODY, headers=headers) for _ in range(2))
    other = client.post(RUNS, json={**BODY, "input": {"words": "x"}}, headers=headers)

    assert (first.status_code, again.status_code, again.json["id"]) == (201, 200, first.json["id"])
    assert other.json["code"] == "idempotency_key_reused"
    assert versions(session) == 1


def test_the_same_id_starts_one_run(client: FlaskClient, session: Session):
    id_ = str(new_id())
    first, again = start(client, id=id_), start(client, id=id_)
    others = [start(client, id=id_, **each) for each in ({"input": {"words": "x"}}, {"priority": "low"}, {"name": "y"})]
    changed = start(client, id=id_, definition={**DEFINITION, "steps": {"reverse": DEFINITION["steps"]["reverse"]}})

    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json["id"] == again.json["id"] == id_
    assert [each.json["code"] for each in (*others, changed)] == ["id_taken"] * 4
    assert versions(session) == 1


def test_the_same_id_starts_one_run_of_a_workflow_whatever_becomes_of_both(client: FlaskClient, session: Session):
    make(client)
    body, path = {"id": str(new_id()), "input": {"words": "abc"}}, f"{WORKFLOWS}/shout/runs"
    first = client.post(path, json=body)
    client.post(f"{RUNS}/{body['id']}/cancel")
    longer = {**DEFINITION, "input": {**DEFINITION["input"], "more": {"type": "string", "default": "x"}}}
    assert client.patch(f"{WORKFLOWS}/shout", json={"definition": longer}).status_code == 200
    client.post(f"{WORKFLOWS}/shout/deactivate")

    again = client.post(path, json=body)
    other = client.post(path, json={**body, "input": {"words": "x"}})

    assert (first.status_code, again.status_code, again.json["id"]) == (201, 200, body["id"])
    assert other.json["code"] == "id_taken"
    assert start(client, id=body["id"]).json["code"] == "id_taken"


def test_the_id_of_somebody_elses_run_tells_nothing(client: FlaskClient, application: Any, database_url: str):
    id_ = str(new_id())
    start(client, id=id_)
    other = make_person(database_url).client(application)

    same, different = start(other, id=id_), start(other, id=id_, input={"words": "guess"})

    assert same.json == different.json
    assert (same.status_code, same.json["code"]) == (422, "id_taken")


def test_a_definition_goes_with_its_last_run(client: FlaskClient, session: Session):
    run, kept = start(client).json, start(client).json
    client.post(f"{RUNS}/{run['id']}/cancel")
    ages = Ages(by_status={Status.CANCELLED: timedelta(days=1)}, events=timedelta(days=1))

    deleted = upkeep.prune(session, ages, now=utcnow() + timedelta(days=2), limit=10)
    session.commit()

    assert (deleted, versions(session)) == (1, 1)
    assert client.get(f"{RUNS}/{kept['id']}").status_code == 200


def test_no_step_begins_before_the_start_of_its_run(client):
    answer = start(client, starts_at="2199-01-01T00:00:00Z")

    [first, *_] = answer.json["steps"]
    assert answer.json["starts_at"] == "2199-01-01T00:00:00Z"
    assert first["task_status"] == "SCHEDULED"
