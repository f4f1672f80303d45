"""Ids that callers choose: the same submission again leads to the first one, and a taken id tells nothing."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from app.clock import utcnow
from app.database import Session
from app.services import admission
from app.services.accounts.quotas import WAITING_TASKS
from app.services.submission import chosen_ids, draft, storage
from app.web.schemas.tasks import SubmitTask
from taskledger_sdk.client import new_id
from tests.integration.api.conftest import TASKS
from tests.support.factories import read_task
from tests.support.locks import somebody_waits
from tests.support.people import Person, make_person
from tests.support.servers.waiting import wait_for

BATCH = f"{TASKS}/batch"
HELLO = {"type": "reverse_string", "payload": "hello"}
LATER = {"scheduled_at": "2100-01-01T00:00:00Z"}


def named(**fields: Any) -> dict[str, Any]:
    return {**HELLO, "id": str(new_id()), **fields}


def at(moment: datetime) -> str:
    """An id that says this moment."""
    number = int(moment.timestamp() * 1_000) << 80 | new_id().int & (1 << 80) - 1
    return str(UUID(int=number))


def count(session: Session) -> int:
    return session.scalar(sa.text("SELECT count(*) FROM tasks")) or 0


def batch(client: FlaskClient, *items: Any, **options: Any) -> list[dict[str, Any]]:
    answer = client.post(BATCH, json={"tasks": list(items)}, **options)
    assert answer.status_code == 200, answer.text
    return list(answer.json["results"])


@pytest.fixture
def other(application: Any, database_url: str) -> FlaskClient:
    return make_person(database_url).client(application)


@pytest.fixture(params=["far from the quota", "near the quota"])
def room(request: pytest.FixtureRequest, session: Session, admin: Person) -> None:
    """Whether the service must ask the database for room, which is another way through the code."""
    if request.param == "near the quota":
        session.execute(sa.text("UPDATE users SET max_waiting_tasks = 500 WHERE id = :id"), {"id": admin.id})
        session.commit()
    WAITING_TASKS.forget()


@pytest.mark.usefixtures("room")
@pytest.mark.parametrize("fields", [{}, {"priority": "high", "labels": {"team": "billing"}, "max_retries": 3}, LATER])
def test_the_same_submission_again_is_answered_with_the_first_one(client: FlaskClient, session: Session, fields: Any):
    body = named(**fields)

    first, again = client.post(TASKS, json=body), client.post(TASKS, json=dict(reversed(body.items())))
    [in_batch] = batch(client, body)
    lines = client.post(BATCH, data=json.dumps(body), content_type="application/x-ndjson").json["results"]

    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json["id"] == body["id"]
    assert again.json == first.json == in_batch["task"] == lines[0]["task"]
    assert (in_batch["status"], lines[0]["status"], count(session)) == (200, 200, 1)
    assert again.headers["Location"] == first.headers["Location"]


@pytest.mark.usefixtures("room")
@pytest.mark.parametrize(
    "change", [{"payload": "other"}, {"type": "uppercase_text"}, {"priority": "high"}, {"name": "x"}]
)
def test_an_id_with_another_body_is_taken(client: FlaskClient, session: Session, change: Any):
    body = named()
    client.post(TASKS, json=body)

    answer = client.post(TASKS, json={**body, **change})
    [item] = batch(client, {**body, **change})

    assert (answer.status_code, answer.json["code"], list(answer.json["errors"])) == (422, "id_taken", ["id"])
    assert item["problem"] == answer.json
    assert count(session) == 1


@pytest.mark.usefixtures("room")
def test_another_account_learns_nothing_from_a_taken_id(client: FlaskClient, other: FlaskClient, session: Session):
    body = named(payload="secret of the first")
    client.post(TASKS, json=body)

    same, different = other.post(TASKS, json=body), other.post(TASKS, json={**body, "payload": "guess"})
    items = batch(other, body, {**body, "payload": "guess"})

    assert (same.status_code, same.json["code"]) == (422, "id_taken")
    assert same.json == different.json == items[0]["problem"] == items[1]["problem"]
    assert other.get(f"{TASKS}/{body['id']}").status_code == 404
    assert count(session) == 1


def test_an_admin_does_not_submit_what_is_somebody_elses(client: FlaskClient, other: FlaskClient):
    body = named()
    other.post(TASKS, json=body)

    assert client.post(TASKS, json=body).json["code"] == "id_taken"


def test_the_id_of_a_task_that_the_service_named_is_taken(client: FlaskClient):
    first = client.post(TASKS, json=HELLO).json

    assert client.post(TASKS, json={**HELLO, "id": first["id"]}).json["code"] == "id_taken"


@pytest.mark.parametrize(
    "id_",
    [
        str(uuid4()),
        "import-7",
        7,
        None,
        "018f3c5e7d2a70008000012345678 9ab",
        at(datetime.now(UTC) - timedelta(hours=25)),
        at(datetime.now(UTC) + timedelta(hours=25)),
    ],
    ids=["version 4", "no UUID", "a number", "null", "a space", "yesterday", "tomorrow"],
)
def test_an_id_that_does_not_say_a_moment_of_today_is_refused(client: FlaskClient, session: Session, id_: Any):
    answers = [client.post(TASKS, json={**HELLO, "id": id_, **more}) for more in ({}, {"priority": "low"})]
    [item] = batch(client, {**HELLO, "id": id_})

    assert [(each.status_code, each.json["code"]) for each in answers] == [(422, "validation_failed")] * 2
    assert [list(each.json["errors"]) for each in answers] == [["id"]] * 2
    assert item["problem"] == answers[0].json
    assert count(session) == 0


@pytest.mark.parametrize("away", [timedelta(hours=-23), timedelta(hours=23)])
def test_an_id_of_the_last_or_next_day_is_good(client: FlaskClient, away: timedelta):
    assert client.post(TASKS, json={**HELLO, "id": at(datetime.now(UTC) + away)}).status_code == 201


def test_a_task_that_was_changed_and_ran_is_still_what_its_submission_made(client: FlaskClient, session: Session):
    body = named(**LATER)
    client.post(TASKS, json=body)
    client.patch(f"{TASKS}/{body['id']}", json={"payload": "changed", "priority": "high"})
    client.post(f"{TASKS}/{body['id']}/cancel")

    answer = client.post(TASKS, json=body)

    assert (answer.status_code, answer.json["payload"], answer.json["status"]) == (200, "changed", "CANCELLED")


def test_an_id_is_good_for_as_long_as_its_task(client: FlaskClient, session: Session):
    body = named()
    client.post(TASKS, json=body)
    session.execute(sa.text("DELETE FROM tasks"))
    session.commit()

    assert client.post(TASKS, json={**body, "payload": "another"}).status_code == 201


@pytest.mark.usefixtures("room")
def test_one_id_twice_in_a_batch_makes_one_task(client: FlaskClient, session: Session):
    body, more = named(), [named() for _ in range(20)]

    results = batch(client, body, *more, {**body, "payload": "other"}, body)

    assert [results[place]["status"] for place in (0, -2, -1)] == [201, 422, 200]
    assert results[-2]["problem"]["code"] == "id_taken"
    assert results[-1]["task"] == results[0]["task"]
    assert count(session) == 21


@pytest.mark.usefixtures("room")
def test_a_batch_sent_again_makes_what_is_missing(client: FlaskClient, session: Session):
    items = [named(payload=f"n {n}") for n in range(30)]
    batch(client, *items[10:20])

    results = batch(client, *items)

    assert [each["status"] for each in results] == [*[201] * 10, *[200] * 10, *[201] * 10]
    assert [each["task"]["payload"] for each in results] == [f"n {n}" for n in range(30)]
    assert count(session) == 30


def test_a_repeated_submission_needs_no_room(application: Any, session: Session, database_url: str):
    person = make_person(database_url)
    session.execute(sa.text("UPDATE users SET max_waiting_tasks = 1 WHERE id = :id"), {"id": person.id})
    session.commit()
    WAITING_TASKS.forget()
    client, body = person.client(application), named()
    client.post(TASKS, json=body)

    assert client.post(TASKS, json=named()).status_code == 429
    assert client.post(TASKS, json=body).status_code == 200
    assert [each["status"] for each in batch(client, body, named())] == [200, 429]


def test_with_unique_or_a_key_an_id_means_the_same(client: FlaskClient, session: Session):
    body = named(unique={"by": ["type", "payload"]})
    headers = {"Idempotency-Key": "order-7"}

    statuses = [client.post(TASKS, json=body, headers=each).status_code for each in ({}, {}, headers, headers)]
    like = client.post(TASKS, json={**body, "id": str(new_id())})
    changed = client.post(TASKS, json={**body, "payload": "other"})

    assert statuses == [201, 200, 200, 200]
    assert (like.status_code, like.json["id"]) == (200, body["id"])
    assert changed.json["code"] == "id_taken"
    assert client.post(TASKS, json={**HELLO, "payload": "other", "unique": body["unique"]}).status_code == 201
    assert count(session) == 2


def test_a_refused_id_leaves_the_key_and_the_place_of_its_item_free(client: FlaskClient, session: Session):
    taken = named()
    client.post(TASKS, json=taken)
    unique = {"unique": {"by": ["type", "payload"]}}

    [refused] = batch(client, {**taken, "payload": "other", "idempotency_key": "order-8", **unique})
    [made] = batch(client, {**HELLO, "payload": "other", "idempotency_key": "order-8", **unique})

    assert (refused["problem"]["code"], made["status"], count(session)) == ("id_taken", 201, 2)


def test_many_at_the_same_moment_make_one_task(application: Any, admin: Person, session: Session):
    bodies = [named(payload=f"n {n}") for n in range(20)]

    def all_of_them(_: int) -> list[int]:
        client = admin.client(application)
        return [client.post(TASKS, json=body).status_code for body in bodies]

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(all_of_them, range(8)))

    assert count(session) == 20
    assert [sorted(each) for each in zip(*statuses, strict=True)] == [[*[200] * 7, 201]] * 20


@pytest.mark.usefixtures("engine")  # which empties the tables of what is committed here
@pytest.mark.parametrize("second", ["the same", "another"])
def test_whoever_comes_while_the_first_is_not_committed_waits_for_it(
    application: Any, admin: Person, session: Session, second: str
):
    """The other one has an ordering key: the gate gives it a place in the order before its id is found to be taken."""
    body = named()
    submission = SubmitTask().load(body)
    new = draft(submission, owner_id=admin.id, now=utcnow())
    storage.insert_new(session.connection(), [storage.Identified(new, submission.chosen.digest)])
    sent = body if second == "the same" else {**body, "ordering_key": "customer-1"}

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(admin.client(application).post, TASKS, json=sent)
        wait_for(somebody_waits)
        session.commit()
        told = answer.result()

    assert told.status_code == (200 if second == "the same" else 422)
    assert session.scalar(sa.text("SELECT count(*) FROM admissions")) == 0


@pytest.mark.usefixtures("room")
def test_a_task_sent_again_keeps_its_one_place_in_the_order(client: FlaskClient, session: Session):
    body = named(ordering_key="customer-1")
    client.post(TASKS, json=body)
    place = session.execute(sa.text("SELECT task_id, seq, state FROM admissions")).one()
    session.commit()

    again = client.post(TASKS, json=body)
    [other_body] = batch(client, {**body, "ordering_key": "customer-2"})

    assert (again.status_code, other_body["status"]) == (200, 422)
    assert session.execute(sa.text("SELECT task_id, seq, state FROM admissions")).all() == [place]


def test_a_place_without_a_task_is_taken_away_when_its_turn_comes(client: FlaskClient, session: Session):
    """Of a process that was killed between two lines."""
    client.post(TASKS, json=named(ordering_key="customer-1"))
    session.execute(sa.text("UPDATE admissions SET task_id = :id, state = 'held'"), {"id": new_id()})
    session.commit()

    let_go = admission.admit(
        session, admission.LaneCursor(boost_after=timedelta(hours=1)), admission.StrideScheduler(), now=utcnow()
    )

    assert let_go == []
    assert session.scalar(sa.text("SELECT count(*) FROM admissions")) == 0


def test_what_has_ids_is_one_statement_too_and_a_plain_submission_is_what_it_was(client: FlaskClient, application: Any):
    client.post(TASKS, json=named())  # opens the connection, and prepares the statement
    engine = application.extensions["taskledger.autocommit"]
    statements: list[str] = []
    sa.event.listen(engine, "before_cursor_execute", lambda *args: statements.append(args[2]))

    client.post(TASKS, json=named())
    batch(client, *(named() for _ in range(20)))
    client.post(TASKS, json=HELLO)

    single, many, plain = [each for each in statements if "PREPARE" not in each]
    assert "EXECUTE taskledger_insert_new_1 " in single
    assert "ON CONFLICT (id) DO NOTHING" in many
    assert "EXECUTE taskledger_insert_1 " in plain


def test_a_digest_of_a_sensitive_body_is_keyed(client: FlaskClient, session: Session):
    said = {"type": "x", "payload": "4711"}
    plain, one, other = (chosen_ids.digest_of(said, secret) for secret in ("", "a" * 32, "b" * 32))

    assert len({plain, one, other}) == 3
    turned = chosen_ids.chosen(new_id(), said, secrets=("b" * 32, "a" * 32))
    assert turned.is_of(bytes.fromhex(one))


class TestQueue:
    def test_a_task_goes_to_the_queue_that_was_asked_for(self, client: FlaskClient, session: Session):
        task = client.post(TASKS, json={**HELLO, "queue": "webhooks"}).json
        [item] = batch(client, {**HELLO, "queue": "webhooks"})

        assert task["queue"] == item["task"]["queue"] == "webhooks"
        assert read_task(session, UUID(task["id"])).queue == "webhooks"

    @pytest.mark.parametrize("queue", ["nobody_looks_here", "", "Tasks!", None, 5])
    def test_one_that_no_type_names_is_refused(self, client: FlaskClient, queue: Any):
        answer = client.post(TASKS, json={**HELLO, "queue": queue})

        assert (answer.status_code, list(answer.json["errors"])) == (422, ["queue"])

    def test_one_that_the_account_may_not_use_is_refused(self, application: Any, session: Session, database_url: str):
        person = make_person(database_url)
        session.execute(sa.text("UPDATE users SET allowed_queues = '{tasks}' WHERE id = :id"), {"id": person.id})
        session.commit()
        client = person.client(application)

        answers = [client.post(TASKS, json={**HELLO, **more}).status_code for more in ({}, {"queue": "webhooks"})]

        assert answers == [201, 403]


class TestOrigin:
    TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    def test_each_item_may_say_which_request_it_stands_for(self, client: FlaskClient, session: Session):
        said = {"request_id": "order-7", "traceparent": self.TRACE}
        first, second = batch(client, {**HELLO, **said}, HELLO, headers={"X-Request-ID": "batch-1"})

        rows = [read_task(session, UUID(each["task"]["id"])) for each in (first, second)]
        assert [(each.request_id, each.traceparent) for each in rows] == [("order-7", self.TRACE), ("batch-1", None)]

    def test_what_is_said_of_the_request_makes_no_other_submission(self, client: FlaskClient):
        body = named()
        client.post(TASKS, json=body)

        results = batch(client, {**body, "request_id": "again"}, {**body, "traceparent": self.TRACE})

        assert [each["status"] for each in results] == [200, 200]

    @pytest.mark.parametrize("field", [{"request_id": "two\nlines"}, {"traceparent": "00-0-0-00"}])
    def test_what_is_none_is_refused(self, client: FlaskClient, field: Any):
        [item] = batch(client, {**HELLO, **field})

        assert (item["status"], list(item["problem"]["errors"])) == (422, list(field))

    def test_a_single_submission_says_it_in_headers_only(self, client: FlaskClient):
        assert client.post(TASKS, json={**HELLO, "request_id": "x"}).status_code == 422
