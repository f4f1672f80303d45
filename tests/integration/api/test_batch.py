"""POST /tasks/batch: each item is accepted or refused by itself, what is accepted is durable."""

import json
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from app.api.tasks import batches
from app.database import Session
from app.messaging import Hint
from app.services.accounts.quotas import WAITING_TASKS
from app.services.submission import storage
from taskledger_sdk.registry import get_type
from tests.integration.api.conftest import TASKS
from tests.support.factories import read_task
from tests.support.people import Person, make_person

BATCH = f"{TASKS}/batch"
HELLO = {"type": "reverse_string", "payload": "hello"}


@pytest.fixture
def hints(monkeypatch: pytest.MonkeyPatch) -> list[Hint]:
    """What was handed to the publisher."""
    handed: list[Hint] = []
    monkeypatch.setattr(storage, "dispatch_soon", lambda *given: handed.extend(given))
    return handed


def post(client: FlaskClient, *tasks: Any, **options: Any) -> dict[str, Any]:
    answer = client.post(BATCH, json={"tasks": list(tasks)}, **options)
    assert answer.status_code == 200, answer.text
    return dict(answer.json)


def count(session: Session) -> int:
    return session.scalar(sa.text("SELECT count(*) FROM tasks")) or 0


def test_every_task_of_a_batch_is_stored_and_answered_in_its_place(client: FlaskClient, session: Session):
    answer = post(client, *({**HELLO, "payload": f"text {n}"} for n in range(30)))

    assert (answer["accepted"], answer["refused"]) == (30, 0)
    assert [(each["index"], each["status"]) for each in answer["results"]] == [(n, 201) for n in range(30)]
    assert [each["task"]["payload"] for each in answer["results"]] == [f"text {n}" for n in range(30)]
    assert count(session) == 30


def test_a_task_of_a_batch_is_answered_as_it_is_read(client: FlaskClient):
    fields = {"name": "x", "priority": "low", "labels": {"team": "billing"}, "max_retries": 0, "timeout": 7}

    [result] = post(client, HELLO | fields)["results"]

    assert client.get(f"{TASKS}/{result['task']['id']}").json == result["task"]


def test_what_is_refused_says_why_and_stops_nobody(client: FlaskClient, session: Session):
    batch = (
        HELLO,
        {"type": "nothing_of_the_kind", "payload": 1},
        {"type": "reverse_string", "payload": 17},
        {"type": "reverse_string"},
        {**HELLO, "colour": "red"},
        {**HELLO, "status": "COMPLETED"},
        {**HELLO, "expires_at": "2020-01-01T00:00:00Z"},
        "hello",
        {**HELLO, "idempotency_key": ""},
        HELLO,
    )

    answer = post(client, *batch)

    assert [each["status"] for each in answer["results"]] == [201, *[422] * 8, 201]
    assert (answer["accepted"], answer["refused"]) == (2, 8)
    problems = [each.get("problem") for each in answer["results"]]
    assert [problem and problem["code"] for problem in problems] == [
        None,
        "unknown_task_type",
        "payload_refused",
        *["validation_failed"] * 6,
        None,
    ]
    assert [sorted(problem["errors"]) for problem in problems if problem][1:] == [
        ["payload"],
        ["payload"],
        ["colour"],
        ["status"],
        ["expires_at"],
        ["_schema"],
        ["idempotency_key"],
    ]
    assert count(session) == 2


def test_a_problem_in_a_batch_is_the_one_of_a_single_submission(client: FlaskClient):
    wrong = {"type": "reverse_string", "payload": 17}

    [result] = post(client, wrong)["results"]

    assert result["problem"] == client.post(TASKS, json=wrong).json


@pytest.mark.parametrize("body", [{}, {"tasks": []}, {"tasks": "x"}, {"tasks": None}, [], {"tasks": [HELLO] * 1001}])
def test_what_is_no_batch_is_refused_as_a_whole(client: FlaskClient, session: Session, body: Any):
    answer = client.post(BATCH, json=body)

    assert (answer.status_code, answer.mimetype) == (422, "application/problem+json")
    assert count(session) == 0


def test_a_thousand_fit_into_a_batch(client: FlaskClient, session: Session):
    assert post(client, *[HELLO] * 1000)["accepted"] == 1000
    assert count(session) == 1000


def test_lines_are_a_batch_too_and_a_bad_line_is_refused_by_itself(client: FlaskClient):
    lines = [json.dumps(HELLO), "", '{"type": ', json.dumps({**HELLO, "payload": "\x00"}), json.dumps(HELLO)]

    answer = client.post(BATCH, data="\n".join(lines), content_type="application/x-ndjson")

    assert answer.status_code == 200, answer.text
    assert [(each["index"], each["status"]) for each in answer.json["results"]] == [
        (0, 201),
        (1, 400),
        (2, 422),
        (3, 201),
    ]


