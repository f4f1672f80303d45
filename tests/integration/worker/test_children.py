"""task.submit(): with the outcome and behind its fence, or at once, and once for all attempts of a task."""

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from app import clock
from app.api.task_schemas import SubmitTask
from app.config import Settings, get_settings
from app.models import Status, Task, TaskRecord
from app.services import announcing, children, lifecycle
from app.services.accounts.quotas import WAITING_TASKS
from app.services.children.asking import wish
from app.services.lifecycle import LeaseLost
from app.services.submission import Submission
from app.worker import children as worker_children
from app.worker import executor, heartbeat
from tasks import PermanentError, RetryPolicy, TaskContext, registry, task_type
from tasks.errors import NoRoom, TaskCancelled
from tasks.registry import load_types
from tests.factories import HOLDER, make_task, read_task
from tests.people import Person, make_person
from tests.services.attempts import run_attempt

TABLE = Task.metadata.tables["tasks"]


@pytest.fixture
def person(database_url, engine) -> Person:
    return make_person(database_url)


@pytest.fixture
def declared(monkeypatch) -> Callable[..., None]:
    """Declare a task type `parent` for this test, whose handler is the function given."""
    monkeypatch.setattr(registry, "_types", dict(load_types()))
    monkeypatch.setattr(registry, "_found", None)
    WAITING_TASKS.forget()

    def declare(handler: Callable[[TaskContext], Any], **options: Any) -> None:
        def parent(task: TaskContext, payload: None) -> Any:
            return handler(task)

        parent.__annotations__ = {"task": TaskContext, "payload": Any}
        retry = RetryPolicy(max_retries=3, base_seconds=0.01, cap_seconds=0.01)
        task_type("parent", retry=retry, **options)(parent)

    return declare


@pytest.fixture
def hints(monkeypatch) -> list[UUID]:
    """The tasks whose hints were handed to the publisher."""
    published: list[UUID] = []
    monkeypatch.setattr(announcing, "dispatch_soon", lambda hint: published.extend(hint.ids))
    return published


@pytest.fixture
def run(session, declared, hints) -> Callable[..., TaskRecord]:
    """Run an attempt of a new task of the type, or the next one of `again`; its row afterwards."""

    def go(handler: Callable[[TaskContext], Any] | None = None, *, again: TaskRecord | None = None, **columns: Any):
        if handler is not None:
            declared(handler)
        task = again or make_task(session, type="parent", payload=None, now=clock.utcnow(), **columns)
        if again is not None:
            session.execute(
                sa.text("UPDATE tasks SET status = 'PENDING', due_at = now(), dispatched_at = now() WHERE id = :id"),
                {"id": again.id},
            )
        session.commit()
        run_attempt("parent", task.id)
        session.rollback()
        return read_task(session, task.id)

    return go


def replace_settings(**values: Any) -> Settings:
    return dataclasses.replace(get_settings(), **values)


def children_of(session, parent: TaskRecord) -> list[TaskRecord]:
    rows = session.execute(sa.select(TABLE).where(TABLE.c.parent_id == parent.id).order_by(TABLE.c.id)).mappings()
    return [TaskRecord.of(row) for row in rows]


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


