"""Tasks on hold because of their payload's schema: published only while a worker lives that may take it."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from app.dispatcher.schemas import Schemas
from app.models import Worker
from app.services import lifecycle
from app.services.admission import ledger as admission
from app.services.lifecycle import OnHold, on_hold
from tests.support.factories import NOON, make_task, read_task, seconds

HOUR = timedelta(hours=1)
OLD, MIDDLE, NEW = "aaaaaaaaaaaa", "bbbbbbbbbbbb", "cccccccccccc"
LONG_AGO = NOON - HOUR


def worker(session, name: str, schema_hash: str | None, *, upgrades=(), seen=NOON) -> None:
    row = {
        "id": f"{name}/00000001", "node": name, "host": "here", "pid": 1, "concurrency": 2, "queues": ["tasks"],
        "types": {} if schema_hash is None else {"reverse_string": schema_hash}, "version": "1", "runtime": {},
        "upgrades": {"reverse_string": list(upgrades)} if upgrades else {},
        "started_at": NOON - HOUR, "last_seen_at": seen, "stopped_at": None,
    }  # fmt: skip
    session.execute(sa.insert(Worker.__table__).values(row))


def held(session, *, by: str = OLD, **columns):
    """A task of the newest schema that a worker of another one did not take."""
    task = make_task(session, schema_hash=NEW, **columns)
    assert lifecycle.hold_for_schema(session, [task.id], schema=by, now=NOON) == {task.id}
    return task


def fall_due(session, now):
    hints, looked = lifecycle.fall_due(session, since=LONG_AGO, now=now, limit=100)
    return [hint.id for hint in hints], looked


def test_nobody_is_asked_again_while_nobody_lives_that_could_take_it(session):
    worker(session, "old", OLD)
    task = held(session)

    assert fall_due(session, NOON + seconds(10)) == ([], 1)

    row = read_task(session, task.id)
    assert on_hold(row) is OnHold.OTHER_SCHEMA
    assert row.due_at == NOON + seconds(10) + timedelta(minutes=10)


@pytest.mark.parametrize(
    ("schema_hash", "upgrades"),
    [(NEW, ()), (OLD, (NEW,)), (MIDDLE, ())],
    ids=["it has the schema", "it upgrades from it", "it was not asked yet"],
)
def test_its_hint_goes_out_while_a_worker_lives_that_may_take_it(session, schema_hash, upgrades):
    worker(session, "old", OLD)
    worker(session, "other", schema_hash, upgrades=upgrades)
    task = held(session)

    assert fall_due(session, NOON + seconds(9)) == ([], 0)
    assert fall_due(session, NOON + seconds(10)) == ([task.id], 1)

    row = read_task(session, task.id)
    assert (row.reason, on_hold(row), row.dispatched_at) == (None, None, NOON + seconds(10))


def test_a_worker_that_is_not_seen_any_more_is_no_reason(session):
    worker(session, "new", NEW, seen=NOON - seconds(60))
    held(session)

    assert fall_due(session, NOON + seconds(10)) == ([], 1)


def test_others_that_are_due_are_dispatched_beside_it(session):
    worker(session, "old", OLD)
    held(session)
    other = make_task(session, dispatched_at=None, due_at=NOON)

    assert fall_due(session, NOON + seconds(10)) == ([other.id], 2)


def test_a_worker_of_another_release_lets_all_be_looked_at_at_once(session):
    worker(session, "old", OLD)
    task = held(session)
    session.commit()
    duty = Schemas()
    assert duty.run_once(NOON) == 1  # whoever begins to look knows nothing yet
    assert fall_due(session, NOON) == ([], 1)
    session.commit()
    assert duty.run_once(NOON + seconds(1)) == 0

    worker(session, "new", NEW)
    session.commit()

    assert duty.run_once(NOON + seconds(2)) == 1
    session.rollback()
    assert read_task(session, task.id).due_at == NOON + seconds(2)


def test_so_does_the_end_of_one(session):
    worker(session, "old", OLD)
    worker(session, "new", NEW)
    session.commit()
    duty = Schemas()
    duty.run_once(NOON)
    held(session)
    session.execute(sa.text("UPDATE workers SET stopped_at = :now WHERE node = 'old'"), {"now": NOON})
    session.commit()

    assert duty.run_once(NOON + seconds(1)) == 1


def state_of(session, task):
    return session.scalar(sa.text("SELECT state FROM admissions WHERE task_id = :id"), {"id": task.id})


def test_under_a_limit_it_gives_its_place_up_until_it_is_due_again(session):
    worker(session, "new", NEW)
    session.execute(sa.text("INSERT INTO limits (kind, name, max_running) VALUES ('type', 'reverse_string', 1)"))
    task = make_task(session, schema_hash=NEW)
    lifecycle.admitted(session, [task.id], until=NOON + seconds(5), now=NOON)
    assert state_of(session, task) == "out"

    assert lifecycle.hold_for_schema(session, [task.id], schema=OLD, now=NOON) == {task.id}

    assert state_of(session, task) == "waiting"
    assert fall_due(session, NOON + seconds(10)) == ([], 1)
    assert state_of(session, task) == "held"  # and admission lets it go


def test_a_limit_that_comes_later_does_not_forget_it(session):
    worker(session, "new", NEW)
    task = held(session)
    session.execute(sa.text("INSERT INTO limits (kind, name, max_running) VALUES ('type', 'reverse_string', 1)"))

    assert admission.bring_under_limits(session, now=NOON, limit=10) == 1

    assert read_task(session, task.id).due_at == NOON + seconds(10)
    assert state_of(session, task) == "waiting"


def test_a_replay_with_another_payload_is_of_another_schema(session):
    task = held(session)
    lifecycle.cancel(session, [task.id], reason="by hand", now=NOON)

    lifecycle.replay(session, [task.id], now=NOON, payload='"new"', schema_hash=MIDDLE)

    row = read_task(session, task.id)
    assert (row.payload, row.schema_hash, row.schema_refusals, on_hold(row)) == ("new", MIDDLE, None, None)


def test_a_replay_as_it_was_keeps_its_schema(session):
    task = held(session)
    lifecycle.cancel(session, [task.id], reason="by hand", now=NOON)

    lifecycle.replay(session, [task.id], now=NOON)

    assert read_task(session, task.id).schema_hash == NEW
