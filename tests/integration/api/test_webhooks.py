"""/webhooks: endpoints of an account, their secrets, their delivery log."""

import base64
import json
from concurrent.futures import ThreadPoolExecutor, wait
from uuid import UUID

import pytest
import sqlalchemy as sa

from app.database import Session
from app.messaging import Numbered
from app.services import circuits, events, webhooks
from app.services.events import EventFilter
from app.sinks.webhooks import WebhooksSink
from tests.support.factories import NOON, make_claim, make_task, pass_events_on
from tests.support.people import make_person

WEBHOOKS = "/api/v1/webhooks"
URL = "https://example.com/hooks"
ENDED = {"status": "COMPLETED", "due_at": None, "dispatched_at": None, "finished_at": NOON}


@pytest.fixture
def owner(database_url, engine):
    return make_person(database_url)


@pytest.fixture
def theirs(owner, application):
    return owner.client(application)


@pytest.fixture
def stranger(database_url, engine, application):
    return make_person(database_url).client(application)


def make(client, **fields):
    answer = client.post(WEBHOOKS, json={"url": URL, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json


def tell(session, owner_id=None, **columns):
    """Something happens to a task, and the sink takes all events that were not passed on yet."""
    task = make_task(session, owner_id=owner_id, **columns)
    before = events.newest_position(session)
    pass_events_on(session)
    page = events.read_after(session, before, limit=100)
    WebhooksSink().handle(session, page.events, now=NOON)
    session.commit()
    return task


def deliveries(client, webhook):
    answer = client.get(f"{WEBHOOKS}/{webhook['id']}/deliveries")
    assert answer.status_code == 200, answer.text
    return answer.json["items"]


def test_the_secret_is_shown_once(theirs):
    made = make(theirs)

    read = theirs.get(made["links"]["self"]).json

    assert made["secret"].startswith("whsec_")
    assert len(base64.b64decode(made["secret"].removeprefix("whsec_"))) == 24
    assert "secret" not in read
    assert "secret" not in theirs.get(WEBHOOKS).json["items"][0]


def test_unless_told_otherwise_it_hears_of_endings_of_every_type(theirs):
    made = make(theirs)

    assert (made["events"], made["types"]) == (["task.completed", "task.failed", "task.cancelled"], [])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("url", "ftp://example.com"),
        ("url", "http://user:password@example.com/"),
        ("url", "no url"),
        ("url", "https://example.com/" + "a" * 2048),
        ("events", []),
        ("events", ["task.exploded"]),
        ("events", ["task.failed", "task.failed"]),
        ("types", ["No Type!"]),
        ("secret", "whsec_mine"),
    ],
)
def test_what_makes_no_sense_is_refused(theirs, field, value):
    answer = theirs.post(WEBHOOKS, json={"url": URL, field: value})

    assert (answer.status_code, list(answer.json["errors"])) == (422, [field])


def test_a_change_is_told_in_the_audit_log_without_the_address(theirs, session):
    made = make(theirs)

    theirs.patch(made["links"]["self"], json={"url": "https://example.com/?token=hidden", "enabled": True})

    [entry] = session.execute(sa.text("SELECT subject, detail FROM audit_log WHERE action = 'webhook.changed'")).all()
    assert entry == (f"webhook:{made['id']}", {"fields": ["enabled", "url"]})


def test_the_same_idempotency_key_makes_one_webhook(theirs):
    first = theirs.post(WEBHOOKS, json={"url": URL}, headers={"Idempotency-Key": "once"})
    second = theirs.post(WEBHOOKS, json={"url": URL}, headers={"Idempotency-Key": "once"})

    assert (second.status_code, second.json["id"], second.json["secret"]) == (200, first.json["id"], None)


def test_an_event_becomes_one_delivery_with_the_task_in_it(theirs, owner, session):
    webhook = make(theirs)
    task = tell(session, owner.id, result={"answer": 42}, **ENDED)

    [delivery] = deliveries(theirs, webhook)

    assert (delivery["event"], delivery["status"], delivery["attempts"]) == ("task.completed", "PENDING", [])
    assert delivery["body"]["type"] == "task.completed"
    assert delivery["body"]["data"]["id"] == str(task.id)
    assert delivery["body"]["data"]["result"] == {"answer": 42}


def test_taking_the_same_events_twice_makes_no_second_delivery(theirs, owner, session):
    webhook = make(theirs)
    tell(session, owner.id, **ENDED)
    page = events.read_after(session, 0, limit=100)

    with pytest.raises(sa.exc.IntegrityError):
        webhooks.fan_out(session, page.events, now=NOON)
    session.rollback()

    assert len(deliveries(theirs, webhook)) == 1


@pytest.mark.parametrize(
    "columns",
    [{"status": "PENDING"}, {"type": "uppercase_text", **ENDED}, {"owner_id": None, **ENDED}],
    ids=["another event", "another type", "nobody's task"],
)
def test_what_it_did_not_ask_for_it_does_not_hear(theirs, owner, session, columns):
    webhook = make(theirs, types=["reverse_string"])

    tell(session, **({"owner_id": owner.id} | columns))

    assert deliveries(theirs, webhook) == []


