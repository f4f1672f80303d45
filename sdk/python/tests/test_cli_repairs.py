"""`tledger repairs`: what it asks, prints, and exits with."""

import json

import pytest

from taskledger_sdk.cli.repair_progress import bar, line

ID = "01a20187-e99f-7588-b4c3-6d36409e4538"
NONE = {
    "remaining": 0,
    "unended": 0,
    "well": 0,
    "failed": 0,
    "cancelled": 0,
    "refused": 0,
    "passed_over": 0,
    "undone": 0,
}


def repair(status="COMPLETED", *, count=10, rate=0.0, **counts):
    return {
        "id": ID,
        "type": "send_email",
        "status": status,
        "reason": None,
        "count": count,
        "counts": {**NONE, **counts},
        "rate": rate,
        "patch": None,
        "created_at": "2026-11-29T01:00:00Z",
        "finished_at": None,
    }


def preview(**fields):
    shown = {"count": 10, "checked": 10, "refused_count": 0, "refused": [], "sample": [], "token": "signed"}
    return {**shown, **fields}


def test_a_repair_is_counted_confirmed_and_started_with_its_token(tledger, service):
    service.answer("POST", "/repairs", preview(sample=[{"task_id": ID, "before": {"a": 1}, "after": {"a": 2}}]))
    service.answer("POST", "/repairs", repair("CANARY", remaining=10), status=201)
    patch = [{"op": "replace", "path": "/a", "value": 2}]

    done = tledger(
        *("repairs", "start", "--type", "send_email", "--fingerprint", "0" * 16, "--label", "team=billing"),
        *("--patch", json.dumps(patch), "--canary", "5", "--per-second", "100", "--stop-above", "0.2", "--yes"),
    )

    assert (done.exit_code, done.stdout.splitlines()[-1]) == (0, ID)
    assert 'before: {"a": 1}' in done.stdout
    dry, started = service.requests
    assert dry.body == {
        "filter": {"type": "send_email", "fingerprint": "0" * 16, "label": ["team:billing"]},
        "patch": patch,
        "canary": 5,
        "per_second": 100.0,
        "stop_above_failure_ratio": 0.2,
        "dry_run": True,
    }
    assert started.body == {"token": "signed"}


def test_a_dry_run_starts_nothing_and_names_what_does_not_fit(tledger, service):
    refused = [{"task_id": ID, "problem": "payload.to: is no address"}]
    service.answer("POST", "/repairs", preview(refused_count=1, refused=refused))

    done = tledger("repairs", "start", "--type", "send_email", "--dry-run")

    assert done.exit_code == 0
    assert "payload.to: is no address" in done.stdout
    assert len(service.requests) == 1


def test_never_to_stop_has_to_be_said(tledger, service):
    service.answer("POST", "/repairs", preview(count=0, token=None))

    tledger("repairs", "start", "--type", "send_email", "--never-stop")

    assert service.requests[0].body["stop_above_failure_ratio"] is None


def test_to_stop_and_never_to_stop_is_refused(tledger, service):
    done = tledger("repairs", "start", "--type", "send_email", "--stop-above", "0.2", "--never-stop")

    assert done.exit_code == 2
    assert "contradict" in done.stderr
    assert not service.requests


@pytest.mark.parametrize(("status", "exit_code"), [("COMPLETED", 0), ("STOPPED", 5), ("UNDONE", 5), ("PAUSED", 5)])
def test_watching_ends_with_the_repair_and_tells_by_its_exit_status(tledger, service, status, exit_code):
    service.answer("GET", f"/repairs/{ID}", repair("RUNNING", remaining=5, well=5))
    service.answer("GET", f"/repairs/{ID}", repair(status, well=10))

    done = tledger("repairs", "watch", ID)

    assert done.exit_code == exit_code
    assert status in done.stdout


def test_with_json_each_change_is_a_line(tledger, service):
    for shown in (
        repair("RUNNING", remaining=5, well=5),
        repair("RUNNING", remaining=5, well=5, rate=9.0),
        repair(well=10),
    ):
        service.answer("GET", f"/repairs/{ID}", shown)

    done = tledger("repairs", "watch", ID, "--json")

    assert [json.loads(each)["status"] for each in done.stdout.splitlines()] == ["RUNNING", "COMPLETED"]


@pytest.mark.parametrize("what", ["pause", "resume", "stop", "undo"])
def test_a_repair_is_steered(tledger, service, what):
    service.answer("POST", f"/repairs/{ID}/{what}", repair("PAUSED", remaining=10))

    done = tledger("repairs", what, ID)

    assert (done.exit_code, "PAUSED" in done.stdout) == (0, True)


@pytest.mark.parametrize(
    ("numbers", "drawn"),
    [
        ((0, 0, 10), "\u2591" * 20),
        ((5, 0, 10), "\u2588" * 10 + "\u2591" * 10),
        ((5, 5, 10), "\u2588" * 10 + "\u2592" * 10),
        ((10, 0, 10), "\u2588" * 20),
        ((1, 1, 3), "\u2588" * 6 + "\u2592" * 7 + "\u2591" * 7),
        ((0, 0, 0), "\u2588" * 20),
    ],
)
def test_a_bar_shows_what_ended_and_what_is_under_way(numbers, drawn):
    assert bar(*numbers) == drawn


def test_a_line_tells_status_rate_and_what_failed():
    told = line(repair("RUNNING", remaining=4, unended=1, well=3, failed=2, rate=98.4))

    assert told.endswith("50 % RUNNING 5 of 10 98/s 3 well 2 failed")
