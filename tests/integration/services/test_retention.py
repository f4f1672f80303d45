"""Forgetting what is old."""

from datetime import timedelta

import sqlalchemy as sa

from app.models import new_id
from app.services import lifecycle, retention
from app.services.measuring import integrity
from app.services.retention import Ages, Pruner, first_id_at
from app.services.tasks import task_log
from app.services.tasks.task_log import LogLine
from tests.support.factories import NOON, bring_to, make_claim, make_task, read_task

AGES = Ages.in_days(completed=30, failed=90, cancelled=0, events=90)
DAY = timedelta(days=1)


def finished(session, status, *, age):
    """A task that was submitted and ended so long ago."""
    at = NOON - age
    task = make_task(session, id=first_id_at(at), created_at=at)
    bring_to(session, status, task.id, at=at)
    return task


def exists(session, task):
    return session.scalar(sa.text("SELECT count(*) FROM tasks WHERE id = :id"), {"id": task.id}) == 1


def test_tasks_are_deleted_by_the_age_of_their_status(session):
    old, young = finished(session, "COMPLETED", age=31 * DAY), finished(session, "COMPLETED", age=29 * DAY)
    failed, cancelled = finished(session, "FAILED", age=32 * DAY), finished(session, "CANCELLED", age=400 * DAY)

    Pruner().prune_tasks(session, AGES, now=NOON)

    assert [exists(session, task) for task in (old, young, failed, cancelled)] == [False, True, True, True]


def test_what_is_unfinished_is_never_deleted(session):
    at = NOON - 400 * DAY
    task = make_task(session, id=first_id_at(at), created_at=at)

    Pruner().prune_tasks(session, AGES, now=NOON)

    assert exists(session, task)


def test_pruning_goes_on_where_the_last_batch_ended(session, monkeypatch):
    monkeypatch.setattr(retention, "BATCH", 2)
    tasks = [finished(session, "COMPLETED", age=(40 + index) * DAY) for index in range(5)]
    pruner = Pruner()

    batches = [pruner.prune_tasks(session, AGES, now=NOON) for _ in range(3)]

    assert batches == [2, 2, 0]
    assert not any(exists(session, task) for task in tasks)


def test_a_tasks_log_goes_with_it(session):
    task = finished(session, "COMPLETED", age=31 * DAY)
    task_log.write(session, [LogLine(task_id=task.id, attempt=1, at=NOON, message="page 4", fields={"page": 4})])

    Pruner().prune_tasks(session, AGES, now=NOON)

    assert session.scalar(sa.text("SELECT count(*) FROM task_log")) == 0


def test_partitions_of_the_days_ahead_are_made_and_old_ones_dropped(engine, session):
    retention.make_event_partitions(session, now=NOON)
    made = set(session.scalars(retention._PARTITIONS))
    retention.drop_event_partitions(session, AGES, now=NOON + 100 * DAY)
    kept = set(session.scalars(retention._PARTITIONS))
    session.rollback()

    assert {f"task_events_p{NOON + n * DAY:%Y%m%d}" for n in range(7)} <= made
    assert f"task_events_p{NOON:%Y%m%d}" not in kept


def test_events_of_a_day_without_a_partition_are_kept_in_the_default_one(session):
    session.execute(
        sa.text("INSERT INTO task_events (at, task_id, type, status, attempt) VALUES (:at, :id, 'x', 'PENDING', 0)"),
        {"at": NOON + 5000 * DAY, "id": new_id()},
    )

    assert session.scalar(sa.text("SELECT count(*) FROM task_events_default")) == 1
    assert retention.prune_default_events(session, AGES, now=NOON + 5001 * DAY) == 0
    assert retention.prune_default_events(session, AGES, now=NOON + 5100 * DAY) == 1
    assert session.scalar(sa.text("SELECT count(*) FROM task_events_default")) == 0


def test_the_integrity_report_of_a_sound_ledger_is_clean(session):
    held = make_claim(session)
    lifecycle.complete(session, [(held, 5)], now=NOON)
    make_task(session)

    report = integrity.report(session, {"tasks": 1}, now=NOON)

    assert report.clean
    assert (report.tasks_by_status["COMPLETED"], report.tasks_by_status["PENDING"]) == (1, 1)
    assert [(queue.dispatched_pending_tasks, queue.waiting_hints) for queue in report.queues] == [(1, 1)]


def test_the_integrity_report_names_what_is_overdue_and_what_no_live_worker_holds(session):
    make_task(session, due_at=NOON - timedelta(minutes=5))
    held = make_claim(session)

    report = integrity.report(session, {}, now=NOON)

    assert read_task(session, held.id).status == "PROCESSING"
    assert not report.clean
    assert "1 tasks are past due by more than 60 s" in report.findings[0]
    assert "1 tasks are leased to workers that are not alive" in report.findings[1]
