"""Payloads that another release has accepted: taken as they are, upgraded, or left with the ledger."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

import pytest
import sqlalchemy as sa

from app import clock
from app.models import Status, TaskRecord
from app.services.lifecycle import OnHold, on_hold
from tests.support.factories import make_task, read_task, statuses_of
from tests.support.servers.attempts import run_attempt

NEWER = "ffffffffffff"


@dataclass(frozen=True, kw_only=True)
class First:
    size: Literal["s", "m", "xl"]


@dataclass(frozen=True, kw_only=True)
class Second:
    width: int


@dataclass(frozen=True, kw_only=True)
class Wider:
    size: Literal["s", "m", "xl"]
    note: str = ""


@pytest.fixture
def run(session) -> Callable[..., TaskRecord]:
    """Store a task of the type, and let this process take its hint; its row afterwards."""

    def go(payload: Any, schema_hash: str | None, **columns: Any) -> TaskRecord:
        task = make_task(
            session, type="resize", payload=payload, schema_hash=schema_hash, now=clock.utcnow(), **columns
        )
        return again(session, task)

    return go


def again(session, task: TaskRecord) -> TaskRecord:
    session.commit()
    run_attempt("resize", task.id)
    session.rollback()
    return read_task(session, task.id)


def test_what_this_release_does_not_take_goes_back_without_an_attempt_or_an_event(session, release, run):
    release(First)

    task = run({"width": 3}, NEWER)

    assert (task.status, task.attempt, task.dispatched_at) == (Status.PENDING, 0, None)
    assert on_hold(task) is OnHold.OTHER_SCHEMA
    assert NEWER in (task.reason or "")
    assert statuses_of(session, task.id) == ["PENDING"]


def test_it_is_on_hold_for_ten_seconds_and_then_for_twice_as_long(session, release, run):
    kind = release(First)
    task = run({"width": 3}, NEWER)

    pauses = []
    for _ in range(8):
        assert task.due_at is not None
        pauses.append((task.due_at - clock.utcnow()).total_seconds())
        session.execute(sa.text("UPDATE tasks SET dispatched_at = now() WHERE id = :id"), {"id": task.id})
        task = again(session, task)

    assert pauses == pytest.approx([10, 20, 40, 80, 160, 320, 600, 600], abs=3)
    assert set(task.schema_refusals or ()) == {kind.schema_hash}


def test_a_second_hint_of_what_is_on_hold_changes_nothing(session, release, run):
    release(First)
    task = run({"width": 3}, NEWER)

    assert again(session, task) == task


def test_what_this_release_takes_runs_whoever_has_accepted_it(release, run):
    release(Wider)

    task = run({"size": "s"}, NEWER)

    assert (task.status, task.attempt) == (Status.COMPLETED, 1)


def test_what_its_own_schema_refuses_fails_for_good(release, run):
    kind = release(First)

    task = run({"size": "l"}, kind.schema_hash)

    assert (task.status, task.attempt) == (Status.FAILED, 1)
    assert task.error is not None
    assert task.error["type"] == "PayloadRefused"


def test_what_nobody_knows_the_schema_of_fails_as_it_always_did(release, run):
    release(First)

    assert run({"size": "l"}, None).status == Status.FAILED


def test_an_upgrade_is_applied_in_memory_and_never_written(release, run):
    old = release(First).schema_hash
    release(Second, upgrade={old: lambda payload: {"width": {"s": 1, "m": 2, "xl": 9}[payload["size"]]}})

    task = run({"size": "xl"}, old)

    assert (task.status, task.result) == (Status.COMPLETED, "Second(width=9)")
    assert (task.payload, task.schema_hash) == ({"size": "xl"}, old)


def test_an_upgrade_is_applied_to_what_would_be_taken_as_it_is(release, run):
    """A payload may fit both schemas and mean something else: who declares an upgrade wants it for each."""
    old = release(First).schema_hash
    release(Wider, upgrade={old: lambda payload: {**payload, "note": "from before"}})

    assert run({"size": "s"}, old).result == "Wider(size='s', note='from before')"


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda payload: payload["gone"], "raised KeyError"),
        (lambda payload: {"width": "wide"}, "made a payload that the type refuses: payload.width"),
    ],
    ids=["raises", "makes what is refused"],
)
def test_an_upgrade_that_does_not_work_fails_its_task_and_says_so(release, run, function, said):
    old = release(First).schema_hash
    release(Second, upgrade={old: function})

    task = run({"size": "s"}, old)

    assert (task.status, task.payload) == (Status.FAILED, {"size": "s"})
    assert task.error is not None
    assert task.error["type"] == "UpgradeFailed"
    assert said in task.error["message"]


def test_of_a_chunk_each_is_judged_by_itself(session, release):
    kind = release(First, chunk=10, max_seconds_each=0.5)
    now = clock.utcnow()
    payloads = [
        ({"size": "s"}, kind.schema_hash),
        ({"width": 1}, NEWER),
        ({"size": "m"}, NEWER),
        ({"size": "xl"}, None),
    ]
    tasks = [make_task(session, type="resize", payload=each, schema_hash=of, now=now) for each, of in payloads]
    session.commit()

    from unittest import mock

    from app.worker import executor, heartbeat

    with mock.patch.object(heartbeat.HEARTBEAT, "note_claims"):
        executor.run_hint("resize", [task.id for task in tasks])

    session.rollback()
    found = [read_task(session, task.id).status for task in tasks]
    assert found == [Status.COMPLETED, Status.PENDING, Status.COMPLETED, Status.COMPLETED]


def test_a_task_of_a_paused_type_is_on_hold_for_that(session, release, run):
    release(First)
    session.execute(sa.text("INSERT INTO pauses (kind, name, paused_at) VALUES ('type', 'resize', now())"))

    assert on_hold(run({"width": 3}, NEWER)) is OnHold.TYPE_PAUSED


def test_what_has_expired_is_neither_run_nor_held(release, run):
    release(First)

    task = run({"width": 3}, NEWER, expires_at=clock.utcnow() - timedelta(seconds=1))

    assert (task.status, task.attempt) == (Status.PENDING, 0)
