"""The heartbeat of a process that runs many tasks at once: what it asks and writes does not grow with their number."""

import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa
from msgspec import structs

from app import clock
from app.worker.attempt import LeaseGone
from app.worker.heartbeat import Heartbeat
from app.worker.in_progress import HintInProgress, InProgressRegistry, Running
from app.worker.stopping import ParentStop, Stopper
from taskledger_sdk.errors import TaskCancelled
from tests.support.factories import make_claim, read_task

TASKS = 50


@pytest.fixture
def claims(session):
    """Tasks that fifty threads of a worker hold, with leases of 60 s that end now, and of two types."""
    now = clock.utcnow()
    held = [make_claim(session, now=now) for _ in range(TASKS)]
    session.execute(sa.text("UPDATE tasks SET due_at = now()"))
    session.commit()
    return [structs.replace(claim, lease_seconds=60 if number % 2 else 30) for number, claim in enumerate(held)]


@pytest.fixture
def heartbeat(engine, claims):
    """The heartbeat of that worker; the handlers that it asks to stop only note it."""
    stopper = Stopper(ParentStop())
    stopper.interrupts = False
    in_progress = InProgressRegistry()
    for thread, claim in enumerate(claims):
        running = Running(claim=claim, timeout_seconds=300, grace_seconds=10)
        alone = {claim.id: claim}
        in_progress._runs[thread] = HintInProgress(claims=alone, current=running, started=time.monotonic() - 5)
    heartbeat = Heartbeat(in_progress, stopper)
    heartbeat._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
    return heartbeat


@contextmanager
def statements(engine):
    """The statements that are sent within the block."""
    sent: list[str] = []

    def note(_connection, _cursor, statement, *_):
        sent.append(" ".join(statement.split()))

    sa.event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        sa.event.remove(engine, "before_cursor_execute", note)


def attempts(heartbeat) -> list[Running]:
    return [run.current for run in heartbeat._in_progress.runs]


def test_all_rows_are_read_at_once_and_all_leases_of_one_length_renewed_at_once(engine, session, heartbeat, claims):
    with statements(engine) as sent:
        heartbeat.tick()

    assert len(sent) == 3
    now = clock.utcnow()
    for claim in claims:
        left = read_task(session, claim.id).due_at - now
        length = timedelta(seconds=claim.lease_seconds)
        assert length - timedelta(seconds=10) < left <= length + timedelta(seconds=1)


def test_what_was_read_within_the_second_is_not_read_again(engine, heartbeat):
    heartbeat.tick()
    with statements(engine) as sent:
        heartbeat.tick()

    assert sent == []


def test_each_hears_of_its_own_cancellation_and_lost_lease_and_of_no_other(engine, session, heartbeat, claims):
    cancelled, lost = claims[3], claims[7]
    session.execute(sa.text("UPDATE tasks SET cancel_requested_at = now() WHERE id = :id"), {"id": cancelled.id})
    session.execute(sa.text("UPDATE tasks SET lease = gen_random_uuid() WHERE id = :id"), {"id": lost.id})
    session.commit()

    heartbeat.tick()

    asked = {each.claim.id: type(each.stop_error) for each in attempts(heartbeat) if each.stop_error is not None}
    assert asked == {cancelled.id: TaskCancelled, lost.id: LeaseGone}


def test_a_lease_that_this_process_lost_and_took_again_is_lost_to_the_first_attempt_only(session, heartbeat, claims):
    first = attempts(heartbeat)[0]
    again = structs.replace(first.claim, lease=claims[1].lease)
    session.execute(sa.text("UPDATE tasks SET lease = :lease WHERE id = :id"), {"lease": again.lease, "id": again.id})
    session.commit()
    second = replace(first, claim=again)
    heartbeat._in_progress._runs[TASKS] = HintInProgress(
        claims={again.id: again}, current=second, started=time.monotonic() - 5
    )

    heartbeat.tick()

    assert isinstance(first.stop_error, LeaseGone)
    assert second.stop_error is None


def test_what_all_of_them_report_is_written_by_one_statement(engine, session, heartbeat, claims):
    heartbeat.tick()
    for number, running in enumerate(attempts(heartbeat)):
        running.progress = {"fraction": number / TASKS, "message": f"page {number}"}
    with statements(engine) as sent:
        heartbeat.tick()

    assert len(sent) == 1
    assert read_task(session, claims[4].id).progress == {"fraction": 4 / TASKS, "message": "page 4"}


def test_what_one_reports_while_its_row_is_locked_is_told_later_and_keeps_nobody(session, heartbeat, claims):
    heartbeat.tick()
    locked, other = attempts(heartbeat)[:2]
    for running in (locked, other):
        running.progress = {"fraction": 0.5, "message": "half"}
    session.execute(sa.text("SELECT FROM tasks WHERE id = :id FOR UPDATE"), {"id": locked.claim.id})

    heartbeat.tick()
    session.rollback()
    told = [read_task(session, each.claim.id).progress for each in (locked, other)]
    session.rollback()
    heartbeat.tick()

    assert told == [None, {"fraction": 0.5, "message": "half"}]
    assert read_task(session, locked.claim.id).progress == {"fraction": 0.5, "message": "half"}


def test_nobody_writes_into_a_row_whose_lease_is_lost(session, heartbeat, claims):
    heartbeat.tick()
    attempts(heartbeat)[0].progress = {"fraction": 0.5, "message": "half"}
    session.execute(sa.text("UPDATE tasks SET lease = gen_random_uuid() WHERE id = :id"), {"id": claims[0].id})
    session.commit()

    heartbeat.tick()

    assert read_task(session, claims[0].id).progress is None
