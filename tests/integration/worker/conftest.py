"""Fixtures for what handlers submit: a type of the test's own, and running it."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from app import clock
from app.models import TaskRecord
from app.services.accounts.quotas import WAITING_TASKS
from taskledger_sdk import RetryPolicy, TaskContext, registry, task_type
from taskledger_sdk.registry import load_types
from tests.support.factories import make_task, read_task
from tests.support.people import Person, make_person


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
    from app.services.submission import storage

    published: list[UUID] = []
    monkeypatch.setattr(
        storage, "dispatch_soon", lambda *hints: published.extend(id_ for hint in hints for id_ in hint.ids)
    )
    return published


@pytest.fixture
def run(session, declared, hints) -> Callable[..., TaskRecord]:
    """Run an attempt of a new task of the type, or the next one of `again`; its row afterwards."""

    from tests.support.servers.attempts import run_attempt

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
