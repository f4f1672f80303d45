"""`tledger signal`, and the commands that show what a task was told and remembers."""

import json

ID = "01a20187-e99f-7588-b4c3-6d36409e4538"
SENT = {
    "id": 7, "name": "approved", "data": {"ok": True}, "sent_by": None, "at": "2026-11-29T01:00:00Z", "taken_by": None,
    "taken_at": None,
}  # fmt: skip


def test_a_signal_is_sent_to_a_task(tledger, service):
    service.answer("POST", f"/tasks/{ID}/signals/approved", SENT, status=201)

    done = tledger("signal", ID, "approved", '{"ok": true}')

    assert (done.exit_code, done.stdout) == (0, f"{ID} approved sent\n")
    [request] = service.requests
    assert request.body == {"data": {"ok": True}}
    assert request.headers["idempotency-key"]


def test_what_is_no_task_may_be_a_run(tledger, service):
    service.answer("POST", f"/runs/{ID}/signals/approved", SENT, status=201)

    done = tledger("signal", ID, "approved", "plain text", "--key", "k", "--json")

    assert json.loads(done.stdout) == SENT
    assert [request.path for request in service.requests] == [
        f"/tasks/{ID}/signals/approved",
        f"/runs/{ID}/signals/approved",
    ]
    assert {request.headers["idempotency-key"] for request in service.requests} == {"k"}
    assert service.requests[1].body == {"data": "plain text"}


def test_what_is_neither_is_said(tledger, service):
    done = tledger("signal", ID, "approved")

    assert done.exit_code == 1
    assert "no task and no run" in done.stderr


def test_data_may_be_left_out(tledger, service):
    service.answer("POST", f"/tasks/{ID}/signals/go", SENT, status=201)

    tledger("signal", ID, "go")

    assert service.requests[0].body == {"data": None}


def test_what_a_task_was_told_is_a_table(tledger, service):
    service.answer("GET", f"/tasks/{ID}/signals", {"items": [SENT], "next": None})

    done = tledger("tasks", "signals", ID)

    assert done.exit_code == 0
    assert "approved" in done.stdout
    assert '{"ok": true}' in done.stdout


def test_what_it_remembers_is_a_table(tledger, service):
    step = {
        "name": "charge", "kind": "once", "state": "FAILED", "result": None, "child_id": None, "wakes_at": None,
        "ended_at": None, "error": {"type": "Gone", "message": "no"},
    }  # fmt: skip
    service.answer("GET", f"/tasks/{ID}/steps", {"items": [step], "next": None})

    done = tledger("tasks", "steps", ID)

    assert "charge" in done.stdout
    assert "Gone: no" in done.stdout


def test_a_replay_may_be_fresh(tledger, service):
    service.answer("POST", f"/tasks/{ID}/retry", {"id": ID, "status": "PENDING"})

    tledger("tasks", "replay", ID, "--fresh")

    assert service.requests[0].body == {"fresh": True}
