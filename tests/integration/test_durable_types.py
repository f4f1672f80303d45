"""A type is durable only where every worker knows tasks that are WAITING."""

from typing import Any

import click
import pytest
import sqlalchemy as sa

from app.clock import utcnow
from app.commands.setup import publish
from app.config import get_settings
from app.models import Worker
from app.services.dispatch.workers import KNOWS_WAITING
from taskledger_sdk import DurableTask, registry, task_type
from taskledger_sdk.registry import load_types

PUBLISHED = sa.text("SELECT count(*) FROM task_types WHERE name = 'tests.wait'")


@pytest.fixture
def durable_type(monkeypatch):
    monkeypatch.setattr(registry, "_types", dict(load_types()))
    monkeypatch.setattr(registry, "_found", None)

    @task_type("tests.wait", durable=True)
    def wait(task: DurableTask, payload: Any) -> None:
        """Wait."""


def live_worker(session, node, **runtime):
    values = {
        "id": f"{node}/1", "node": node, "host": "h", "pid": 1, "concurrency": 2, "queues": ["tasks"], "types": {},
        "version": "1", "runtime": runtime, "started_at": utcnow(), "last_seen_at": utcnow(),
    }  # fmt: skip
    session.execute(sa.insert(Worker.__table__).values(**values))
    session.commit()


def test_a_durable_type_is_refused_while_a_worker_of_an_older_release_lives(application, session, durable_type):
    live_worker(session, "new", **{KNOWS_WAITING: True})
    live_worker(session, "old", pool="prefork")

    with application.app_context(), pytest.raises(click.ClickException, match="old does not"):
        publish(get_settings())
    assert session.scalar(PUBLISHED) == 0
    session.execute(sa.text("UPDATE workers SET stopped_at = now() WHERE node = 'old'"))
    session.commit()
    with application.app_context():
        publish(get_settings())
    assert session.scalar(PUBLISHED) == 1
