"""/triggers and /events over HTTP: what is made, refused, changed and told."""

import pytest
import sqlalchemy as sa

from app.clock import utcnow
from app.services import triggers

PATH, EVENTS = "/api/v1/triggers", "/api/v1/events"
TASK = {"type": "reverse_string", "payload": {"$from": "event.data.order_id"}}
WANTED = {"event": "order.paid", "when": {"at_least": [{"$from": "event.data.total"}, 100]}, "task": TASK}
TOLD = {"name": "order.paid", "data": {"order_id": "A-17", "total": 120}}


@pytest.fixture
def make(client):
    def made(**fields):
        answer = client.post(PATH, json=WANTED | fields)
        assert answer.status_code == 201, answer.text
        return answer.json

    return made


@pytest.fixture
def applied(client, session):
    """An event that was told and applied; what the API says of it."""

    def told(**said):
        event = client.post(EVENTS, json=TOLD | said).json
        while not triggers.apply_some(session, event["id"], now=utcnow()).is_done:
            pass
        session.commit()
        return client.get(f"{EVENTS}/{event['id']}").json

    return told


def test_a_trigger_is_made_and_found_where_its_location_says(client, session):
    answer = client.post(PATH, json=WANTED | {"name": "large orders"})

    assert answer.status_code == 201
    found = client.get(answer.headers["Location"])
    assert found.json == answer.json
    assert (found.json["event"], found.json["when"], found.json["task"]) == ("order.paid", WANTED["when"], TASK)
    assert (found.json["workflow"], found.json["enabled"]) == (None, True)
    [entry] = session.execute(sa.text("SELECT action, subject FROM audit_log")).all()
    assert tuple(entry) == ("trigger.created", f"trigger:{found.json['id']}")


@pytest.mark.parametrize(
    ("fields", "path", "said"),
    [
        ({"event": "no spaces"}, "event", "must be 1 to 100"),
        ({"when": {"greater": [1]}}, "when.greater", "is no condition"),
        ({"when": {"equals": [{"$from": "input.total"}, 1]}}, "when.equals.0", "not known in triggers"),
        ({"task": TASK | {"payload": {"$from": "event.customer"}}}, "task.payload.$from", "is no reference"),
        ({"task": TASK | {"payload": {"text": 5}}}, "task.payload", "must be a string"),
        ({"task": TASK | {"type": "nobody"}}, "task.type", "nobody"),
        ({"task": TASK | {"type": "webhook_delivery"}}, "task.type", "service itself"),
        ({"task": TASK | {"ordering_key": 5}}, "task.ordering_key", "must be a text"),
        ({"task": TASK | {"labels": {"": "a"}}}, "task.labels.", "its name"),
        ({"task": TASK | {"scheduled_at": "2030-01-01T00:00:00Z"}}, "task.scheduled_at", "not a known field"),
        ({"workflow": {"name": "invoice"}}, "task", "excludes workflow"),
        ({"task": TASK | {"payload": "a\u0000b"}}, "task.payload", "NUL"),
        ({"id": "1"}, "id", "read-only"),
    ],
)
def test_a_trigger_that_cannot_work_is_refused_with_its_place(fields, path, said, client, session):
    answer = client.post(PATH, json=WANTED | fields)

    assert answer.status_code == 422, answer.text
    place = answer.json["errors"]
    for part in path.split("."):
        place = place[part]
    assert said in str(place)
    assert session.scalar(sa.text("SELECT count(*) FROM triggers")) == 0


def test_a_trigger_is_changed_paused_and_deleted(client, make, session):
    made = make()
    path = f"{PATH}/{made['id']}"
    tag = client.get(path).headers["ETag"]

    changed = client.patch(path, json={"enabled": False, "when": None}, headers={"If-Match": tag})

    assert (changed.json["enabled"], changed.json["when"], changed.json["task"]) == (False, None, TASK)
    assert client.patch(path, json={"enabled": True}, headers={"If-Match": tag}).status_code == 412
    assert client.delete(path).status_code == 204
    assert client.get(path).status_code == 404
    actions = session.execute(sa.text("SELECT action FROM audit_log ORDER BY id")).scalars().all()
    assert actions == ["trigger.created", "trigger.changed", "trigger.deleted"]


