"""The views, against the answers of the API to the same questions."""

from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa

from app.clock import utcnow
from app.models import Status
from app.services.dispatch import queues
from tests.support.factories import bring_to, create_schedule, make_task

pytestmark = pytest.mark.usefixtures("known_types")
WORKER = sa.text(
    "INSERT INTO workers (id, node, host, pid, concurrency, queues, types, version, started_at, last_seen_at) VALUES "
    "('worker-a/00000001', 'worker-a', 'here', 1, 2, ARRAY['tasks'], "
    """'{"reverse_string": "x", "http_request": "x"}', 'test', now(), now())"""
)


def in_each_status(session, **columns) -> dict[str, str]:
    """A task in each status, by status."""
    ids = {}
    for status in Status:
        task = make_task(session, now=utcnow() - timedelta(seconds=30), **columns)
        if status != Status.PENDING:
            bring_to(session, status, task.id, at=utcnow())
        ids[status.value] = str(task.id)
    session.commit()
    return ids


def test_v_tasks_says_what_the_api_says(client, session, psql, admin):
    ids = in_each_status(session, labels={"team": "billing"}, name="a name", owner_id=admin.id)

    for status, task_id in ids.items():
        shown = client.get(f"/api/v1/tasks/{task_id}").json
        [row] = psql("SELECT * FROM taskledger.v_tasks WHERE id = %s", task_id)

        same = ("id", "type", "name", "status", "reason", "payload", "result", "priority", "queue", "owner", "labels")
        same += ("progress", "cancel_receipt")
        assert {name: row[name] for name in same} == {name: shown[name] for name in same}
        moments = ("created_at", "scheduled_at", "expires_at", "started_at", "finished_at", "due_at")
        for moment in moments:
            said = shown[moment] and datetime.fromisoformat(shown[moment])
            assert (row[moment] is None) == (said is None)
            assert said is None or abs(row[moment] - said) < timedelta(milliseconds=1)
        assert row["attempts"] == shown["attempt"]
        error = shown["error"] and f"{shown['error']['type']}: {shown['error']['message']}"
        assert row["last_error"] == error
        assert row["age"] >= timedelta(seconds=30)
        assert (row["running"] is not None) == (status in ("PROCESSING", "COMPLETED", "FAILED"))
        assert row["waiting"] >= timedelta(seconds=29)


def test_v_events_is_the_history_that_the_api_shows(client, session, psql):
    ids = in_each_status(session)

    for task_id in ids.values():
        shown = client.get(f"/api/v1/tasks/{task_id}/events").json["items"]
        rows = psql("SELECT * FROM taskledger.v_events WHERE task_id = %s ORDER BY id", task_id)
        same = ("status", "previous_status", "attempt", "worker")
        assert [[row[name] for name in same] for row in rows] == [[event[name] for name in same] for event in shown]


def test_v_dead_letters_has_the_groups_of_the_api(client, session, psql):
    for fingerprint, number in (("aaaaaaaaaaaaaaaa", 3), ("bbbbbbbbbbbbbbbb", 1)):
        for _ in range(number):
            bring_to(session, Status.FAILED, make_task(session, error_fingerprint=fingerprint).id, at=utcnow())
    session.commit()

    rows = psql("SELECT * FROM taskledger.v_dead_letters ORDER BY count DESC")
    groups = client.get("/api/v1/dead-letters/groups").json["items"]

    assert [row["count"] for row in rows] == [3, 1]
    same = ("fingerprint", "type", "error_type", "message", "count", "example_id")
    assert [[row[name] for name in same] for row in rows] == [[group[name] for name in same] for group in groups]
    assert list(rows[0]) == list(groups[0])


def test_v_queue_status_has_the_queues_of_the_api(client, session, psql):
    session.execute(WORKER)
    in_each_status(session)
    in_each_status(session, queue="reports")
    queues.pause(session, "queue", "tasks", by=None, reason="tea", now=utcnow())
    session.commit()

    rows = psql("SELECT * FROM taskledger.v_queue_status ORDER BY name")
    shown = client.get("/api/v1/queues").json["items"]

    same = ("name", "pending", "running", "workers")
    assert [[row[name] for name in same] for row in rows] == [[queue[name] for name in same] for queue in shown]
    assert [row["later"] for row in rows] == [2, 2, 0]
    reasons = [queue["paused"] and queue["paused"]["reason"] for queue in shown]
    assert [row["pause_reason"] for row in rows] == reasons == [None, "tea", None]
    for row, queue in zip(rows, shown, strict=True):
        waited = [found["oldest_pending_seconds"] for found in (row, queue)]
        assert waited == [None, None] if row["name"] == "webhooks" else abs(waited[0] - waited[1]) < 10


