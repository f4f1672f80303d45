"""Repairs and causes over HTTP: the dry run, its token, and what is refused with the place."""

import pytest
import sqlalchemy as sa

from app.clock import utcnow
from app.dispatcher.repairs import Repairs
from app.models import Status
from app.services import lifecycle
from app.services.recovery.failures import Failure
from app.web.access import KEYS
from tests.support.factories import HOLDER, make_claim, read_task
from tests.support.people import make_person
from tests.support.servers.waiting import wait_for

REPAIRS = "/api/v1/repairs"
REVERSE = {"type": "reverse_string"}
MENDED = [{"op": "replace", "path": "", "value": "mended"}]
MAIL = {"to": "ann@example.org", "subject": "Hello", "text": "It works."}
ALL_AT_ONCE = {"canary": 0, "per_second": 1_000, "stop_above_failure_ratio": None}


def dead(session, number=1, *, message="no such city", **columns):
    ids = []
    for _ in range(number):
        held = make_claim(session, now=utcnow(), **columns)
        lifecycle.fail(session, held, Failure(type="LookupError", message=message), now=utcnow())
        ids.append(held.id)
    session.commit()
    return ids


def dry_run(client, **fields):
    return client.post(REPAIRS, json={"filter": REVERSE, "dry_run": True, **ALL_AT_ONCE, **fields})


def start(client, **fields):
    answer = client.post(REPAIRS, json={"token": dry_run(client, **fields).json["token"]})
    assert answer.status_code == 201, answer.text
    return answer.json


def work(times=4):
    for _ in range(times):
        Repairs().run_once(utcnow())


def work_until_replayed(session, count):
    """The rate is of real seconds."""

    def is_replayed():
        work(1)
        return session.scalar(sa.text("SELECT sum(replayed) FROM repairs")) == count

    wait_for(is_replayed, timeout=20)
    session.commit()


def test_a_dry_run_counts_shows_both_payloads_and_changes_nothing(client, session):
    [id_] = dead(session, payload="broken")

    answer = dry_run(client, patch=MENDED)

    assert (answer.status_code, answer.json["count"], answer.json["refused_count"]) == (200, 1, 0)
    assert answer.json["sample"] == [{"task_id": str(id_), "before": "broken", "after": "mended"}]
    assert read_task(session, id_).status == Status.FAILED


def test_a_dry_run_names_what_the_patch_would_make_invalid(client, session):
    [id_] = dead(session)

    answer = dry_run(client, patch=[{"op": "replace", "path": "", "value": 5}])

    assert answer.json["refused_count"] == 1
    assert answer.json["refused"][0]["task_id"] == str(id_)
    assert "payload" in answer.json["refused"][0]["problem"]


def test_with_the_token_the_repair_starts_and_the_dispatcher_does_it(client, session):
    ids = dead(session, 3, payload="broken")

    repair = start(client, patch=MENDED)
    work_until_replayed(session, 3)

    assert {read_task(session, id_).payload for id_ in ids} == {"mended"}
    shown = client.get(repair["links"]["self"]).json
    assert (shown["status"], shown["replayed"], shown["counts"]["unended"]) == ("RUNNING", 3, 3)
    assert [item["outcome"] for item in client.get(repair["links"]["items"]).json["items"]] == [None] * 3


def test_the_same_request_with_the_token_starts_it_too_and_another_does_not(client, session):
    dead(session)
    asked = {"filter": REVERSE, "patch": MENDED, **ALL_AT_ONCE}
    token = client.post(REPAIRS, json={**asked, "dry_run": True}).json["token"]

    other = client.post(REPAIRS, json={**asked, "patch": [{**MENDED[0], "value": "else"}], "token": token})
    same = client.post(REPAIRS, json={**asked, "token": token})

    assert (other.status_code, list(other.json["errors"])) == (422, ["patch"])
    assert same.status_code == 201, same.text