def test_hints_follow_the_commit(session, run, monkeypatch):
    seen = []

    def look(hint):
        with session.get_bind().connect() as other:
            seen.append(
                other.scalar(sa.text("SELECT count(*) FROM tasks WHERE id = ANY(:ids)"), {"ids": list(hint.ids)})
            )

    monkeypatch.setattr(announcing, "dispatch_soon", look)
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
    real = worker_children.in_transaction
    calls = []

    def lose_the_answer(work):
        done = real(work)
        calls.append(1)
        if len(calls) == 2:  # the first reads the family, the second stores the child
            raise sa.exc.OperationalError(
                "COMMIT", {}, Exception("server closed the connection"), connection_invalidated=True
            )
        return done

    with mock.patch.object(worker_children, "in_transaction", lose_the_answer):
        parent = run(lambda task: str(task.submit("reverse_string", "x", key="k", now=True)))

    [child] = children_of(session, parent)
    assert (parent.result, len(calls)) == (str(child.id), 3)


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


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"type_name": "reverse_strin"}, "did you mean 'reverse_string'"),
    ({"type_name": None}, "no task type"),
    ({"type_name": "webhook_delivery", "payload": {"delivery_id": str(uuid4())}}, "by the service itself only"),
    ({"payload": 5}, "payload: must be a string, not a number"),
    ({"type_name": "http_request", "payload": {"url": "ftp://x"}}, "payload.url: "),
    ({"payload": {1, 2}}, "payload: is not JSON"),
    ({"type_name": "http_request", "payload": {"url": "http://x", "body": float("nan")}}, "payload: is not JSON"),
    ({"payload": "a\x00b"}, "NUL"),
    ({"payload": "\ud800"}, "surrogate"),
    ({"key": ""}, "key: "),
    ({"key": "k" * 201}, "key: "),
    ({"key": 5}, "key: must be a string, not a number"),
    ({"now": True}, "needs a key"),
    ({"priority": "urgent"}, "priority: must be one of"),
    ({"max_retries": 101}, "max_retries: "),
    ({"timeout": 100_000}, "timeout: must be from 1 to"),
    ({"labels": {"a": 1}}, "labels.a"),
    ({"scheduled_at": clock.utcnow().replace(tzinfo=None)}, "scheduled_at: "),
    ({"expires_at": clock.utcnow() - timedelta(days=1)}, "expires_at: must be in the future"),
    ({"callback_url": "http://user:word@example.com/"}, "callback_url: "),
    ({"colour": "red"}, "colour: is not a known field"),
]


@pytest.mark.parametrize(("call", "said"), WRONG, ids=[said for _, said in WRONG])
def test_a_call_that_makes_no_task_fails_for_good_and_says_where(session, run, call, said):
    call = {"type_name": "reverse_string", "payload": "abc", **call}

    def handler(task):
        options = dict(call)
        task.submit(options.pop("type_name"), options.pop("payload"), **options)

    parent = run(handler)

    assert (parent.status, parent.error["type"]) == (Status.FAILED, "PermanentError")
    assert "task.submit(" in parent.error["message"]
    assert said in parent.error["message"]
    assert children_of(session, parent) == []


SAID: list[dict[str, Any]] = [
    {"name": ""}, {"name": "n" * 200}, {"name": "n" * 201}, {"name": "a\x00"}, {"name": None},
    {"priority": "low"}, {"priority": "LOW"},
    {"max_retries": 0}, {"max_retries": 100}, {"max_retries": -1}, {"max_retries": True},
    {"timeout": 1}, {"timeout": 0}, {"timeout": None},
    {"labels": {"a.b/c-d": "x" * 256}}, {"labels": {"a": "x" * 257}}, {"labels": {"-a": "x"}}, {"labels": {"a": None}},
    {"labels": {"a" * 63: ""}}, {"labels": {"a" * 64: ""}}, {"labels": {"ä": ""}}, {"labels": {"a\n": ""}},
    {"labels": {f"k{number}": "" for number in range(32)}}, {"labels": {f"k{number}": "" for number in range(33)}},
    {"scheduled_at": "2030-01-01T00:00:00Z"}, {"scheduled_at": "tomorrow"}, {"expires_at": "2099-01-01T00:00:00+01:00"},
    {"callback_url": "https://example.com/x"}, {"callback_url": "ftp://example.com"},
    {"callback_url": "http://a/" + "x" * 2_048},
    {"concurrency_key": "host:a"}, {"concurrency_key": ""}, {"ordering_key": "o" * 201},
    {"after_failure": "release"}, {"after_failure": "explode"},
]  # fmt: skip


@pytest.mark.parametrize("said", SAID, ids=str)
def test_options_are_judged_as_those_of_a_submission_over_http(application, said):
    def outcome(judge: Callable[[], Submission]) -> Any:
        try:
            made = judge()
        except Exception:
            return "refused"
        return {name: getattr(made, name) for name in said}

    with application.test_request_context():
        over_http = outcome(lambda: SubmitTask().load({"type": "reverse_string", "payload": "a", **said}))
    assert outcome(lambda: wish("reverse_string", "a", None, said).submission) == over_http


