"""What the triggers of `tasks` write into the history and the outbox, whoever changes how many rows."""

import statistics
import time

import pytest
import sqlalchemy as sa

from app.models import Status
from tests.support.factories import NOON, bring_to, make_claim, make_task

EVENTS = sa.text(
    "SELECT task_id, previous_status, status, attempt, worker, detail FROM task_events WHERE id > :after ORDER BY id"
)
NEWEST = sa.text("SELECT coalesce(max(id), 0) FROM task_events")
FORGOTTEN = sa.text(
    "SELECT count(*) FROM task_events AS e FULL JOIN event_outbox AS o ON o.event_id = e.id AND o.at = e.at "
    "WHERE o.event_id IS NULL OR e.id IS NULL"
)


@pytest.fixture
def recorded(session):
    """Do something to the rows; the events that this has written, as tuples."""

    def do(statement, **parameters):
        newest = session.scalar(NEWEST)
        session.execute(sa.text(statement), parameters)
        return [tuple(row) for row in session.execute(EVENTS, {"after": newest})]

    return do


def test_one_statement_for_many_rows_records_each_change_of_a_status_and_nothing_else(session, recorded):
    waiting, done, held = make_task(session), make_task(session), make_claim(session)
    bring_to(session, Status.COMPLETED, done.id)

    found = recorded(
        "UPDATE tasks SET labels = '{\"seen\": \"yes\"}', status = CASE status WHEN 'PENDING' THEN 'CANCELLED' "
        "WHEN 'PROCESSING' THEN 'COMPLETED' ELSE status END"
    )

    assert {(event[0], *event[1:3]) for event in found} == {
        (waiting.id, "PENDING", "CANCELLED"),
        (held.id, "PROCESSING", "COMPLETED"),
    }
    assert len(found) == 2
    assert session.scalar(FORGOTTEN) == 0


def test_submissions_of_one_statement_are_recorded_in_its_order(session, recorded):
    task = make_task(session)

    found = recorded(
        "INSERT INTO tasks (id, type, status, payload, priority, queue, max_retries, created_at, due_at) "
        "SELECT gen_random_uuid(), CAST(n AS text), 'PENDING', '1', priority, queue, 3, :now, :now "
        "FROM tasks, generate_series(1, 50) AS n WHERE id = :id",
        now=NOON,
        id=task.id,
    )

    types = [session.scalar(sa.text("SELECT type FROM tasks WHERE id = :id"), {"id": event[0]}) for event in found]
    assert types == [str(n) for n in range(1, 51)]
    assert {event[1:] for event in found} == {(None, "PENDING", 0, None, None)}
    assert session.scalar(FORGOTTEN) == 0


@pytest.mark.parametrize(
    ("assignments", "detail"),
    [
        ("status = 'COMPLETED'", None),
        ("status = 'COMPLETED', reason = 'by hand'", {"reason": "by hand"}),
        (
            "status = 'FAILED', error = '{\"type\": \"E\"}', reason = 'twice'",
            {"reason": "twice", "error": {"type": "E"}},
        ),
        ("status = 'COMPLETED', payload = '[1]'", {"replaced_payload": "hello"}),
        ("status = 'COMPLETED', payload = '[1]', reason = 'both'", {"replaced_payload": "hello", "reason": "both"}),
    ],
)
def test_an_event_tells_why_what_went_wrong_and_what_was_replaced(session, recorded, assignments, detail):
    held = make_claim(session)

    [(task_id, previous, _, attempt, worker, told)] = recorded(f"UPDATE tasks SET {assignments}")

    assert (task_id, previous, attempt, worker) == (held.id, "PROCESSING", 1, "worker-a/00000001")
    assert told == detail


def test_a_payload_of_null_that_is_replaced_is_told(session, recorded):
    make_claim(session, payload=None)

    [event] = recorded("UPDATE tasks SET status = 'COMPLETED', payload = '[1]'")

    assert event[-1] == {"replaced_payload": None}


def test_a_change_of_nothing_but_other_columns_records_nothing(session, recorded):
    make_claim(session)

    assert recorded("UPDATE tasks SET due_at = due_at + interval '1 minute', progress = '{}'") == []
    assert recorded("UPDATE tasks SET status = 'CANCELLED' WHERE false") == []


def test_many_rows_cost_no_more_each_than_few(session):
    """The plan is made for the first rows that a connection changes, and kept: it must not compare each with each."""
    make_claim(session)

    def microseconds_each(count):
        session.execute(
            sa.text(
                "INSERT INTO tasks (id, type, status, payload, priority, queue, max_retries, created_at, due_at) "
                "SELECT gen_random_uuid(), 'many', 'PENDING', '1', 'normal', 'tasks', 3, :now, :now "
                "FROM generate_series(1, :count)"
            ),
            {"now": NOON, "count": count},
        )
        began = time.perf_counter()
        session.execute(sa.text("UPDATE tasks SET status = 'SCHEDULED' WHERE type = 'many' AND status = 'PENDING'"))
        return (time.perf_counter() - began) * 1e6 / count

    few = statistics.median(microseconds_each(400) for _ in range(3))
    many = statistics.median(microseconds_each(6_000) for _ in range(3))

    assert many < 4 * few
