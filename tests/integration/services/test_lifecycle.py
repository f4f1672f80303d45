"""The one door, on PostgreSQL."""

from datetime import timedelta
from uuid import uuid4

import psycopg2
import pytest
import sqlalchemy as sa
from msgspec.structs import replace

from app.models import Status
from app.services import lifecycle
from app.services.lifecycle import LeaseLost, WrongStatus
from app.services.recovery.failures import Failure
from tests.support.factories import HOLDER, NOON, bring_to, make_claim, make_task, read_task, seconds, statuses_of

FAILURE = Failure(type="LookupError", message="no such city", traceback="Traceback ...")


def claim(session, *tasks, now=NOON, type_name="reverse_string"):
    ids = [task.id for task in tasks]
    return lifecycle.claim(session, type_name, ids, holder=HOLDER, lease_seconds=60, now=now)


def test_a_claim_leases_the_task_and_counts_the_attempt(session):
    task = make_task(session)

    [held] = claim(session, task)

    row = read_task(session, task.id)
    assert (row.status, row.attempt, row.lease, row.leased_by) == (Status.PROCESSING, 1, held.lease, HOLDER.worker)
    assert row.due_at == NOON + seconds(60)
    assert (held.retries_used, held.payload) == (0, "hello")


def test_claims_come_in_the_order_of_the_hint(session):
    tasks = [make_task(session) for _ in range(4)]

    assert [held.id for held in claim(session, *tasks[::-1])] == [task.id for task in tasks[::-1]]


@pytest.mark.parametrize("status", [each for each in Status if each != Status.PENDING])
def test_only_a_pending_task_can_be_claimed(session, status):
    task = make_task(session)
    bring_to(session, status, task.id)

    assert claim(session, read_task(session, task.id)) == []


def test_a_hint_of_another_type_claims_nothing(session):
    assert claim(session, make_task(session), type_name="uppercase_text") == []


def test_an_expired_task_is_not_claimed(session):
    task = make_task(session, expires_at=NOON + seconds(10))

    assert claim(session, task, now=NOON + seconds(10)) == []


def test_a_result_is_recorded_once(session):
    held = make_claim(session)

    first = lifecycle.complete(session, [(held, {"answer": 42})], now=NOON)
    second = lifecycle.complete(session, [(held, "another")], now=NOON)

    assert (first, second) == ({held.id}, set())
    row = read_task(session, held.id)
    assert (row.status, row.result, row.due_at, row.lease) == (Status.COMPLETED, {"answer": 42}, None, None)


def test_a_worker_that_lost_its_lease_cannot_record_a_result(session):
    held = make_claim(session)

    assert lifecycle.complete(session, [(replace(held, lease=uuid4()), 5)], now=NOON) == set()
    assert read_task(session, held.id).status == Status.PROCESSING


@pytest.mark.parametrize("record", ["retry_later", "fail", "stopped"])
def test_a_worker_that_lost_its_lease_cannot_record_a_failure(session, record):
    stale = replace(make_claim(session), lease=uuid4())
    how = {
        "retry_later": lambda: lifecycle.retry_later(session, stale, FAILURE, due_at=NOON, now=NOON),
        "fail": lambda: lifecycle.fail(session, stale, FAILURE, now=NOON),
        "stopped": lambda: lifecycle.stopped(session, stale, receipt="stopped", now=NOON),
    }

    with pytest.raises(LeaseLost):
        how[record]()


def test_several_results_are_recorded_in_one_statement(session):
    tasks = [make_task(session) for _ in range(50)]
    claims = claim(session, *tasks)

    recorded = lifecycle.complete(session, [(held, index) for index, held in enumerate(claims)], now=NOON)

    assert recorded == {task.id for task in tasks}
    assert [read_task(session, held.id).result for held in claims] == list(range(50))


def test_integers_of_any_length_survive_as_results(session):
    held = make_claim(session)
    exact = 3**2000

    lifecycle.complete(session, [(held, exact)], now=NOON)

    assert read_task(session, held.id).result == exact