def test_one_key_for_two_tasks_of_an_attempt_is_a_mistake_that_is_told(session, run):
    def handler(task):
        for word in ("a", "b"):
            task.submit("reverse_string", word, key="word")

    parent = run(handler)

    assert parent.status == Status.FAILED
    assert "give each task a key of its own" in parent.error["message"]


def test_a_key_of_another_type_on_an_earlier_attempt_is_a_mistake_that_is_told(session, run):
    def handler(task):
        task.submit("reverse_string" if task.attempt == 1 else "uppercase_text", "a", key="word", now=True)
        raise RuntimeError("again")

    parent = run(again=run(handler))

    assert parent.status == Status.FAILED
    assert "an earlier attempt submitted a task of the type reverse_string" in parent.error["message"]


@pytest.mark.parametrize("now", [False, True])
def test_a_full_quota_is_told_the_handler_and_the_task_is_tried_again(session, run, person, now):
    session.execute(sa.text("UPDATE users SET max_waiting_tasks = 2 WHERE id = :id"), {"id": person.id})
    seen = []

    def handler(task):
        task.submit("reverse_string", "1", key="1", now=now)
        task.submit("reverse_string", "2", key="2", now=now)
        with pytest.raises(NoRoom) as refused:
            task.submit("reverse_string", "3", key="3", now=now)
        seen.append(str(refused.value))
        raise refused.value

    parent = run(handler, owner_id=person.id)

    assert (parent.status, parent.error["type"]) == (Status.RETRYING, "NoRoom")
    assert "2 may" in seen[0]
    assert len(children_of(session, parent)) == (2 if now else 0)


def test_a_closed_account_starts_nothing_new(session, run, person):
    session.execute(sa.text("UPDATE users SET disabled_at = now() WHERE id = :id"), {"id": person.id})

    parent = run(lambda task: task.submit("reverse_string", "a"), owner_id=person.id)

    assert (parent.status, children_of(session, parent)) == (Status.FAILED, [])
    assert "account of the task is closed" in parent.error["message"]


def test_payloads_of_sensitive_types_are_sealed_and_nothing_of_them_is_told(session, run, declared, monkeypatch):
    monkeypatch.setattr(
        "app.worker.children.get_settings",
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


def test_a_line_of_tasks_that_submit_one_another_ends(session, run, monkeypatch):
    monkeypatch.setattr("app.worker.children.get_settings", lambda: replace_settings(max_task_depth=3))
    task = run(lambda task: str(task.submit("parent", None)))
    for _ in range(3):
        assert task.status == Status.COMPLETED
        [child] = children_of(session, task)
        run_attempt("parent", child.id)
        session.rollback()
        task = read_task(session, child.id)

    assert (task.status, children_of(session, task)) == (Status.FAILED, [])
    assert "MAX_TASK_DEPTH" in task.error["message"]


def test_a_task_has_a_thousand_children_at_most_on_all_attempts_together(session, run, monkeypatch):
    monkeypatch.setattr("app.worker.children.MOST_CHILDREN", 3)

    def handler(task):
        for number in range(2):
            task.submit("reverse_string", "x", key=f"{task.attempt}.{number}", now=True)
        raise RuntimeError("again")

    parent = run(handler)
    parent = run(again=parent)

    assert parent.status == Status.FAILED
    assert "has 3 children" in parent.error["message"]
    assert len(children_of(session, parent)) == 3


def test_payloads_kept_for_the_outcome_are_bounded(session, run, monkeypatch):
    monkeypatch.setattr("app.worker.children.MOST_BYTES", 100)

    parent = run(lambda task: [task.submit("reverse_string", "x" * 60) for _ in range(2)])

    assert parent.status == Status.FAILED
    assert "more than 100 bytes" in parent.error["message"]


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
