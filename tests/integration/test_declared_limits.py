"""Limits that task types declare: set by `setup`, kept in step with the code, and left to whoever set one by hand."""

from datetime import timedelta
from uuid import UUID

import pytest
import sqlalchemy as sa

from app.clock import utcnow
from app.services import admission
from app.services.admission import Limit, Rate, declared
from taskledger_sdk import TaskContext, registry, task_type
from taskledger_sdk.registry import load_types

LIMIT = "/api/v1/limits/type/bill"


@pytest.fixture
def declare(monkeypatch):
    """Declares the type `bill` anew, with these options."""

    def declare(**options):
        monkeypatch.setattr(registry, "_types", {k: v for k, v in load_types().items() if k != "bill"})
        monkeypatch.setattr(registry, "_found", None)

        @task_type("bill", **options)
        def bill(task: TaskContext, payload: str) -> None:
            """Bill somebody."""

    return declare


@pytest.fixture
def setup(session):
    """What `setup` does for limits; returns what it says."""

    def setup():
        lines = declared.sync(session, load_types().values(), now=utcnow())
        session.commit()
        return lines

    return setup


def limit(session):
    return next((each for each in admission.read(session) if each.name == "bill"), None)


def test_a_declared_limit_is_set_once(declare, setup, session):
    declare(rate="100/min", concurrency=5)

    first, second = setup(), setup()

    assert first == ["Set the limit of the type bill: declared by the task type: at most 5 at once, 100 in 60 s."]
    assert second == []
    stored = limit(session)
    assert (stored.max_running, stored.rate, stored.changed_by) == (5, Rate(count=100, seconds=60), "task type")


def test_tasks_of_the_type_are_held_by_it_and_say_so(declare, setup, session, client):
    declare(rate="1/day", concurrency=1)
    setup()

    first, second = (client.post("/api/v1/tasks", json={"type": "bill", "payload": "x"}).json["id"] for _ in range(2))
    admitted = admission.admit(
        session, admission.LaneCursor(boost_after=timedelta(hours=1)), admission.StrideScheduler(), now=utcnow()
    )
    session.commit()

    assert [str(each.id) for each in admitted] == [first]
    held_by = admission.obstacle(session, UUID(second), viewer=None, now=utcnow()).limit
    assert held_by.reason == "declared by the task type: at most 1 at once, 1 in 86400 s"


def test_another_declaration_changes_it_and_none_removes_it(declare, setup, session):
    declare(concurrency=5)
    setup()
    declare(rate="5/s")

    changed = setup()
    stored = limit(session)
    declare()
    removed = setup()

    assert (changed[0].endswith("5 in 1 s."), stored.max_running, stored.rate) == (True, None, Rate(count=5, seconds=1))
    assert removed == ["Removed the limit of the type bill: it declares none any more."]
    assert limit(session) is None


def test_a_limit_that_an_admin_set_before_or_after_wins(declare, setup, session, client):
    declare()
    client.put(LIMIT, json={"max_running": 2})
    declare(concurrency=5)
    before = setup()
    client.delete(LIMIT)
    setup()
    client.put(LIMIT, json={"max_running": 50})
    declare(concurrency=6)
    after = setup()

    assert (before, after) == ([], [])
    assert limit(session).max_running == 50
    declare()
    assert setup() == []
    assert limit(session).max_running == 50


def test_a_limit_that_somebody_edits_in_sql_is_theirs(declare, setup, session):
    declare(concurrency=5)
    setup()
    session.execute(sa.text("UPDATE limits SET max_running = 9 WHERE name = 'bill'"))
    session.commit()
    declare(concurrency=6)

    assert setup() == []
    assert limit(session).max_running == 9


def test_limits_of_other_kinds_are_left_alone(declare, setup, session):
    admission.set_limit(
        session, Limit(kind="key", name="bill", max_running=1, changed_at=utcnow(), changed_by="task type")
    )

    assert setup() == []
    assert limit(session).kind == "key"
