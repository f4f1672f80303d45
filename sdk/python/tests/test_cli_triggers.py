"""`tledger triggers` and `tledger events send | show`: what they ask and print."""

import json

ID = "01a20187-e99f-7588-b4c3-6d36409e4538"
TRIGGER = {
    "id": ID,
    "owner": None,
    "name": "large orders",
    "event": "order.paid",
    "when": {"at_least": [{"$from": "event.data.total"}, 100]},
    "task": {"type": "ship", "payload": {"$from": "event.data"}},
    "workflow": None,
    "enabled": True,
    "created_at": "2026-11-29T01:00:00Z",
    "updated_at": "2026-11-29T01:00:00Z",
    "links": {},
}
EVENT = {
    "id": ID,
    "name": "order.paid",
    "data": {"total": 5},
    "received_at": "2026-11-29T01:00:00Z",
    "applied_at": None,
    "task_id": ID,
}


def test_triggers_are_listed_with_what_they_start(tledger, service):
    service.answer("GET", "/triggers", {"items": [TRIGGER], "next": None})

    done = tledger("triggers", "list", "--event", "order.paid", "--enabled")

    assert done.exit_code == 0
    assert {ID, "order.paid", "ship", "yes"} <= set(done.stdout.split())
    assert service.requests[0].query == {"event": ["order.paid"], "enabled": ["true"], "limit": ["20"]}


def test_what_show_prints_as_json_can_be_created_again(tledger, service, tmp_path):
    service.answer("GET", f"/triggers/{ID}", TRIGGER)
    service.answer("POST", "/triggers", TRIGGER, status=201)
    shown = tledger("triggers", "show", ID, "--json")
    (tmp_path / "trigger.json").write_text(shown.stdout)

    done = tledger("triggers", "create", str(tmp_path / "trigger.json"))

    assert done.stdout.strip() == ID
    kept = {name: TRIGGER[name] for name in ("name", "event", "when", "task", "enabled")}
    assert service.requests[-1].body == kept
    assert service.requests[-1].headers["idempotency-key"]


def test_triggers_are_paused_resumed_and_deleted(tledger, service):
    service.answer("PATCH", f"/triggers/{ID}", TRIGGER | {"enabled": False})
    service.answer("PATCH", f"/triggers/{ID}", TRIGGER)
    service.answer("DELETE", f"/triggers/{ID}", b"", status=204)

    said = [tledger("triggers", word, ID).stdout.strip() for word in ("pause", "resume", "delete")]

    assert said == [f"{ID} paused", f"{ID} enabled", f"{ID} deleted"]
    assert [each.body for each in service.requests] == [{"enabled": False}, {"enabled": True}, None]


def test_an_event_is_sent_with_its_data_and_keys(tledger, service):
    service.answer("POST", "/events", EVENT, status=201)

    done = tledger(
        *("events", "send", "order.paid", '{"total": 5}'), *("--ordering-key", "c-42", "--idempotency-key", "k")
    )

    assert done.stdout.strip() == ID
    [sent] = service.requests
    assert sent.body == {"name": "order.paid", "data": {"total": 5}, "ordering_key": "c-42"}
    assert sent.headers["idempotency-key"] == "k"


def test_what_became_of_an_event_is_shown(tledger, service):
    match = {"trigger_id": ID, "state": "started", "task_id": "t-1", "run_id": None, "reason": None}
    unmatched = {"trigger_id": ID, "name": None, "reason": "when.equals: 1 is not 2"}
    service.answer("GET", f"/events/{ID}", {**EVENT, "summary": "Of 2 …", "matches": [match], "unmatched": [unmatched]})

    done = tledger("events", "show", ID)

    assert f"{ID}  started  t-1" in done.stdout
    assert f"{ID}  did not match  when.equals: 1 is not 2" in done.stdout


def test_matches_are_listed(tledger, service):
    match = {"event_id": ID, "trigger_id": ID, "state": "refused", "task_id": None, "run_id": None, "reason": "no",
             "at": "2026-11-29T01:00:00Z"}  # fmt: skip
    service.answer("GET", f"/triggers/{ID}/matches", {"items": [match], "next": None})

    done = tledger("triggers", "matches", ID, "--json")

    assert json.loads(done.stdout)["items"] == [match]