def test_a_failed_attempt_waits_for_the_next_one(session):
    held = make_claim(session)

    lifecycle.retry_later(session, held, FAILURE, due_at=NOON + seconds(8), now=NOON)

    row = read_task(session, held.id)
    assert (row.status, row.due_at, row.dispatched_at) == (Status.RETRYING, NOON + seconds(8), None)
    assert row.error == {"type": "LookupError", "message": "no such city", "traceback": "Traceback ..."}


def test_a_task_whose_cancellation_was_requested_is_cancelled_when_it_raises(session):
    held = make_claim(session)
    lifecycle.ask_to_stop(session, [held.id], now=NOON)

    lifecycle.retry_later(session, held, FAILURE, due_at=NOON + seconds(8), now=NOON)

    row = read_task(session, held.id)
    assert (row.status, row.cancel_receipt) == (Status.CANCELLED, "stopped")


def test_a_handler_that_returns_before_it_could_be_stopped_has_completed(session):
    held = make_claim(session)
    lifecycle.ask_to_stop(session, [held.id], now=NOON)

    lifecycle.complete(session, [(held, 5)], now=NOON)

    row = read_task(session, held.id)
    assert (row.status, row.cancel_receipt) == (Status.COMPLETED, "finished_first")


def test_an_attempt_that_is_given_back_is_not_counted(session):
    held = make_claim(session)

    lifecycle.give_back(session, [held], reason="shutting down", now=NOON + seconds(1))

    row = read_task(session, held.id)
    assert (row.status, row.attempt, row.dispatched_at, row.due_at) == (Status.PENDING, 0, None, NOON + seconds(1))


def test_a_replay_grants_fresh_retries_and_counts_attempts_on(session):
    held = make_claim(session, max_retries=0)
    lifecycle.fail(session, held, FAILURE, now=NOON)

    assert lifecycle.replay(session, [held.id], now=NOON) == {held.id}

    [again] = claim(session, read_task(session, held.id))
    assert (again.attempt, again.retries_used) == (2, 0)


def test_a_completed_task_cannot_be_replayed(session):
    held = make_claim(session)
    lifecycle.complete(session, [(held, 5)], now=NOON)

    assert lifecycle.replay(session, [held.id], now=NOON) == set()


def test_a_replayed_payload_leaves_the_old_one_in_the_history(session):
    held = make_claim(session)
    lifecycle.fail(session, held, FAILURE, now=NOON)

    lifecycle.replay(session, [held.id], now=NOON, payload='"edited"')

    detail = session.scalar(sa.text("SELECT detail FROM task_events ORDER BY id DESC LIMIT 1"))
    assert detail["replaced_payload"] == "hello"
    assert read_task(session, held.id).payload == "edited"


def test_what_is_due_falls_due_and_what_is_not_waits(session):
    due = make_task(session, status="SCHEDULED", due_at=NOON, dispatched_at=None)
    later = make_task(session, status="SCHEDULED", due_at=NOON + seconds(1), dispatched_at=None)
    held_back = make_task(session, dispatched_at=None, due_at=NOON)
    make_task(session)  # its hint is out

    fallen = lifecycle.fall_due(session, since=NOON - timedelta(days=1), now=NOON, limit=10)[0]

    assert {each.id for each in fallen} == {due.id, held_back.id}
    assert read_task(session, due.id).dispatched_at == NOON
    assert read_task(session, later.id).status == Status.SCHEDULED


def test_a_task_not_started_by_its_expires_at_is_cancelled_with_the_reason(session):
    task = make_task(session, expires_at=NOON + seconds(2))

    assert read_task(session, task.id).due_at == NOON + seconds(2)  # the dispatcher looks at it in time
    assert lifecycle.expire(session, since=NOON, now=NOON + seconds(2), limit=10) == 1
    row = read_task(session, task.id)
    assert (row.status, row.cancel_receipt, row.reason) == (
        Status.CANCELLED,
        "never_started",
        "not started before its expires_at",
    )


def test_moving_the_start_of_a_task_to_later_schedules_it(session):
    task = make_task(session)

    lifecycle.reschedule(session, task.id, scheduled_at=NOON + seconds(60), now=NOON)

    row = read_task(session, task.id)
    assert (row.status, row.due_at, row.dispatched_at) == (Status.SCHEDULED, NOON + seconds(60), None)


