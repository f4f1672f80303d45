"""Cancelling, replaying, pausing: what callers can do with tasks, and what the ledger makes of it."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from app.errors import Conflict, NotFound
from app.models import Status, new_id
from app.services import lifecycle
from app.services.dispatch import queues
from app.services.lifecycle import OnHold, hints, holds
from app.services.measuring import queue_report
from app.services.recovery.failures import Failure
from app.services.tasks import cancellation, dead_letters, replay
from app.services.tasks.dead_letters import DeadLetterFilter
from taskledger_sdk.errors import PayloadRefused
from tests.support.factories import HOLDER, NOON, make_claim, make_task, pass_events_on, read_task, seconds


def cancel(session, task_id):
    return cancellation.cancel(session, task_id, owner=None, by="ada", now=NOON)


def dead(session, *, message="no such city", now=NOON, **columns):
    held = make_claim(session, **columns)
    lifecycle.fail(session, held, Failure(type="LookupError", message=message), now=now)
    return held


@pytest.mark.parametrize("status", ["PENDING", "SCHEDULED", "RETRYING"])
def test_a_waiting_task_is_cancelled_at_once(session, status):
    task = make_task(session, status=status)

    found = cancel(session, task.id)

    assert not found.is_stopping
    assert (found.task.status, found.task.cancel_receipt, found.task.reason) == (
        Status.CANCELLED,
        "never_started",
        "cancelled by ada",
    )


def test_a_running_task_is_asked_to_stop(session):
    held = make_claim(session)

    found = cancel(session, held.id)

    assert found.is_stopping
    assert (found.task.status, found.task.cancel_requested_at) == (Status.PROCESSING, NOON)


def test_cancelling_a_cancelled_task_answers_with_it(session):
    task = make_task(session)
    cancel(session, task.id)

    assert cancel(session, task.id).task.status == Status.CANCELLED


def test_what_has_completed_cannot_be_cancelled(session):
    held = make_claim(session)
    lifecycle.complete(session, [(held, 5)], now=NOON)

    with pytest.raises(Conflict, match="COMPLETED"):
        cancel(session, held.id)


def test_cancelling_a_task_that_does_not_exist_says_so(session):
    with pytest.raises(NotFound):
        cancel(session, new_id())


def test_a_dead_letter_is_replayed_with_an_edited_payload(session):
    held = dead(session)

    task = replay.replay(session, held.id, owner=None, now=NOON, edited=replay.Edited(payload="better"), max_retries=7)

    assert (task.status, task.payload, task.max_retries, task.due_at) == (Status.PENDING, "better", 7, NOON)


def test_an_edited_payload_that_its_type_refuses_replays_nothing(session):
    held = dead(session)

    with pytest.raises(PayloadRefused):
        replay.replay(session, held.id, owner=None, now=NOON, edited=replay.Edited(payload=17))
    assert read_task(session, held.id).status == Status.FAILED


def test_dead_letters_are_counted_and_replayed_by_cause(session):
    city, number = dead(session), dead(session, message="no such number")
    fingerprint = read_task(session, city.id).error_fingerprint
    wanted = DeadLetterFilter(type="reverse_string", fingerprint=fingerprint)

    assert dead_letters.count(session, wanted) == 1
    assert replay.replay_batch(session, wanted, now=NOON) == 1
    assert replay.replay_batch(session, wanted, now=NOON) == 0
    assert read_task(session, city.id).status == Status.PENDING
    assert read_task(session, number.id).status == Status.FAILED


def test_what_failed_after_the_dry_run_is_left_out(session):
    before, after = dead(session), dead(session, now=NOON + seconds(1))

    replay.replay_batch(session, DeadLetterFilter(failed_before=NOON + seconds(1)), now=NOON + seconds(2))

    assert read_task(session, before.id).status == Status.PENDING
    assert read_task(session, after.id).status == Status.FAILED


def test_dead_letters_are_grouped_by_cause_most_frequent_first(session):
    for city in range(3):
        dead(session, message=f"no such city: {city}")
    dead(session, message="another fault")

    found = dead_letters.groups(session, owner=None, now=NOON + timedelta(days=1))

    assert [(group.count, group.error_type) for group in found] == [(3, "LookupError"), (1, "LookupError")]


def test_purged_dead_letters_leave_no_history(session):
    held = dead(session)
    pass_events_on(session)

    assert dead_letters.purge_batch(session, DeadLetterFilter()) == 1
    assert session.scalar(sa.text("SELECT count(*) FROM task_events WHERE task_id = :id"), {"id": held.id}) == 0


def test_a_task_of_a_paused_type_cannot_be_claimed_and_is_held_by_the_ledger(session):
    task = make_task(session)
    queues.pause(session, "type", "reverse_string", by="ada", reason="the disk is full", now=NOON)

    claimed = lifecycle.claim(session, task.type, [task.id], holder=HOLDER, lease_seconds=60, now=NOON)
    held = lifecycle.hold_paused(session, [task.id])

    row = read_task(session, task.id)
    assert (claimed, held) == ([], {task.id})
    assert (row.dispatched_at, row.due_at, row.reason) == (None, holds.NEVER, holds.TYPE_PAUSED)
    assert holds.on_hold(row) is OnHold.TYPE_PAUSED


def test_what_waits_for_a_broker_that_is_away_is_not_on_hold_for_a_pause(session):
    task = make_task(session)
    later = NOON + seconds(30)
    hints.withdraw(session, [task.id], dispatched_at=read_task(session, task.id).dispatched_at, until=later)

    assert holds.release_resumed(session, now=NOON, limit=10) == 0
    assert read_task(session, task.id).due_at == later
    assert holds.on_hold(read_task(session, task.id)) is None


def test_a_task_that_expires_on_hold_is_looked_at_then(session):
    task = make_task(session, expires_at=NOON + seconds(60))
    queues.pause(session, "type", "reverse_string", by=None, reason=None, now=NOON)

    lifecycle.hold_paused(session, [task.id])

    row = read_task(session, task.id)
    assert (row.due_at, holds.on_hold(row)) == (NOON + seconds(60), OnHold.TYPE_PAUSED)


def test_a_task_that_needs_admission_is_on_hold_until_it_is_admitted(session):
    first, second = (make_task(session, ordering_key="one") for _ in range(2))

    assert [holds.on_hold(read_task(session, each.id)) for each in (first, second)] == [OnHold.ADMISSION] * 2
    lifecycle.admitted(session, [first.id], until=NOON, now=NOON)
    assert holds.on_hold(read_task(session, first.id)) is None


def test_held_tasks_are_released_once_their_type_is_resumed(session):
    task, other = make_task(session), make_task(session, type="uppercase_text")
    for name in ("reverse_string", "uppercase_text"):
        queues.pause(session, "type", name, by=None, reason=None, now=NOON)
    lifecycle.hold_paused(session, [task.id, other.id])

    assert holds.release_resumed(session, now=NOON, limit=10) == 0
    assert queues.resume(session, "type", "reverse_string", now=NOON)
    assert queues.any_resumed(session)
    assert holds.release_resumed(session, now=NOON, limit=10) == 1
    assert (read_task(session, task.id).due_at, read_task(session, other.id).due_at) == (NOON, holds.NEVER)


def test_pausing_again_keeps_the_first_pause_and_resuming_again_does_nothing(session):
    first = queues.pause(session, "queue", "tasks", by="ada", reason="deploy", now=NOON)

    assert queues.pause(session, "queue", "tasks", by="bob", reason="?", now=NOON + seconds(9)) == first
    assert queues.resume(session, "queue", "tasks", now=NOON)
    assert not queues.resume(session, "queue", "tasks", now=NOON)


def test_a_queue_nobody_knows_cannot_be_paused(session):
    with pytest.raises(NotFound, match="no queue called 'tsaks'"):
        queues.pause(session, "queue", "tsaks", by=None, reason=None, now=NOON)


def test_queues_are_counted(session):
    make_task(session, created_at=NOON - seconds(90))
    make_task(session)
    make_claim(session)

    _, [queue, of_deliveries] = queue_report.read(session, now=NOON)

    assert (of_deliveries.name, of_deliveries.figures.waiting) == ("webhooks", 0)
    figures = queue.figures
    assert (figures.waiting, figures.running, figures.oldest_seconds, queue.workers) == (2, 1, 90.0, 0)


def test_a_held_task_that_expires_is_released_with_the_others(session):
    task = make_task(session, expires_at=NOON + seconds(600))
    queues.pause(session, "type", "reverse_string", by=None, reason=None, now=NOON)
    lifecycle.hold_paused(session, [task.id])
    queues.resume(session, "type", "reverse_string", now=NOON)

    assert holds.release_resumed(session, now=NOON, limit=10) == 1
    assert read_task(session, task.id).due_at == NOON


def test_cancelling_a_task_that_waits_for_its_retry_says_that_it_had_started(session):
    held = make_claim(session)
    failure = Failure(type="LookupError", message="no such city")
    lifecycle.retry_later(session, held, failure, due_at=NOON + seconds(60), now=NOON)

    assert cancel(session, held.id).task.cancel_receipt == "stopped"
