"""What a handler may not submit: calls that make no task, keys that mean two things, quotas and other limits."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from app import clock
from app.models import Status
from app.services.submission import Submission
from app.services.tasks.children.asking import wish
from app.web.schemas.tasks import SubmitTask
from taskledger_sdk.errors import NoRoom
from tests.integration.worker.family import children_of, replace_settings
from tests.support.factories import read_task
from tests.support.servers.attempts import run_attempt

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
    ({"timeout": 700_000}, "timeout: must be from 1 to"),
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
    assert "ask an admin for a larger quota" in seen[0]
    assert len(children_of(session, parent)) == (2 if now else 0)


def test_a_closed_account_starts_nothing_new(session, run, person):
    session.execute(sa.text("UPDATE users SET disabled_at = now() WHERE id = :id"), {"id": person.id})

    parent = run(lambda task: task.submit("reverse_string", "a"), owner_id=person.id)

    assert (parent.status, children_of(session, parent)) == (Status.FAILED, [])
    assert "account of the task is closed" in parent.error["message"]


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
    monkeypatch.setattr("app.worker.children.MAX_CHILDREN", 3)

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
    monkeypatch.setattr("app.worker.children.MAX_BYTES", 100)

    parent = run(lambda task: [task.submit("reverse_string", "x" * 60) for _ in range(2)])

    assert parent.status == Status.FAILED
    assert "more than 100 bytes" in parent.error["message"]