def test_other_peoples_tasks_are_not_told(theirs, session, database_url):
    webhook = make(theirs)

    tell(session, make_person(database_url).id, **ENDED)

    assert deliveries(theirs, webhook) == []


def test_a_disabled_webhook_hears_nothing(theirs, owner, session):
    webhook = make(theirs)
    changed = theirs.patch(f"{WEBHOOKS}/{webhook['id']}", json={"enabled": False}).json

    tell(session, owner.id, **ENDED)

    assert (changed["enabled"], changed["disabled_reason"]) == (False, "disabled by its owner")
    assert deliveries(theirs, webhook) == []


def test_deliveries_cause_no_deliveries(theirs, owner, session):
    webhook = make(theirs, events=["task.pending", "task.completed"])
    tell(session, owner.id, **ENDED)
    before = len(deliveries(theirs, webhook))

    tell(session, owner.id, type="webhook_delivery", payload={"delivery_id": str(owner.id)}, **ENDED)

    assert len(deliveries(theirs, webhook)) == before


def test_secrets_in_payloads_and_sensitive_results_are_not_sent(theirs, owner, session, monkeypatch):
    from app.services.webhooks import sending

    webhook = make(theirs)
    payload = {"url": "https://example.com/?token=sesame", "headers": {"Authorization": "Bearer sesame"}}
    tell(session, owner.id, type="http_request", payload=payload, **ENDED)
    monkeypatch.setattr(sending, "is_sensitive", lambda name: name == "uppercase_text")
    tell(session, owner.id, type="uppercase_text", payload="hush", **ENDED)

    sent = json.dumps([delivery["body"] for delivery in deliveries(theirs, webhook)])

    assert "sesame" not in sent
    assert "hush" not in sent


def test_what_is_too_large_is_left_out_and_named(theirs, owner, session):
    webhook = make(theirs)

    tell(session, owner.id, result="x" * 100_000, **ENDED)

    data = deliveries(theirs, webhook)[0]["body"]["data"]
    assert (data["result"], data["omitted"]) == (None, ["result"])


def test_a_task_calls_back_when_it_is_finished(session, owner):
    tell(session, owner.id, callback_url="https://example.com/done", **ENDED)
    tell(session, owner.id, callback_url="https://example.com/waits")

    rows = session.execute(sa.text("SELECT url, event, webhook_id FROM webhook_deliveries")).all()

    assert [tuple(row) for row in rows] == [("https://example.com/done", "task.completed", None)]


def test_a_callback_url_is_given_with_the_submission(theirs):
    body = {"type": "reverse_string", "payload": "x", "callback_url": "https://example.com/?token=abc"}

    answer = theirs.post("/api/v1/tasks", json=body)

    assert (answer.status_code, answer.json["callback_url"]) == (201, "https://example.com/?token=[redacted]")


def test_rotating_leaves_the_old_secret_in_force_for_a_day(theirs):
    made = make(theirs)

    rotated = theirs.post(f"{WEBHOOKS}/{made['id']}/secret").json

    assert rotated["secret"] != made["secret"]
    assert rotated["previous_secret_until"] > made["created_at"]


def test_the_account_secret_is_made_and_rotated(theirs):
    first = theirs.post(f"{WEBHOOKS}/secret").json
    second = theirs.post(f"{WEBHOOKS}/secret").json

    assert first["previous_secret_until"] is None
    assert second["previous_secret_until"] is not None
    assert first["secret"] != second["secret"]


def test_two_who_make_the_account_secret_at_once_get_one_each_and_both_sign(session, engine, owner):
    with Session(engine) as other, ThreadPoolExecutor(1) as pool:
        first, _ = webhooks.rotate_account(other, owner.id, keys=(), now=NOON)
        waiting = pool.submit(webhooks.rotate_account, session, owner.id, keys=(), now=NOON)
        assert not wait([waiting], timeout=0.3).done
        other.commit()
        second, until = waiting.result(10)
    session.commit()

    row = session.execute(sa.text("SELECT secret, previous_secret FROM webhook_secrets")).one()
    assert until is not None
    assert tuple(row) == (second, first)


def test_secrets_are_not_stored_in_the_clear_where_there_is_a_key(session, owner):
    from app.services.encryption import ciphertexts

    keys = ciphertexts.keys(base64.b64encode(bytes(32)).decode())
    wanted = webhooks.NewWebhook(url=URL)
    _, secret = webhooks.create(session, wanted, owner_id=owner.id, key=None, keys=keys, now=NOON)

    stored = session.scalar(sa.text("SELECT CAST(secret AS text) FROM webhooks"))

    assert secret not in stored


def test_a_test_is_a_delivery_of_its_own(theirs):
    made = make(theirs)

    answer = theirs.post(f"{WEBHOOKS}/{made['id']}/test")

    assert (answer.status_code, answer.json["event"]) == (202, "webhook.test")
    assert len(deliveries(theirs, made)) == 1


