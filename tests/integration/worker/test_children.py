"""task.submit(): with the outcome and behind its fence, or at once, and once for all attempts of a task."""

from datetime import UTC, datetime, timedelta
from unittest import mock
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from app import clock
from app.models import Status
from app.services import lifecycle
from app.services.lifecycle import LeaseLost
from app.services.submission import storage
from app.services.tasks import children
from app.services.tasks.children.asking import wish
from app.worker import executor, heartbeat, outages
from taskledger_sdk import PermanentError, TaskContext, task_type
from taskledger_sdk.errors import TaskCancelled
from tests.integration.worker.family import children_of, replace_settings
from tests.support.factories import HOLDER, make_task, read_task


def test_a_child_is_stored_with_the_outcome_and_belongs_to_the_same_account(session, run, person, hints):
    before = clock.utcnow()

    def handler(task):
        id_ = task.submit("reverse_string", "abc", priority="high", labels={"a": "b"}, max_retries=1, name="the child")
        assert session.scalar(sa.text("SELECT count(*) FROM tasks WHERE id = :id"), {"id": id_}) == 0
        session.rollback()
        return str(id_)

    parent = run(handler, owner_id=person.id)

    [child] = children_of(session, parent)
    assert (parent.status, parent.result) == (Status.COMPLETED, str(child.id))
    assert (child.status, child.payload, child.owner_id) == (Status.PENDING, "abc", person.id)
    assert (child.priority, child.labels, child.max_retries, child.name) == ("high", {"a": "b"}, 1, "the child")
    assert child.id.version == 7
    assert before - timedelta(seconds=1) < moment_of(child.id) < clock.utcnow() + timedelta(seconds=1)
    assert hints == [child.id]


def moment_of(id_: UUID):
    return datetime.fromtimestamp((id_.int >> 80) / 1000, tz=UTC)


def test_hints_follow_the_commit(engine, run, monkeypatch):
    seen = []

    def look(*hints):
        ids = [id_ for hint in hints for id_ in hint.ids]
        with engine.connect() as other:
            seen.append(other.scalar(sa.text("SELECT count(*) FROM tasks WHERE id = ANY(:ids)"), {"ids": ids}))

    monkeypatch.setattr(storage, "dispatch_soon", look)
    run(
        lambda task: [
            str(task.submit("reverse_string", "a")),
            str(task.submit("reverse_string", "b", key="k", now=True)),
        ]
    )

    assert seen == [1, 1]


@pytest.mark.parametrize("error", [RuntimeError("again"), PermanentError("never"), SystemExit(3)])
def test_an_attempt_that_fails_submits_nothing(session, run, hints, error):
    def handler(task):
        task.submit("reverse_string", "a")
        task.submit("reverse_string", "b", key="b")
        raise error

    parent = run(handler)

    assert parent.status in (Status.RETRYING, Status.FAILED)
    assert (children_of(session, parent), hints) == ([], [])


def test_an_attempt_that_lost_its_lease_submits_nothing_in_either_way(session, run):
    refused = []

    def handler(task):
        task.submit("reverse_string", "with the outcome")
        session.execute(sa.text("UPDATE tasks SET lease = :lease WHERE id = :id"), {"lease": uuid4(), "id": task.id})
        session.commit()
        with pytest.raises(LeaseLost) as lost:
            task.submit("reverse_string", "at once", key="now", now=True)
        refused.append(lost.value)

    parent = run(handler)

    assert (parent.status, children_of(session, parent), len(refused)) == (Status.PROCESSING, [], 1)
    assert session.scalar(sa.text("SELECT count(*) FROM task_children")) == 0


def test_a_refused_write_of_a_port_takes_the_children_with_it(session, run, hints):
    def handler(task):
        task.submit("reverse_string", "a")
        task._ports.writes.append(lambda *_: 1 / 0)

    parent = run(handler)

    assert (parent.status, children_of(session, parent), hints) == (Status.RETRYING, [], [])


def test_what_is_submitted_at_once_is_there_while_the_handler_runs_and_stays_when_it_fails(session, run, hints):
    def handler(task):
        id_ = task.submit("reverse_string", f"of attempt {task.attempt}", key="k", now=True)
        assert session.scalar(sa.text("SELECT status FROM tasks WHERE id = :id"), {"id": id_}) == "PENDING"
        session.rollback()
        if task.attempt == 1:
            raise RuntimeError("again")
        return str(id_)

    parent = run(handler)
    [child] = children_of(session, parent)
    assert (parent.status, hints) == (Status.RETRYING, [child.id])

    parent = run(again=parent)

    assert (parent.status, parent.result) == (Status.COMPLETED, str(child.id))
    assert [each.payload for each in children_of(session, parent)] == ["of attempt 1"]


def test_a_key_is_found_again_with_the_outcome_too_and_after_the_child_is_gone(session, run):
    def handler(task):
        first = task.submit("reverse_string", "x", key="k", now=task.attempt == 1)
        if task.attempt == 1:
            raise RuntimeError("again")
        return str(first)

    parent = run(handler)
    [child] = children_of(session, parent)
    session.execute(sa.text("DELETE FROM tasks WHERE id = :id"), {"id": child.id})

    parent = run(again=parent)

    assert (parent.status, parent.result, children_of(session, parent)) == (Status.COMPLETED, str(child.id), [])