def test_v_schedule_next_has_the_schedules_of_the_api(client, session, psql):
    create_schedule(session, now=utcnow(), name="hourly", time_zone="Europe/Berlin")
    create_schedule(session, now=utcnow(), enabled=False, cron="5 4 * * *")
    session.commit()

    rows = psql("SELECT * FROM taskledger.v_schedule_next ORDER BY id DESC")
    shown = client.get("/api/v1/schedules").json["items"]

    same = ("id", "name", "cron", "time_zone", "enabled", "overlap", "misfire")
    assert [[row[name] for name in same] for row in rows] == [[each[name] for name in same] for each in shown]
    assert [row["type"] for row in rows] == ["reverse_string", "reverse_string"]
    local = rows[1]["next_local"]
    assert local.minute == 0
    assert rows[1]["next_at"] > utcnow()


def test_v_stuck_counts_what_the_integrity_report_counts(client, session, psql):
    long_ago = utcnow() - timedelta(minutes=10)
    for _ in range(2):
        make_task(session, now=long_ago, due_at=long_ago)
    make_task(session, now=utcnow())
    running = make_task(session, now=utcnow())
    bring_to(session, Status.PROCESSING, running.id, at=utcnow())
    session.commit()

    report = client.get("/api/v1/integrity").json
    by_what = {
        row["what"].split(":")[0]: row["n"]
        for row in psql("SELECT what, count(*) AS n FROM taskledger.v_stuck GROUP BY what")
    }

    assert (
        by_what
        == {
            "past due": report["overdue_tasks"],
            "its worker is gone": report["leases_without_live_worker"],
        }
        == {"past due": 2, "its worker is gone": 1}
    )


def test_with_all_well_nothing_is_stuck(session, psql):
    session.execute(WORKER)
    in_each_status(session)
    session.execute(sa.text("UPDATE tasks SET due_at = now() + interval '1 minute' WHERE due_at IS NOT NULL"))
    session.commit()

    assert psql("SELECT * FROM taskledger.v_stuck") == []


def waits_for(psql, task_id) -> str:
    return psql.one("SELECT waiting_on FROM taskledger.v_waiting_on WHERE id = %s", task_id)


def test_v_waiting_on_says_what_each_task_waits_for(session, psql):
    ids = in_each_status(session)
    unknown = str(make_task(session, type="http_request_2", now=utcnow()).id)
    session.commit()
    assert waits_for(psql, ids["PENDING"]) == "no live worker serves its queue"

    session.execute(WORKER)
    session.commit()
    assert waits_for(psql, ids["SCHEDULED"]) == "its start"
    assert waits_for(psql, ids["RETRYING"]) == "its next attempt"
    assert waits_for(psql, ids["PENDING"]) == "a free worker"
    assert waits_for(psql, ids["WAITING"]) == "the signal approved"
    assert waits_for(psql, unknown) == "no live worker of its queue knows its type"
    assert psql.one("SELECT count(*) FROM taskledger.v_waiting_on") == 5

    psql("SELECT taskledger.submit('reverse_string', '\"a\"')")
    [held] = psql("SELECT * FROM taskledger.v_waiting_on WHERE waiting_on = 'the dispatcher'")
    assert held["until"] is None

    psql("SELECT taskledger.pause_queue('tasks', 'tea')")
    assert waits_for(psql, ids["PENDING"]) == "its queue is paused"
    psql("SELECT taskledger.pause_type('reverse_string', 'cake')")
    [row] = psql("SELECT waiting_on, reason FROM taskledger.v_waiting_on WHERE id = %s", ids["PENDING"])
    assert row == {"waiting_on": "its type is paused", "reason": "cake"}


def test_every_view_and_column_has_a_comment(session):
    bare = session.scalars(
        sa.text(
            "SELECT relname || coalesce('.' || attname, '') FROM pg_class "
            "LEFT JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 "
            "WHERE relnamespace = 'taskledger'::regnamespace AND relkind = 'v' "
            "AND (col_description(pg_class.oid, attnum) IS NULL OR obj_description(pg_class.oid, 'pg_class') IS NULL)"
        )
    ).all()

    assert bare == []


def test_every_function_has_a_comment_a_fixed_search_path_and_is_closed_to_the_public(session):
    rows = session.execute(
        sa.text(
            "SELECT p.oid::regprocedure::text AS name, prosecdef, proconfig::text AS config, "
            "obj_description(p.oid) AS comment, has_function_privilege('public', p.oid, 'EXECUTE') AS is_open, "
            "prorettype = 'trigger'::regtype AS is_trigger FROM pg_proc p "
            "WHERE pronamespace = 'taskledger'::regnamespace"
        )
    ).all()

    assert [row.name for row in rows if not row.comment] == []
    definers = [row for row in rows if row.prosecdef]
    assert len(definers) > 15
    assert [row.name for row in definers if not (row.config or "").startswith('{"search_path=pg_catalog,')] == []
    assert [row.name for row in definers if row.is_open] == []