@pytest.mark.parametrize("path", ["/id", "/status", "/payload/to", "/owner_id"])
def test_a_patch_that_touches_anything_but_the_payload_is_refused_with_the_place(client, session, path):
    dead(session, type="send_email", payload=MAIL)

    answer = dry_run(client, filter={"type": "send_email"}, patch=[{"op": "replace", "path": path, "value": "x"}])

    assert (answer.status_code, answer.json["code"]) == (422, "validation_failed")
    assert path in answer.json["errors"]["patch"]["0"]["path"][0]


def test_a_token_is_good_for_one_repair(client, session):
    dead(session, 2)
    token = dry_run(client).json["token"]
    repair = client.post(REPAIRS, json={"token": token}).json
    client.post(f"{REPAIRS}/{repair['id']}/stop")

    answer = client.post(REPAIRS, json={"token": token})

    assert answer.status_code == 422
    assert f"{REPAIRS}/{repair['id']}" in answer.json["errors"]["token"][0]


@pytest.mark.parametrize("body", [{}, {"token": "x"}, {"filter": REVERSE}, {"dry_run": True}])
def test_without_a_token_of_a_dry_run_nothing_starts(client, session, body):
    dead(session)

    assert client.post(REPAIRS, json=body).status_code == 422
    assert client.get(REPAIRS).json["items"] == []


def test_a_token_is_its_callers(client, session, application, database_url):
    dead(session)
    token = dry_run(client).json["token"]

    answer = make_person(database_url).client(application).post(REPAIRS, json={"token": token})

    assert (answer.status_code, list(answer.json["errors"])) == (422, ["token"])


def test_a_second_repair_of_the_same_tasks_is_refused_with_the_path_of_the_first(client, session):
    dead(session, 2)
    token = dry_run(client).json["token"]
    first = start(client)

    for answer in (dry_run(client), client.post(REPAIRS, json={"token": token})):
        assert (answer.status_code, answer.json["code"]) == (409, "repair_under_way")
        assert first["links"]["self"] in answer.json["detail"]


def test_a_repair_of_somebody_elses_tasks_finds_none(session, application, database_url):
    dead(session)
    theirs = make_person(database_url).client(application)

    answer = dry_run(theirs)

    assert (answer.json["count"], answer.json["token"], answer.json["sample"]) == (0, None, [])


def test_somebody_elses_repair_is_404(client, session, application, database_url):
    dead(session)
    repair = start(client)
    theirs = make_person(database_url).client(application)

    answers = [theirs.get(repair["links"]["self"]), theirs.get(repair["links"]["items"])]
    answers += [theirs.post(repair["links"][what]) for what in ("pause", "resume", "stop", "undo")]

    assert {answer.status_code for answer in answers} == {404}


def test_a_repair_is_paused_resumed_and_stopped(client, session):
    dead(session, 2)
    repair = start(client)
    links = repair["links"]

    assert client.post(links["pause"]).json["status"] == "PAUSED"
    work()
    assert client.get(links["self"]).json["replayed"] == 0
    assert client.post(links["resume"]).json["status"] == "RUNNING"
    assert client.post(links["stop"]).json["status"] == "STOPPED"
    assert client.post(links["resume"]).status_code == 409


def test_undo_returns_what_has_not_started_within_its_request(client, session):
    ids = dead(session, 700, payload="broken")
    repair = start(client, patch=MENDED)
    work_until_replayed(session, 700)
    lifecycle.claim(session, "reverse_string", ids[:5], holder=HOLDER, lease_seconds=60, now=utcnow())
    session.commit()

    undone = client.post(repair["links"]["undo"]).json

    assert (undone["status"], undone["counts"]["undone"], undone["counts"]["unended"]) == ("UNDONE", 695, 5)
    row = session.execute(
        sa.text("SELECT count(*), min(payload ->> 0) FROM tasks WHERE status = 'FAILED' AND payload = '\"broken\"'")
    ).one()
    assert row[0] == 695


