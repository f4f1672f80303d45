"""Rights by type over HTTP: what an account or a key may use, and who may reach outside."""

import io
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import sqlalchemy as sa

from app.factory import create_app
from app.models import SlotState, Status
from app.services import schedules, webhooks, workflows
from app.services.accounts.quotas import WAITING_TASKS
from app.services.accounts.rights import TypeNotAllowed
from app.services.accounts.secrets import digest
from app.web.access import KEYS
from taskledger_sdk.registry import get_type
from tests.integration.api.access_table import STARTS_NOTHING, TABLE, World, invoiced_task
from tests.integration.api.conftest import TASKS
from tests.support.factories import NOON, create_schedule, make_task, seconds, slots_of
from tests.support.people import make_key, make_person
from tests.support.runs import create_workflow, step

HELLO = {"type": "reverse_string", "payload": "hello"}
MAIL = {"type": "send_email", "payload": {"to": "ann@example.org", "subject": "Hello", "text": "It works."}}
REQUEST = {"type": "http_request", "payload": {"url": "https://example.com/"}}
CALLBACK = {**HELLO, "callback_url": "https://example.com/hook"}
MAILING = {"name": "mailing", "definition": {"steps": {"a": MAIL}}}
UNDOING = {"name": "undoing", "definition": {"steps": {"a": {**HELLO, "compensate_with": MAIL}}}}
HOOK = {"url": "https://example.com/hooks"}


@pytest.fixture
def person(engine, database_url):
    return make_person(database_url)


@pytest.fixture
def change(session, person):
    """Change the account of the person; this process has not kept its key."""

    def changed(**columns) -> None:
        names = ", ".join(f"{name} = :{name}" for name in columns)
        session.execute(sa.text(f"UPDATE users SET {names} WHERE id = :id"), {"id": person.id, **columns})
        session.commit()
        KEYS.forget()

    return changed


@pytest.fixture
def theirs(person, application):
    return person.client(application)


def problem(answer, name: str) -> str:
    """The detail of a refusal that names the type."""
    assert (answer.status_code, answer.json.get("code")) == (403, "type_not_allowed"), answer.text
    assert name in answer.json["errors"]["type"][0]
    assert name in answer.json["detail"]
    return answer.json["detail"]


STARTING = sorted(set(TABLE) - STARTS_NOTHING)


@pytest.mark.parametrize("route", STARTING)
def test_every_route_that_starts_tasks_refuses_types_that_the_account_may_not_use(
    route, person, change, application, session, database_url
):
    """A new route that changes something is asked here, unless STARTS_NOTHING says why it need not be."""
    line, (method, path) = TABLE[route], route.split(" ", 1)
    parameters = line.given(World(session=session, database_url=database_url, owner=person))
    session.commit()
    change(allowed_types=["uppercase_text"], may_reach_outside=False)

    answer = person.client(application).open(
        path.format(**parameters), method=method, json=line.starting if line.starting is not None else line.body
    )

    if path.endswith("/batch"):
        assert [each["status"] for each in answer.json["results"]] == [403]
        answer = answer.json["results"][0]["problem"]
        assert answer["code"] == "type_not_allowed"
    else:
        assert (answer.status_code, answer.json.get("code")) == (403, "type_not_allowed"), answer.text


def test_a_key_may_be_limited_to_types_and_its_account_not(person, theirs, application, client):
    made = client.post(
        "/api/v1/api-keys", json={"name": "k", "scopes": ["tasks:write"], "allowed_types": ["reverse_string"]}
    )
    assert (made.status_code, made.json["allowed_types"], made.json["allowed_queues"]) == (
        201,
        ["reverse_string"],
        None,
    )
    limited = application.test_client()
    limited.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {made.json['key']}"

    assert limited.post(TASKS, json=HELLO).status_code == 201
    told = problem(limited.post(TASKS, json={"type": "uppercase_text", "payload": "a"}), "uppercase_text")
    assert "This API key may not" in told
    assert "it may use reverse_string" in told
    assert client.post(TASKS, json={"type": "uppercase_text", "payload": "a"}).status_code == 201