def test_triggers_are_found_by_event_state_and_text(client, make):
    first, second = make(name="One"), make(event="order.lost", enabled=False)

    def found(query):
        return [each["id"] for each in client.get(f"{PATH}?{query}").json["items"]]

    assert found("event=order.paid") == [first["id"]]
    assert found("enabled=false") == [second["id"]]
    assert found("q=one") == [first["id"]]
    assert found("q=reverse") == [second["id"], first["id"]]


def test_an_event_is_accepted_once_with_the_same_key(client, session):
    answers = [client.post(EVENTS, json=TOLD, headers={"Idempotency-Key": "k"}) for _ in range(2)]
    other = client.post(EVENTS, json=TOLD | {"data": None}, headers={"Idempotency-Key": "k"})

    assert [answer.status_code for answer in answers] == [201, 200]
    assert answers[0].json == answers[1].json
    assert answers[1].headers["Idempotent-Replayed"] == "true"
    assert (other.status_code, other.json["code"]) == (422, "idempotency_key_reused")
    assert session.scalar(sa.text("SELECT count(*) FROM tasks WHERE type = 'apply_triggers'")) == 1


def test_an_event_says_what_it_started_and_what_did_not_match(client, make, applied):
    matching, other = make(), make(name="huge", when={"greater": [{"$from": "event.data.total"}, 1000]})

    found = applied()

    assert (found["state"], found["triggers"]) == ("applied", {"started": 1, "unmatched": 1, "refused": 0})
    [match], [unmatched] = found["matches"], found["unmatched"]
    assert match["trigger_id"] == matching["id"]
    assert client.get(f"/api/v1/tasks/{match['task_id']}").json["payload"] == "A-17"
    assert unmatched == {
        "trigger_id": other["id"],
        "name": "huge",
        "reason": "when.greater: 120 is not greater than 1000",
    }
    assert found["summary"] == "Of 2 triggers for 'order.paid', 1 started work, 1 did not match."
    [listed] = client.get(f"{PATH}/{matching['id']}/matches").json["items"]
    assert listed == match


def test_an_event_that_waits_says_for_what(client):
    event = client.post(EVENTS, json=TOLD).json

    found = client.get(f"{EVENTS}/{event['id']}").json

    assert (found["state"], found["applied_at"]) == ("waiting", None)
    assert event["task_id"] in found["summary"]
    assert client.get(f"/api/v1/tasks/{event['task_id']}").json["type"] == "apply_triggers"


def test_secrets_of_an_event_are_not_shown(client, applied):
    assert applied(data={"token": "abc", "total": 1})["data"] == {"token": "[redacted]", "total": 1}


@pytest.mark.parametrize(
    ("said", "path"), [({"name": ""}, "name"), ({"data": "a\u0000b"}, "data"), ({"kind": 1}, "kind")]
)
def test_an_event_that_cannot_be_stored_is_refused(said, path, client):
    answer = client.post(EVENTS, json=TOLD | said)

    assert answer.status_code == 422
    assert path in answer.json["errors"]


def test_events_with_one_ordering_key_are_applied_one_after_the_other(client, session):
    events = [client.post(EVENTS, json=TOLD | {"ordering_key": "c-42"}).json for _ in range(2)]

    keys = session.execute(sa.text("SELECT ordering_key FROM tasks WHERE type = 'apply_triggers'")).scalars().all()

    assert keys == ["c-42", "c-42"]
    assert [each["name"] for each in client.get(EVENTS).json["items"]] == ["order.paid", "order.paid"]
    assert client.get(f"{EVENTS}?name=order.lost").json["items"] == []
    assert len({event["id"] for event in events}) == 2