def test_no_lines_at_all_are_refused(client: FlaskClient):
    assert client.post(BATCH, data="\n", content_type="application/x-ndjson").status_code == 422


def test_lines_are_not_taken_elsewhere(client: FlaskClient):
    assert client.post(TASKS, data=json.dumps(HELLO), content_type="application/x-ndjson").status_code == 415


def test_a_repeated_key_returns_the_first_task(client: FlaskClient, session: Session):
    keyed = [{**HELLO, "idempotency_key": f"order-{n}"} for n in range(3)]
    first = post(client, *keyed)

    second = post(client, *reversed(keyed), HELLO)

    assert [each["status"] for each in second["results"]] == [200, 200, 200, 201]
    assert [each["task"] for each in second["results"][:3]] == [each["task"] for each in reversed(first["results"])]
    assert count(session) == 4


def test_a_key_is_shared_with_single_submissions(client: FlaskClient):
    single = client.post(TASKS, json=HELLO, headers={"Idempotency-Key": "order-17"})

    [result] = post(client, {**HELLO, "idempotency_key": "order-17"})["results"]

    assert (result["status"], result["task"]["id"]) == (200, single.json["id"])


def test_a_key_with_another_body_is_refused(client: FlaskClient, session: Session):
    post(client, {**HELLO, "idempotency_key": "order-17"})

    answer = post(client, {**HELLO, "payload": "bye", "idempotency_key": "order-17"}, HELLO)

    assert [each["status"] for each in answer["results"]] == [422, 201]
    assert answer["results"][0]["problem"]["code"] == "idempotency_key_reused"
    assert count(session) == 2


def test_one_key_twice_in_a_batch_makes_one_task(client: FlaskClient, session: Session):
    keyed = {**HELLO, "idempotency_key": "order-17"}

    answer = post(client, keyed, keyed, {**keyed, "payload": "bye"})

    assert [each["status"] for each in answer["results"]] == [201, 200, 422]
    assert len({each["task"]["id"] for each in answer["results"][:2]}) == 1
    assert count(session) == 1


def test_a_refused_item_leaves_its_key_unused(client: FlaskClient):
    post(client, {"type": "reverse_string", "payload": 17, "idempotency_key": "order-17"})

    [result] = post(client, {**HELLO, "idempotency_key": "order-17"})["results"]

    assert result["status"] == 201


def test_the_key_of_a_deleted_task_is_gone(client: FlaskClient, session: Session):
    [result] = post(client, {**HELLO, "idempotency_key": "order-17"})["results"]
    session.execute(sa.text("DELETE FROM tasks WHERE id = :id"), {"id": result["task"]["id"]})
    session.commit()

    [again] = post(client, {**HELLO, "idempotency_key": "order-17"})["results"]

    assert (again["status"], again["problem"]["code"]) == (410, "gone")


def test_with_a_key_for_the_whole_a_repeated_batch_makes_nothing(client: FlaskClient, session: Session):
    header = {"Idempotency-Key": "import-1"}
    first = post(client, HELLO, HELLO, headers=header)

    second = post(client, HELLO, HELLO, headers=header)

    assert [each["status"] for each in second["results"]] == [200, 200]
    assert [each["task"]["id"] for each in second["results"]] == [each["task"]["id"] for each in first["results"]]
    assert count(session) == 2


def test_hints_of_a_batch_are_chunks(client: FlaskClient, hints: list[Hint]):
    later = {**HELLO, "scheduled_at": "2100-01-01T00:00:00Z"}
    urgent = {**HELLO, "priority": "high"}

    answer = post(client, *[HELLO] * 250, urgent, later)

    assert get_type("reverse_string").chunk == 200
    assert sorted(len(hint.ids) for hint in hints) == [1, 50, 200]
    ids = [each["task"]["id"] for each in answer["results"]]
    assert {str(id_) for hint in hints for id_ in hint.ids} == set(ids[:-1])


def test_a_repeated_task_gets_no_second_hint(client: FlaskClient, hints: list[Hint]):
    keyed = {**HELLO, "idempotency_key": "order-17"}
    post(client, keyed)
    hints.clear()

    post(client, keyed)

    assert hints == []