def test_moving_the_start_of_a_scheduled_task_to_now_makes_it_pending(session):
    task = make_task(session, status="SCHEDULED", due_at=NOON + seconds(60), dispatched_at=None)

    lifecycle.reschedule(session, task.id, scheduled_at=None, now=NOON)

    assert (read_task(session, task.id).status, read_task(session, task.id).due_at) == (Status.PENDING, NOON)


def test_a_running_task_cannot_be_rescheduled(session):
    held = make_claim(session)

    with pytest.raises(WrongStatus, match="PROCESSING"):
        lifecycle.reschedule(session, held.id, scheduled_at=NOON + seconds(60), now=NOON)


def test_every_change_of_a_status_is_in_the_history(session):
    held = make_claim(session)
    lifecycle.retry_later(session, held, FAILURE, due_at=NOON, now=NOON)
    lifecycle.fall_due(session, since=NOON, now=NOON, limit=1)
    [again] = claim(session, read_task(session, held.id))
    lifecycle.complete(session, [(again, 5)], now=NOON)

    assert statuses_of(session, held.id) == ["PENDING", "PROCESSING", "RETRYING", "PENDING", "PROCESSING", "COMPLETED"]


def test_a_status_set_by_hand_is_in_the_history_and_runs_a_finished_task_again(session):
    held = make_claim(session)
    lifecycle.fail(session, held, FAILURE, now=NOON)

    session.execute(sa.text("UPDATE tasks SET status = 'PENDING' WHERE id = :id"), {"id": held.id})

    row = read_task(session, held.id)
    assert statuses_of(session, held.id)[-1] == "PENDING"
    assert (row.result, row.finished_at, row.dispatched_at) == (None, None, None)
    assert row.due_at is not None


@pytest.mark.parametrize(
    "change",
    [
        "status = 'PROCESSING'",
        "status = 'RUNNING'",
        "priority = 'urgent'",
        "attempt = -1",
        "max_retries = -1",
        "timeout_seconds = 0",
        "labels = '[]'",
    ],
)
def test_a_row_that_would_not_be_whole_is_refused(session, change):
    task = make_task(session)

    with pytest.raises(sa.exc.IntegrityError) as refused:
        session.execute(sa.text(f"UPDATE tasks SET {change} WHERE id = :id"), {"id": task.id})
    assert isinstance(refused.value.orig, psycopg2.errors.CheckViolation)


# What the database asks for beside the status; the rest it completes by itself.
NEEDED = {
    "RETRYING": "error = '{}',",
    "FAILED": "error = '{}',",
    "CANCELLED": "cancel_requested_at = now(), cancel_receipt = 'killed',",
}


@pytest.mark.parametrize("status", ["PENDING", "RETRYING", "CANCELLED", "COMPLETED", "FAILED"])
def test_an_unfinished_row_is_never_stranded_by_hand(session, status):
    held = make_claim(session)

    session.execute(
        sa.text(f"UPDATE tasks SET {NEEDED.get(status, '')} status = :status, due_at = NULL WHERE id = :id"),
        {"status": status, "id": held.id},
    )

    row = read_task(session, held.id)
    assert (row.due_at is None) == row.is_finished
    assert (row.finished_at is not None) == row.is_finished
    assert row.lease is None


def test_a_claim_whose_answer_was_lost_is_found_again_under_its_lease(session):
    task, lease = make_task(session), uuid4()
    how = {"holder": HOLDER, "lease_seconds": 60, "now": NOON, "lease": lease}
    [first] = lifecycle.claim(session, task.type, [task.id], **how)

    assert lifecycle.claim(session, task.type, [task.id], **how) == []
    assert lifecycle.held_under(session, lease, [task.id], lease_seconds=60) == [first]


def test_a_task_that_has_started_in_time_may_be_retried_after_its_expires_at(session):
    held = make_claim(session, expires_at=NOON + seconds(10))
    lifecycle.retry_later(session, held, FAILURE, due_at=NOON + seconds(20), now=NOON)
    lifecycle.fall_due(session, since=NOON, now=NOON + seconds(20), limit=1)

    assert lifecycle.expire(session, since=NOON, now=NOON + seconds(20), limit=1) == 0
    assert len(claim(session, read_task(session, held.id), now=NOON + seconds(20))) == 1
