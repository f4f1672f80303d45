"""Limits, ordering keys and unique tasks over HTTP."""

import threading
from uuid import UUID

import pytest
import sqlalchemy as sa

from app.services import lifecycle
from tests.integration.api.conftest import TASKS
from tests.support.factories import HOLDER, NOON

LIMITS = "/api/v1/limits"


def put(client, place, **body):
    return client.put(f"{LIMITS}/{place}", json=body)


def test_a_limit_is_set_listed_and_removed(client):
    made = put(client, "key/host:*", max_running=5, rate={"count": 10}, reason="a fragile partner")

    assert (made.status_code, made.json["max_running"]) == (200, 5)
    assert made.json["rate"] == {"count": 10, "seconds": 1.0, "burst": None}
    [listed] = client.get(LIMITS).json["items"]
    assert (listed["kind"], listed["name"], listed["reason"]) == ("key", "host:*", "a fragile partner")

    assert client.delete(f"{LIMITS}/key/host:*").status_code == 204
    assert client.get(LIMITS).json["items"] == []
    assert client.delete(f"{LIMITS}/key/host:*").status_code == 404


@pytest.mark.parametrize(
    ("place", "body", "field"),
    [
        ("type/unheard_of", {"max_running": 1}, "name"),
        ("owner/ada", {"max_running": 1}, "name"),
        ("all/everything", {"max_hints": 1}, "name"),
        ("type/reverse_string", {}, "_schema"),
        ("type/reverse_string", {"weight": 2}, "weight"),
        ("key/x", {"max_hints": 2}, "max_hints"),
        ("type/reverse_string", {"max_running": -1}, "max_running"),
        ("type/reverse_string", {"rate": {"count": 0}}, "rate"),
    ],
)
def test_a_limit_that_says_nothing_or_nonsense_is_refused_by_name(client, place, body, field):
    answer = put(client, place, **body)

    assert answer.status_code == 422
    assert field in answer.json["errors"]


@pytest.mark.parametrize("place", ["type/a%00b", "key/%00"])
def test_a_name_that_cannot_be_stored_is_not_there(client, place):
    assert put(client, place, max_running=1).status_code == 404
    assert client.delete(f"{LIMITS}/{place}").status_code == 404


def test_a_limit_of_a_key_is_each_accounts_own_unless_it_is_shared(client):
    assert put(client, "key/host:a", max_running=1).json["shared"] is False
    assert put(client, "key/host:a", max_running=1, shared=True).json["shared"] is True
    assert [each["shared"] for each in client.get(LIMITS).json["items"]] == [True]
    assert "shared" in put(client, "type/reverse_string", max_running=1, shared=True).json["errors"]


def test_an_unknown_kind_is_not_there(client):
    assert put(client, "planet/mars", max_running=1).status_code == 404


def test_a_task_under_a_limit_is_accepted_and_held(client, submit, session):
    put(client, "type/reverse_string", max_running=0)

    task = submit()

    held = session.execute(sa.text("SELECT dispatched_at, gated FROM tasks WHERE id = :id"), {"id": task["id"]}).one()
    assert (task["status"], held.dispatched_at, held.gated) == ("PENDING", None, True)
    [usage] = client.get(f"{LIMITS}/usage").json["items"]
    assert (usage["type"], usage["held"], usage["running"]) == ("reverse_string", 1, 0)


def test_what_a_task_says_of_its_keys_is_shown(submit):
    task = submit(concurrency_key="host:a", ordering_key="order-7", after_failure="release")

    assert (task["concurrency_key"], task["ordering_key"], task["after_failure"]) == ("host:a", "order-7", "release")


@pytest.mark.parametrize(
    "fields",
    [
        {"ordering_key": ""},
        {"ordering_key": "x" * 201},
        {"concurrency_key": 5},
        {"after_failure": "explode"},
        {"unique": {}},
        {"unique": {"by": []}},
        {"unique": {"by": ["owner"]}},
        {"unique": {"by": ["type"], "for": 0}},
        {"unique": {"by": ["type"], "states": ["DONE"]}},
    ],
)
def test_nonsense_about_sharing_is_refused(client, fields):
    answer = client.post(TASKS, json={"type": "reverse_string", "payload": "x", **fields})

    assert answer.status_code == 422
    assert set(fields) <= set(answer.json["errors"])


UNIQUE = {"by": ["type", "payload", "labels.customer"]}


def test_submitting_its_like_again_returns_the_task_that_is_there(client, submit):
    first = submit(unique=UNIQUE, labels={"customer": "7"})

    like = {"type": "reverse_string", "payload": "hello world", "labels": {"customer": "7", "x": "y"}}
    again = client.post(TASKS, json=like | {"unique": UNIQUE})
    other = submit(unique=UNIQUE, labels={"customer": "8"})

    assert (again.status_code, again.json["id"]) == (200, first["id"])
    assert "Idempotent-Replayed" not in again.headers
    assert other["id"] != first["id"]


def test_a_place_is_free_once_its_task_is_in_another_state(client, submit, session):
    first = submit(unique=UNIQUE)
    held = lifecycle.claim(session, "reverse_string", [UUID(first["id"])], holder=HOLDER, lease_seconds=60, now=NOON)
    lifecycle.complete(session, [(held[0], "x")], now=NOON)
    session.commit()

    second = submit(unique=UNIQUE)

    assert second["id"] != first["id"]
    assert submit_again(client, UNIQUE)["id"] == second["id"]


def submit_again(client, unique):
    answer = client.post(TASKS, json={"type": "reverse_string", "payload": "hello world", "unique": unique})
    assert answer.status_code == 200
    return answer.json


def test_a_place_is_kept_for_so_long_only(client, submit, session):
    first = submit(unique=UNIQUE | {"for": 60})
    session.execute(sa.text("UPDATE unique_tasks SET expires_at = now() - interval '1 second'"))
    session.commit()

    assert submit(unique=UNIQUE | {"for": 60})["id"] != first["id"]


def test_a_completed_task_may_keep_its_place(client, submit, session):
    unique = UNIQUE | {"states": ["PENDING", "COMPLETED"]}
    first = submit(unique=unique)
    held = lifecycle.claim(session, "reverse_string", [UUID(first["id"])], holder=HOLDER, lease_seconds=60, now=NOON)
    lifecycle.complete(session, [(held[0], "x")], now=NOON)
    session.commit()

    assert submit_again(client, unique)["id"] == first["id"]


def test_of_many_that_are_submitted_at_once_one_is_accepted(application, admin):
    answers = []

    def send():
        body = {"type": "reverse_string", "payload": "race", "unique": UNIQUE}
        answers.append(admin.client(application).post(TASKS, json=body))

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]
    assert len({answer.json["id"] for answer in answers}) == 1