def test_an_account_may_be_limited_to_queues(theirs, change):
    change(allowed_queues=["other"])

    told = problem(theirs.post(TASKS, json=HELLO), "reverse_string")

    assert "they go to the queue tasks; it may use the queues other" in told
    assert "Ask an admin" in told


def test_an_empty_list_allows_nothing_and_null_everything(theirs, change):
    change(allowed_types=[])
    problem(theirs.post(TASKS, json=HELLO), "reverse_string")
    change(allowed_types=None)
    assert theirs.post(TASKS, json=HELLO).status_code == 201


def test_in_a_batch_only_the_items_of_that_type_are_refused(theirs, change):
    change(may_reach_outside=False)

    results = theirs.post(f"{TASKS}/batch", json={"tasks": [HELLO, MAIL, CALLBACK]}).json["results"]

    assert [each["status"] for each in results] == [201, 403, 403]
    assert results[1]["problem"]["code"] == "type_not_allowed"


@pytest.mark.parametrize(
    ("path", "body", "name"),
    [
        (TASKS, MAIL, "send_email"),
        (TASKS, REQUEST, "http_request"),
        (TASKS, CALLBACK, "webhook_delivery"),
        ("/api/v1/webhooks", HOOK, "webhook_delivery"),
        ("/api/v1/workflows", MAILING, "send_email"),
        ("/api/v1/workflows", UNDOING, "send_email"),
        ("/api/v1/workflows/invoice/runs", {"input": {"customer_id": "c", "date_from": "2026-01-01",
                                                      "date_to": "2026-01-31"}}, "send_email"),
        ("/api/v1/schedules", {"cron": "0 7 * * *", "task": MAIL}, "send_email"),
        ("/api/v1/schedules", {"cron": "0 7 * * *", "task": CALLBACK}, "webhook_delivery"),
    ],
)  # fmt: skip
def test_whoever_registered_in_production_reaches_outside_once_an_admin_allows_it(
    path, body, name, settings, engine, session, database_url, change, person
):
    application = create_app(replace(settings, new_accounts_reach_outside="closed"))
    change(may_reach_outside=None)
    theirs = person.client(application)

    told = problem(theirs.post(path, json=body), name)

    assert "ask an admin of this installation" in told
    assert theirs.post(TASKS, json=HELLO).status_code == 201
    change(may_reach_outside=True)
    assert theirs.post(path, json=body).status_code == 201


@pytest.mark.parametrize(
    ("said", "env", "expected"),
    [
        ("", "production", False),
        ("", "development", True),
        ("open", "production", True),
        ("closed", "development", False),
    ],
)
def test_new_accounts_are_closed_in_production_unless_a_setting_says_otherwise(said, env, expected, settings):
    assert replace(settings, app_env=env, new_accounts_reach_outside=said).lets_new_accounts_out is expected


def test_who_registers_is_undecided_and_whom_an_admin_makes_may(anonymous, client, application, settings, monkeypatch):
    new = {"password": "three random words", "name": "New"}
    assert client.post("/api/v1/users", json={"email": "a@example.com", **new}).json["may_reach_outside"] is True
    made = anonymous.post("/api/v1/auth/register", json={"email": "b@example.com", **new}).json
    assert made["may_reach_outside"] is None

    changed = client.patch(
        f"/api/v1/users/{made['id']}", json={"may_reach_outside": False, "allowed_types": ["a", "b"]}
    )

    assert (changed.json["may_reach_outside"], changed.json["allowed_types"]) == (False, ["a", "b"])
    assert client.patch(f"/api/v1/users/{made['id']}", json={"allowed_types": ["A b"]}).status_code == 422


def test_an_admin_reaches_outside_whatever_the_row_says(client, admin, session):
    session.execute(sa.text("UPDATE users SET may_reach_outside = false WHERE id = :id"), {"id": admin.id})
    session.commit()

    assert client.post(TASKS, json=MAIL).status_code == 201