def test_a_batch_belongs_to_who_sent_it_and_starts_a_history(client: FlaskClient, session: Session, admin: Any):
    [result] = post(client, HELLO)["results"]

    task = read_task(session, UUID(result["task"]["id"]))
    assert (task.owner_id, task.due_at) == (admin.id, task.created_at + (task.due_at - task.created_at))
    [event] = client.get(f"{TASKS}/{task.id}/events").json["items"]
    assert event["status"] == "PENDING"


@pytest.fixture
def somebody(application: Any, session: Session, database_url: str) -> FlaskClient:
    """A client of an account with a quota of five waiting tasks."""
    person = make_person(database_url)
    session.execute(sa.text("UPDATE users SET max_waiting_tasks = 5 WHERE id = :id"), {"id": person.id})
    session.commit()
    WAITING_TASKS.forget()
    return person.client(application)


def test_of_a_batch_as_many_are_accepted_as_the_quota_has_room_for(somebody: FlaskClient, session: Session):
    answer = post(somebody, *[HELLO] * 7)

    assert [each["status"] for each in answer["results"]] == [*[201] * 5, 429, 429]
    assert {each["problem"]["code"] for each in answer["results"][5:]} == {"quota_reached"}
    assert (answer["accepted"], answer["refused"], count(session)) == (5, 2, 5)


def test_what_got_no_place_leaves_its_key_and_its_unique_place_free(somebody: FlaskClient, session: Session):
    unique = {"unique": {"by": ["type", "payload"]}}
    keyed = [{**HELLO, "payload": f"{n}", "idempotency_key": f"order-{n}", **unique} for n in range(7)]
    first = post(somebody, *keyed, keyed[6], {**keyed[6], "idempotency_key": "another"})
    session.execute(sa.text("UPDATE tasks SET status = 'CANCELLED'"))
    session.commit()
    WAITING_TASKS.forget()

    again = [post(somebody, each)["results"][0]["status"] for each in (keyed[6], keyed[5])]

    assert [each["status"] for each in first["results"]] == [*[201] * 5, *[429] * 4]
    assert again == [201, 201]


def test_two_batches_at_once_make_a_unique_task_once(
    client: FlaskClient, application: Any, admin: Person, session: Session, monkeypatch: pytest.MonkeyPatch
):
    body = {"tasks": [{**HELLO, "unique": {"by": ["type", "payload"]}}]}
    insert, others = storage.insert_new, ThreadPoolExecutor(1)
    second: list[Future[Any]] = []

    def meanwhile(connection: Any, drafts: Any) -> Any:
        if not second:  # between the place and the task of the first one
            second.append(others.submit(admin.client(application).post, BATCH, json=body))
            wait(second, timeout=0.5)
        return insert(connection, drafts)

    monkeypatch.setattr(storage, "insert_new", meanwhile)
    first = client.post(BATCH, json=body).json["results"]
    [other] = second[0].result().json["results"]

    assert [first[0]["status"], other["status"]] == [201, 200]
    assert count(session) == 1


def test_a_batch_without_keys_is_one_statement_and_leaves_no_transaction_open(client: FlaskClient, application: Any):
    post(client, HELLO, HELLO)  # opens the connection, and prepares the statement
    engine = application.extensions["taskledger.autocommit"]
    statements: list[str] = []
    sa.event.listen(engine, "before_cursor_execute", lambda *args: statements.append(args[2]))

    post(client, HELLO, HELLO)

    [statement] = statements
    assert "; EXECUTE taskledger_insert_2 " in statement
    assert engine.pool.checkedout() == 0


def test_a_payload_that_is_too_large_is_refused_by_itself(client: FlaskClient, application: Any, monkeypatch):
    monkeypatch.setattr(batches.quotas, "current_settings", lambda: _Small(application))
    small, large = HELLO, {**HELLO, "payload": "x" * 2000}

    answer = post(client, small, large)

    assert [each["status"] for each in answer["results"]] == [201, 422]


def test_whoever_prefers_little_gets_ids_and_problems(client: FlaskClient, session: Session):
    wrong = {"type": "reverse_string", "payload": 17}

    answer = client.post(BATCH, json={"tasks": [HELLO, wrong]}, headers={"Prefer": "respond-async, return=minimal"})

    assert answer.headers["Preference-Applied"] == "return=minimal"
    [accepted, refused] = answer.json["results"]
    assert list(accepted["task"]) == ["id"]
    assert read_task(session, UUID(accepted["task"]["id"])).payload == "hello"
    assert refused["problem"]["code"] == "payload_refused"


class _Small:
    """The application's settings, with room for small payloads only."""

    max_payload_bytes = 1024

    def __init__(self, application: Any) -> None:
        self._settings = application.extensions["taskledger.settings"]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._settings, name)