def test_what_an_account_may_not_use_it_may_not_repair(session, application, database_url):
    person = make_person(database_url)
    dead(session, owner_id=person.id)
    session.execute(sa.text("UPDATE users SET allowed_types = '{}' WHERE id = :id"), {"id": person.id})
    session.commit()

    answer = dry_run(person.client(application))

    assert (answer.status_code, answer.json["code"]) == (403, "type_not_allowed")


def test_a_repair_is_not_resumed_by_who_may_not_use_its_type_any_more(session, application, database_url):
    person = make_person(database_url)
    dead(session, owner_id=person.id)
    theirs = person.client(application)
    links = start(theirs)["links"]
    theirs.post(links["pause"])
    session.execute(sa.text("UPDATE users SET allowed_types = '{}' WHERE id = :id"), {"id": person.id})
    session.commit()
    KEYS.forget()

    assert theirs.post(links["resume"]).json["code"] == "type_not_allowed"
    assert theirs.post(links["stop"]).json["status"] == "STOPPED"


def test_what_is_done_with_a_repair_is_in_the_audit_log(client, session):
    dead(session, 2)
    repair = start(client)
    for what in ("pause", "resume", "undo"):
        client.post(repair["links"][what])

    actions = session.scalars(
        sa.text("SELECT action FROM audit_log WHERE subject = :subject ORDER BY id"),
        {"subject": f"repair:{repair['id']}"},
    ).all()

    assert [action for action in actions if action.startswith("repair.")] == [
        "repair.started",
        "repair.paused",
        "repair.resumed",
        "repair.undo_begun",
    ]


def test_secrets_are_hidden_in_a_preview(client, session):
    payload = {"url": "https://example.com/", "headers": {"Authorization": "Bearer abc"}}
    dead(session, type="http_request", payload=payload)

    answer = dry_run(client, filter={"type": "http_request"})

    assert answer.json["count"] == 1
    assert "Bearer abc" not in answer.text


def test_an_unknown_type_is_refused(client):
    answer = dry_run(client, filter={"type": "no_such_type"})

    assert answer.status_code == 422


@pytest.mark.parametrize(
    ("field", "value"),
    [("canary", -1), ("canary", 1.5), ("per_second", 0), ("per_second", "x"), ("per_second", 5_000),
     ("stop_above_failure_ratio", 2), ("action", "cancel"), ("filter", {}), ("filter", {"type": "x", "status": "DONE"}),
     ("patch", {}), ("patch", [5])],
)  # fmt: skip
def test_a_field_that_is_wrong_is_named(client, field, value):
    answer = dry_run(client, **{field: value})

    assert answer.status_code == 422
    assert list(answer.json["errors"]) == [field]


def test_a_cause_is_told_in_detail(client, session):
    ids = dead(session, 3, message="no city 'Ulm'")
    dead(session, message="no city 'Bonn'")
    dead(session, message="the disk is full")
    fingerprint = read_task(session, ids[0]).error_fingerprint

    group = client.get(f"/api/v1/dead-letters/groups/{fingerprint}").json

    assert (group["count"], group["types"], group["last_hour"], group["last_day"]) == (4, {"reverse_string": 4}, 4, 4)
    assert group["first_at"] <= group["last_at"]
    assert len(group["hours"]) == 24
    assert group["workers"] == [{"worker": HOLDER.worker, "release": None, "count": 4}]
    assert group["example"]["error"]["message"] == "no city 'Bonn'"


@pytest.mark.parametrize("fingerprint", ["0" * 16, "x", "0" * 17])
def test_a_cause_that_is_not_there_is_404(client, fingerprint):
    assert client.get(f"/api/v1/dead-letters/groups/{fingerprint}").status_code == 404


def test_a_cause_is_told_of_the_callers_own_tasks_only(session, application, database_url):
    person = make_person(database_url)
    ids = dead(session, 2)
    dead(session, owner_id=person.id)
    fingerprint = read_task(session, ids[0]).error_fingerprint

    group = person.client(application).get(f"/api/v1/dead-letters/groups/{fingerprint}").json

    assert group["count"] == 1