def test_new_rights_hold_for_a_key_that_this_process_knows_within_two_seconds(theirs, person, client, session):
    assert theirs.post(TASKS, json=MAIL).status_code == 201

    client.patch(f"/api/v1/users/{person.id}", json={"may_reach_outside": False})  # in this process: at once

    problem(theirs.post(TASKS, json=MAIL), "send_email")
    session.execute(sa.text("UPDATE users SET may_reach_outside = true WHERE id = :id"), {"id": person.id})
    session.commit()  # as another process does
    KEYS._known = {key: (known, 0.0) for key, (known, _) in KEYS._known.items()}
    assert theirs.post(TASKS, json=MAIL).status_code == 201


def test_another_payload_or_callback_is_as_good_as_another_task(theirs, person, session, change):
    mail = make_task(session, owner_id=person.id, type="send_email", payload=MAIL["payload"])
    other = make_task(session, owner_id=person.id)
    session.commit()
    change(may_reach_outside=False)

    problem(
        theirs.patch(f"{TASKS}/{mail.id}", json={"payload": MAIL["payload"] | {"to": "b@example.org"}}), "send_email"
    )
    problem(theirs.patch(f"{TASKS}/{other.id}", json={"callback_url": "https://example.com/"}), "webhook_delivery")
    assert theirs.patch(f"{TASKS}/{mail.id}", json={"name": "renamed"}).status_code == 200


def test_dead_letters_of_such_types_are_not_started_over(theirs, person, session, change):
    ended = {"status": Status.FAILED, "due_at": None, "finished_at": NOON}
    make_task(session, owner_id=person.id, type="send_email", payload=MAIL["payload"], **ended)
    make_task(session, owner_id=person.id, **ended)
    session.commit()
    change(may_reach_outside=False)

    problem(theirs.post("/api/v1/dead-letters/replay", json={"dry_run": True}), "send_email")
    only = {"filter": {"type": "reverse_string"}, "dry_run": True}
    token = theirs.post("/api/v1/dead-letters/replay", json=only).json["token"]
    assert theirs.post("/api/v1/dead-letters/replay", json={"token": token}).json["count"] == 1


def test_slots_of_a_schedule_are_skipped_while_its_owner_may_not_use_the_type(person, session, change):
    one = create_schedule(session, owner_id=person.id, target={"task": MAIL}, accounted_until=NOON - seconds(3600))
    session.commit()
    change(may_reach_outside=False)

    schedules.fire_due(session, now=NOON, limit=10)

    [slot] = slots_of(session, one)
    assert slot.state == SlotState.SKIPPED
    assert "send_email" in slot.reason


def test_webhooks_of_who_may_not_reach_outside_any_more_are_not_sent(person, session, change):
    made, _ = webhooks.create(
        session, webhooks.NewWebhook(url=HOOK["url"]), owner_id=person.id, key=None, keys=(), now=NOON
    )
    test = webhooks.send_test(session, made.id, owner=person.id, now=NOON)
    session.commit()
    assert webhooks.outgoing(session, test.id, task_id=test.task_id, keys=(), now=NOON).url == HOOK["url"]
    session.rollback()
    change(may_reach_outside=False)

    with pytest.raises(TypeNotAllowed):
        webhooks.outgoing(session, test.id, task_id=test.task_id, keys=(), now=NOON)


def test_a_run_under_way_goes_on_when_rights_are_taken_away(person, session, change):
    steps = {"a": step(), "b": step("a", type_="send_email", payload=MAIL["payload"])}
    flow = create_workflow(session, steps, owner_id=person.id)
    run = workflows.start(session, flow, workflows.NewRun(), owner_id=person.id, now=NOON)
    session.commit()

    change(may_reach_outside=False)

    assert workflows.read(session, run.id, visible_to=person.id).status == "RUNNING"


def test_types_say_whether_they_reach_outside(client):
    said = {each["name"]: each["reaches_outside"] for each in client.get("/api/v1/task-types").json["items"]}

    assert {name for name, outside in said.items() if outside} == {"send_email", "http_request"}
    assert get_type("webhook_delivery").reaches_outside