def test_what_is_under_way_is_not_sent_again(theirs):
    made = make(theirs)
    delivery = theirs.post(f"{WEBHOOKS}/{made['id']}/test").json

    answer = theirs.post(f"{WEBHOOKS}/{made['id']}/deliveries/{delivery['id']}/redeliver")

    assert (answer.status_code, answer.json["code"]) == (409, "wrong_status")


def test_nobody_but_the_service_submits_deliveries(theirs):
    body = {"type": "webhook_delivery", "payload": {"delivery_id": "018f3c5e-7d2a-7000-8000-0123456789ab"}}

    answer = theirs.post("/api/v1/tasks", json=body)

    assert (answer.status_code, list(answer.json["errors"])) == (422, ["type"])


def test_a_filter_asks_for_everything_that_it_names(session):
    claim = make_claim(session)
    pass_events_on(session)
    [submitted, claimed] = events.read_after(session, 0, limit=10).events
    wanted = EventFilter(statuses=frozenset({"PROCESSING"}), task_ids=frozenset({claim.id}))

    assert (wanted.matches(submitted, {}), wanted.matches(claimed, {})) == (False, True)
    assert not EventFilter(labels=(("team", "a"),)).matches(claimed, {claim.id: {"team": "b"}})
    assert EventFilter(labels=(("team", "a"),)).matches(claimed, {claim.id: {"team": "a"}})


def test_a_webhook_shows_its_circuit_and_another_address_begins_anew(theirs, owner, session):
    made = make(theirs)
    to = circuits.of_webhook(UUID(made["id"]), owner.id)
    for _ in range(circuits.OPENS_AFTER):
        circuits.failed(session, to, "it answered 503", now=NOON)
    session.commit()

    opened = theirs.get(made["links"]["self"]).json["circuit"]
    listed = theirs.get(WEBHOOKS).json["items"][0]["circuit"]
    moved = theirs.patch(made["links"]["self"], json={"url": "https://example.com/other"}).json["circuit"]

    assert opened == listed
    assert (opened["state"], opened["failures"], opened["reason"]) == ("open", 5, "it answered 503")
    assert opened["retry_at"] == (NOON + circuits.FIRST_PAUSE).isoformat().replace("+00:00", "Z")
    assert (
        made["circuit"] == moved == {"state": "closed", "since": None, "failures": 0, "retry_at": None, "reason": None}
    )


def test_receivers_of_callbacks_that_fail_are_listed_for_their_owner_only(
    theirs, owner, session, database_url, application
):
    stranger = make_person(database_url).client(application)
    circuits.failed(session, circuits.of_callback("https://a.example/1", owner.id), "it answered 500", now=NOON)
    circuits.failed(session, circuits.of_callback("https://b.example/1", owner.id), "it answered 500", now=NOON)
    session.commit()

    first = theirs.get(f"{WEBHOOKS}/callbacks?limit=1").json
    second = theirs.get(f"{WEBHOOKS}/callbacks?limit=1&cursor={first['next']}").json

    assert [first["items"][0]["origin"], second["items"][0]["origin"]] == [
        "https://a.example:443",
        "https://b.example:443",
    ]
    assert second["next"] is None
    assert stranger.get(f"{WEBHOOKS}/callbacks").json["items"] == []


def test_a_delivery_is_its_owners_and_is_listed_where_its_type_is_asked_for(theirs, owner, session):
    made = make(theirs)
    task = tell(session, owner.id, **ENDED)
    [delivery] = deliveries(theirs, made)

    listed = theirs.get("/api/v1/tasks").json["items"]
    asked = theirs.get("/api/v1/tasks?type=webhook_delivery").json["items"]

    assert [each["id"] for each in listed] == [str(task.id)]
    assert [(each["id"], each["owner"]) for each in asked] == [(delivery["task"], str(owner.id))]
    assert theirs.get(f"/api/v1/tasks/{delivery['task']}/why").status_code == 200


def test_whose_a_task_is_its_row_says_and_no_event(theirs, owner, session, database_url):
    victim = make_person(database_url)
    make(theirs)
    task = make_task(session, owner_id=victim.id, **ENDED)
    pass_events_on(session)
    [event] = events.read_after(session, 0, limit=10).events
    lie = Numbered(**{**{name: getattr(event, name) for name in Numbered.__struct_fields__}, "owner_id": owner.id})

    WebhooksSink().handle(session, [lie], now=NOON)

    assert session.scalar(sa.text("SELECT count(*) FROM webhook_deliveries")) == 0
    assert task.owner_id == victim.id


def test_events_of_deliveries_are_shown_to_their_owner_where_their_type_is_asked_for(theirs, owner, session):
    make(theirs)
    tell(session, owner.id, **ENDED)
    pass_events_on(session)
    page = events.read_after(session, 0, limit=100).events

    def types(**wanted):
        return {event.type for event in page if EventFilter(owner=owner.id, **wanted).matches(event, {})}

    assert types() == {"reverse_string"}
    assert types(types=frozenset({"webhook_delivery"})) == {"webhook_delivery"}
