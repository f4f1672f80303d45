"""Moving on what lost processes, lost workers and expired leases left behind."""

import pytest
import sqlalchemy as sa

from app.models import Status
from app.services import lifecycle
from app.services.lifecycle import Holder
from app.services.measuring import counters
from app.services.recovery import rescue
from app.services.recovery.failures import Failure
from tests.support.factories import HOLDER, NOON, make_claim, make_task, read_task, seconds

LOST = Failure(type="WorkerLost", message="its process is gone")
HALF = {"random": lambda: 0.5}


def lost_process(session, *ids, pid=HOLDER.pid, now=NOON):
    return rescue.lost_process(session, ids, worker=HOLDER.worker, pid=pid, failure=LOST, now=now, **HALF)


def test_a_lost_attempt_counts_and_waits_for_its_types_backoff(session):
    held = make_claim(session)

    moved = lost_process(session, held.id)

    row = read_task(session, held.id)
    assert moved.count == 1
    assert (row.status, row.attempt, row.error["type"]) == (Status.RETRYING, 1, "WorkerLost")
    assert NOON < row.due_at <= NOON + seconds(2)


def test_a_lost_attempt_without_retries_left_is_a_dead_letter(session):
    held = make_claim(session, max_retries=0)

    moved = lost_process(session, held.id)

    assert [dead.id for dead in moved.dead] == [held.id]
    assert read_task(session, held.id).status == Status.FAILED


def test_a_lost_attempt_whose_cancellation_was_requested_was_killed(session):
    held = make_claim(session)
    lifecycle.ask_to_stop(session, [held.id], now=NOON)

    lost_process(session, held.id)

    row = read_task(session, held.id)
    assert (row.status, row.cancel_receipt) == (Status.CANCELLED, "killed")


def test_what_another_process_holds_is_left_alone(session):
    held = make_claim(session)

    assert lost_process(session, held.id, pid=HOLDER.pid + 1).count == 0
    assert read_task(session, held.id).status == Status.PROCESSING


def test_a_lost_chunk_returns_uncounted_and_each_task_travels_alone_from_then_on(session):
    tasks = [make_task(session) for _ in range(3)]
    ids = [task.id for task in tasks]
    lifecycle.claim(session, "reverse_string", ids, holder=HOLDER, lease_seconds=60, now=NOON)

    lost_process(session, *ids)

    rows = [read_task(session, id_) for id_ in ids]
    assert [(row.status, row.attempt, row.unchunked) for row in rows] == [(Status.PENDING, 0, True)] * 3


def test_an_attempt_that_had_overrun_its_limit_was_ended_by_it(session):
    held = make_claim(session, timeout_seconds=5)

    lost_process(session, held.id, now=NOON + seconds(6))

    assert read_task(session, held.id).error["type"] == "TimeLimitExceeded"


@pytest.mark.parametrize(("after", "status"), [(59, Status.PROCESSING), (60, Status.RETRYING)])
def test_a_lease_is_respected_until_it_has_expired(session, after, status):
    held = make_claim(session, unchunked=True)

    now = NOON + seconds(after)
    rescue.expired_leases(session, [held.id], before=now, now=now, **HALF)

    assert read_task(session, held.id).status == status


def test_tasks_of_a_worker_that_is_gone_are_moved_on_and_those_of_others_are_not(session):
    gone = make_claim(session, unchunked=True)
    alive = make_claim(session, unchunked=True, holder=Holder(worker="worker-b/00000002", pid=1))

    moved = rescue.lost_workers(session, [HOLDER.worker], now=NOON, limit=10, **HALF)

    assert moved.count == 1
    assert read_task(session, gone.id).status == Status.RETRYING
    assert read_task(session, alive.id).status == Status.PROCESSING


def test_lost_attempts_are_counted(session):
    lost_process(session, make_claim(session).id)
    lost_process(session, make_claim(session).id)

    assert counters.read(session) == {counters.ATTEMPTS_LOST: 2}


def test_a_row_that_its_own_worker_is_recording_is_not_waited_for(engine, session):
    held = make_claim(session)
    session.commit()
    with engine.connect() as other, other.begin():
        other.execute(sa.text("SELECT 1 FROM tasks WHERE id = :id FOR UPDATE"), {"id": held.id})

        now = NOON + seconds(90)
        moved = rescue.expired_leases(session, [held.id], before=now, now=now, **HALF)

    assert moved.count == 0


def test_a_task_that_may_have_been_in_a_chunk_is_charged_only_once_it_travels_alone(session):
    held = make_claim(session, max_retries=0)

    rescue.lost_workers(session, [HOLDER.worker], now=NOON, limit=10, **HALF)

    row = read_task(session, held.id)
    assert (row.status, row.attempt, row.unchunked) == (Status.PENDING, 0, True)
    lifecycle.claim(session, row.type, [row.id], holder=HOLDER, lease_seconds=60, now=NOON)
    rescue.lost_workers(session, [HOLDER.worker], now=NOON, limit=10, **HALF)
    assert read_task(session, held.id).status == Status.FAILED