@pytest.mark.parametrize("types", [["uppercase_text"], ["create_invoice"]])
def test_a_limited_key_undoes_only_what_it_may_submit_and_an_account_everything(
    types, theirs, person, session, database_url, application, change
):
    place = invoiced_task(World(session=session, database_url=database_url, owner=person))
    session.commit()
    key = make_key(database_url, person, scopes=("tasks:write",))
    session.execute(
        sa.text("UPDATE api_keys SET allowed_types = :types WHERE digest = :digest"),
        {"types": types, "digest": digest(key.key)},
    )
    change(allowed_types=[])
    path = f"{TASKS}/{place['task_id']}/compensate"

    answer = key.client(application).post(path)

    assert answer.status_code == (201 if types == ["create_invoice"] else 403)
    assert theirs.post(path).status_code in (200, 201)


# Quotas over HTTP


def test_of_twenty_requests_at_once_as_many_pass_as_the_quota_says(person, application, change, session):
    change(max_waiting_tasks=5)
    WAITING_TASKS.forget()
    together = threading.Barrier(20)

    def one(number: int) -> int:
        client = person.client(application)
        together.wait()
        key = {"Idempotency-Key": f"k{number}"} if number % 3 else {}
        if number % 2:
            return client.post(TASKS, json=HELLO, headers=key).status_code
        return client.post(f"{TASKS}/batch", json={"tasks": [HELLO]}, headers=key).status_code

    with ThreadPoolExecutor(20) as threads:
        statuses = list(threads.map(one, range(20)))

    assert sorted(set(statuses)) in ([200, 201, 429], [201, 429], [200, 429])
    assert session.scalar(sa.text("SELECT count(*) FROM tasks")) == 5


def test_a_file_without_room_is_413_and_says_how_much_is_used(theirs, change):
    change(max_stored_bytes=10)

    def upload(content: bytes):
        return theirs.post("/api/v1/artifacts", data={"file": (io.BytesIO(content), "a.csv")})

    assert upload(b"123456").status_code == 201
    answer = upload(b"12345")

    assert (answer.status_code, answer.json["code"]) == (413, "storage_quota_reached")
    assert "6 of the 10 bytes" in answer.json["detail"]
    assert theirs.get("/api/v1/auth/me").json["quotas"]["stored_bytes"] == {"used": 6, "allowed": 10}
    [kept] = theirs.get("/api/v1/artifacts").json["items"]
    theirs.delete(kept["links"]["self"])
    assert upload(b"12345").status_code == 201


def test_a_run_that_needs_more_places_than_the_quota_is_429(theirs, change):
    change(max_waiting_tasks=3)
    WAITING_TASKS.forget()
    steps = {f"s{number}": HELLO for number in range(4)}
    theirs.post("/api/v1/workflows", json={"name": "many", "definition": {"steps": steps}})

    answer = theirs.post("/api/v1/workflows/many/runs", json={})

    assert (answer.status_code, answer.json["code"]) == (429, "quota_reached")
    assert theirs.get("/api/v1/tasks").json["items"] == []


def test_me_tells_what_the_account_and_the_key_may_use(theirs, person, change, application, database_url):
    change(allowed_types=["reverse_string", "count_words"])
    key_types = ["reverse_string", "send_email"]
    limited = make_key(database_url, person, scopes=("tasks:read",), allowed_types=key_types).client(application)

    assert theirs.get("/api/v1/auth/me").json["allowed_types"] == ["count_words", "reverse_string"]
    assert limited.get("/api/v1/auth/me").json["allowed_types"] == ["reverse_string"]
    assert limited.get("/api/v1/auth/me").json["allowed_queues"] is None


def test_me_tells_how_much_is_used_of_what(theirs, person, change):
    change(max_waiting_tasks=7, max_stored_bytes=0)
    theirs.post(TASKS, json=HELLO)

    me = theirs.get("/api/v1/auth/me").json

    assert me["quotas"] == {
        "waiting_tasks": {"used": 1, "allowed": 7},
        "stored_bytes": {"used": 0, "allowed": None},
    }
    assert me["reaches_outside"] is True
