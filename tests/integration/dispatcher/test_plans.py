"""A backlog grows faster than it is analysed: batches of it are read by the index, and nothing of the rest is."""

from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from app import database
from app.clock import utcnow
from app.dispatcher.dispatch import BATCH, Dispatch
from app.dispatcher.lost_hints import LostHints
from app.services.events import Head, next_batch
from app.services.lifecycle import leases
from tests.integration.dispatcher.publisher import ScriptedPublisher

MANY = 5 * BATCH
FILL = sa.text(
    "INSERT INTO tasks (id, type, status, payload, priority, queue, max_retries, created_at, due_at, dispatched_at) "
    "SELECT gen_random_uuid(), 'reverse_string', 'PENDING', '\"x\"', 'normal', 'tasks', 3, now(), now(), "
    f"CASE WHEN :is_dispatched THEN now() - interval '1 hour' END FROM generate_series(1, {MANY})"
)
READS_ALL = (
    "Seq Scan on tasks",
    "Seq Scan on event_outbox",
    "Bitmap Heap Scan",
    "Sort Key: due_at",
    "Sort Key: event_id",
)


@pytest.fixture
def plans(engine):
    """The plans of all statements on tasks and on the outbox, as PostgreSQL makes them where they run."""
    found: list[str] = []

    def explain(_connection, cursor, statement, parameters, *_):
        if ("tasks" in statement or "event_outbox" in statement) and statement.lstrip().startswith(
            ("WITH", "SELECT", "UPDATE")
        ):
            with cursor.connection.cursor() as beside:
                beside.execute("EXPLAIN " + cursor.mogrify(statement, parameters).decode())
                found.append("\n".join(line for (line,) in beside.fetchall()))

    event.listen(database.engine(), "before_cursor_execute", explain)
    yield found
    event.remove(database.engine(), "before_cursor_execute", explain)


@pytest.mark.parametrize(("duty", "is_dispatched"), [(Dispatch, False), (LostHints, True)])
def test_a_backlog_that_was_never_analysed_is_read_batch_by_batch(session, plans, duty, is_dispatched):
    session.execute(sa.text("ANALYZE tasks"))  # empty: from here on the planner believes that it is small
    session.execute(FILL, {"is_dispatched": is_dispatched})
    session.commit()

    looked = duty(ScriptedPublisher()).run_once(utcnow() + timedelta(seconds=1))

    assert looked == BATCH
    assert len(plans) > 1
    for plan in plans:
        assert not any(each in plan for each in READS_ALL), plan


def test_events_that_pile_up_are_read_batch_by_batch(session, plans):
    session.execute(sa.text("ANALYZE event_outbox"))
    session.execute(
        sa.text(f"INSERT INTO event_outbox (event_id, at) SELECT n, now() FROM generate_series(1, {MANY}) n")
    )
    session.commit()

    batch = database.in_transaction(lambda session: next_batch(session, Head(), limit=BATCH))

    assert len(batch.event_ids) == BATCH
    for plan in plans:
        assert not any(each in plan for each in READS_ALL), plan


def test_a_worker_looks_for_its_expired_leases_among_what_is_due_only(session, plans):
    session.execute(FILL, {"is_dispatched": False})
    session.execute(sa.text("UPDATE tasks SET due_at = now() + interval '1 day'"))
    session.execute(sa.text("ANALYZE tasks"))
    session.commit()
    plans.clear()

    with database.transaction() as of_the_worker:
        assert leases.expired_at(of_the_worker, "worker-1") == []

    [plan] = plans
    assert "Index Cond: (due_at <= now())" in plan, plan
