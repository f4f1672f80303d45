"""States of adopted tasks, as their callers see them."""

from types import SimpleNamespace

import pytest

from taskledger_sdk.celery import meta, payloads
from taskledger_sdk.celery.payloads import Note
from taskledger_sdk.client import TaskError

TOLD = {"message": payloads.write_note(Note(state="PROGRESS", meta={"current": 1, "total": 2}))}
TRACKED = {"message": payloads.write_note(Note(state="STARTED", meta={"pid": 7}))}
BROKEN, LOST = TaskError(type="ValueError", message="no"), TaskError(type="WorkerLost", message="lost")


def task(status, **said):
    known = {"progress": None, "error": None, "raw": {}, "payload": {}, "result": None, "reason": None}
    named = {"type": "shop.add", "queue": "celery", "attempt": 1, "finished_at": None}
    return SimpleNamespace(status=status, **{**known, **named, **said})


def test_a_step_that_has_expired_was_revoked():
    expired = task("FAILED", error=TaskError(type="celery.exceptions.TaskRevokedError", message="expired"))

    found = meta.of_task("x", expired)

    assert (found["status"], found["result"]) == ("REVOKED", meta.revoked("expired"))


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ({}, "PENDING"),
        ({"progress": TOLD}, "PROGRESS"),
        ({"progress": TRACKED}, "STARTED"),
        ({"error": BROKEN, "attempt": 2}, "RETRY"),
        ({"error": LOST, "attempt": 2}, "PENDING"),
        ({"error": BROKEN, "progress": TOLD, "attempt": 2}, "PROGRESS"),
        ({"progress": TOLD, "raw": {"cancel_requested_at": "2026-01-02T03:04:05Z"}}, "ABORTED"),
    ],
    ids=["runs", "tells", "tracks its start", "runs again", "runs after a loss", "tells again", "is to stop"],
)
def test_the_state_of_a_task_that_runs_is_what_was_told_last(said, state):
    assert meta.of_task("x", task("PROCESSING", **said))["status"] == state