def test_a_commit_whose_answer_was_lost_is_repeated_without_a_second_child(session, run):
    real = outages.in_transaction
    calls = []

    def lose_the_answer(work):
        done = real(work)
        calls.append(1)
        if len(calls) == 2:  # the first reads the family, the second stores the child
            raise sa.exc.OperationalError(
                "COMMIT", {}, Exception("server closed the connection"), connection_invalidated=True
            )
        return done

    with mock.patch.object(outages, "in_transaction", lose_the_answer):
        parent = run(lambda task: str(task.submit("reverse_string", "x", key="k", now=True)))

    [child] = children_of(session, parent)
    assert (parent.result, len(calls)) == (str(child.id), 3)


def test_a_handler_that_asks_again_after_a_fault_finds_what_was_stored_all_the_same(session, run):
    real, calls = outages.in_transaction, []

    def break_after_the_commit(work):
        done = real(work)
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("interrupted between the commit and the return")
        return done

    def handler(task):
        with pytest.raises(RuntimeError):
            task.submit("reverse_string", "x", key="k", now=True)
        return str(task.submit("reverse_string", "x", key="k", now=True))

    with mock.patch.object(outages, "in_transaction", break_after_the_commit):
        parent = run(handler)

    [child] = children_of(session, parent)
    assert parent.result == str(child.id)


def test_a_key_that_was_kept_for_the_outcome_can_be_submitted_at_once_after_all(session, run):
    def handler(task):
        kept = task.submit("reverse_string", "x", key="k")
        at_once = task.submit("reverse_string", "x", key="k", now=True)
        assert kept == at_once
        assert session.scalar(sa.text("SELECT count(*) FROM tasks WHERE id = :id"), {"id": kept}) == 1
        session.rollback()

    parent = run(handler)

    assert (parent.status, len(children_of(session, parent))) == (Status.COMPLETED, 1)


def test_the_payload_is_that_of_the_call_whatever_the_handler_does_with_its_own_later(session, run):
    def handler(task):
        options = {"url": "http://example.com", "headers": {"X-A": "1"}}
        task.submit("http_request", options)
        options["headers"]["X-A"] = "2"

    parent = run(handler)

    [child] = children_of(session, parent)
    assert child.payload["headers"] == {"X-A": "1"}


def test_payloads_of_sensitive_types_are_encrypted_and_nothing_of_them_is_told(session, run, declared, monkeypatch):
    monkeypatch.setattr(
        "app.worker.payload_keys.get_settings",
        lambda: replace_settings(payload_keys="MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="),
    )
    declared(lambda task: None)

    @task_type("secretive", sensitive=True)
    def secretive(task: TaskContext, payload: list[int]) -> None: ...

    def handler(task):
        with pytest.raises(PermanentError) as refused:
            task.submit("secretive", ["4711"])
        assert "payload.0" in str(refused.value)
        assert "string" not in str(refused.value)
        task.submit("secretive", [4711])

    parent = run(handler)

    [child] = children_of(session, parent)
    assert list(child.payload) == ["$sealed"]


def test_a_task_that_is_to_stop_submits_nothing_more(session, run):
    def handler(task):
        session.execute(sa.text("UPDATE tasks SET cancel_requested_at = now() WHERE id = :id"), {"id": task.id})
        session.commit()
        task._running.stop_error = TaskCancelled()  # as the heartbeat sets it
        task.submit("reverse_string", "a", key="k", now=True)

    parent = run(handler)

    assert (children_of(session, parent), parent.status) == ([], Status.CANCELLED)


def test_each_task_of_a_chunk_submits_by_itself(session, declared, hints):
    def handler(task):
        task.submit("reverse_string", f"{task.id}")
        if task.id == wrong.id:
            raise RuntimeError("this one alone")

    declared(handler, chunk=10, max_seconds_each=0.5)
    right, wrong, other = (make_task(session, type="parent", payload=None, now=clock.utcnow()) for _ in range(3))
    session.commit()

    with mock.patch.object(heartbeat.HEARTBEAT, "note_claims"):
        executor.run_hint("parent", [right.id, wrong.id, other.id])
    session.rollback()

    assert [len(children_of(session, each)) for each in (right, wrong, other)] == [1, 0, 1]
    assert len(hints) == 2


def test_a_child_waits_for_its_start(session, run, hints):
    start = clock.utcnow() + timedelta(hours=1)

    parent = run(lambda task: str(task.submit("reverse_string", "a", scheduled_at=start)))

    [child] = children_of(session, parent)
    assert (child.status, child.scheduled_at, child.due_at, hints) == (Status.SCHEDULED, start, start, [])


def test_a_child_kept_for_long_is_as_old_as_its_outcome(session, declared, hints):
    """Its `created_at` and its moments are those of the commit, not of the call."""
    declared(lambda task: None)
    parent = make_task(session, type="parent", payload=None)
    [held] = lifecycle.claim(session, "parent", [parent.id], holder=HOLDER, lease_seconds=60, now=clock.utcnow())
    wanted = wish("reverse_string", "a", None, {"scheduled_at": clock.utcnow() + timedelta(seconds=30)})
    early = clock.utcnow()
    made = children.draft(wanted, parent_id=held.id, owner_id=None, now=early, payload_keys=())
    late = early + timedelta(minutes=10)

    children.store(session, held.id, [children.Child(task=made, key=None)], now=late)

    child = read_task(session, made.id)
    assert (child.status, child.created_at, child.dispatched_at) == (Status.PENDING, late, late)


def test_children_go_from_the_list_with_their_parent_and_stay_themselves(session, run):
    parent = run(lambda task: str(task.submit("reverse_string", "a", key="k")))
    [child] = children_of(session, parent)

    session.execute(sa.text("DELETE FROM tasks WHERE id = :id"), {"id": parent.id})

    assert session.scalar(sa.text("SELECT count(*) FROM task_children")) == 0
    assert read_task(session, child.id).parent_id == parent.id
