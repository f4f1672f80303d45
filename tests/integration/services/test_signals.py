"""A signal before, during and after the suspension of its task, once and twice: taken once, and it wakes the task."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

import pytest
import sqlalchemy as sa
from msgspec.structs import replace

from app import clock
from app.database import from_json, in_transaction, to_json
from app.models import PARKED, Status
from app.services import lifecycle
from app.services.durable import steps
from app.services.lifecycle import LeaseLost, Waits
from tests.support.factories import HOLDER, make_claim, read_task, seconds, statuses_of
from tests.support.locks import somebody_waits
from tests.support.servers.waiting import wait_for
from tests.support.signals import send_signal

APPROVED = Waits(step="approved", signal="approved")


@pytest.fixture
def held(session):
    """A task that an attempt has in work; by the clock of the machine, because moments of waits are PostgreSQL's."""
    claim = make_claim(session, now=clock.utcnow())
    session.commit()
    return claim


def ask(session, claim, *, timeout=None):
    """What the handler's wait_for("approved") does: take it, or note that it waits."""
    return steps.take(
        session,
        claim,
        "approved",
        1,
        signal="approved",
        targets=[claim.id],
        timeout=timeout,
        decrypted=lambda value, _: value,
        kept=to_json,
    )


def suspend(session, claim, waits=APPROVED):
    lifecycle.suspend(session, claim, waits, now=clock.utcnow())


def send(session, claim, data, *, key=None, name="approved"):
    return send_signal(session, claim.id, name, data, key=key, now=clock.utcnow())


def before_it_is_asked_for(claim, data, key):
    in_transaction(lambda session: send(session, claim, data, key=key))
    in_transaction(lambda session: ask(session, claim))


def between_asking_and_suspending(claim, data, key):
    in_transaction(lambda session: ask(session, claim))
    in_transaction(lambda session: send(session, claim, data, key=key))
    in_transaction(lambda session: suspend(session, claim))


def after_the_suspension(claim, data, key):
    in_transaction(lambda session: ask(session, claim))
    in_transaction(lambda session: suspend(session, claim))
    in_transaction(lambda session: send(session, claim, data, key=key))


def while_the_suspension_is_committed(claim, data, key):
    """The sender waits for the row that the suspension has locked."""
    in_transaction(lambda session: ask(session, claim))
    with ThreadPoolExecutor(1) as pool:

        def work(session):
            suspend(session, claim)
            sending = pool.submit(in_transaction, lambda other: send(other, claim, data, key=key))
            wait_for(somebody_waits, timeout=10, what="the sender waits")
            return sending

        in_transaction(work).result(timeout=10)


def while_the_signal_is_committed(claim, data, key):
    """The suspension waits for the row that the sender has locked; it must see what the sender wrote before it."""
    in_transaction(lambda session: ask(session, claim))
    with ThreadPoolExecutor(1) as pool:

        def work(session):
            send(session, claim, data, key=key)
            suspending = pool.submit(in_transaction, lambda other: suspend(other, claim))
            wait_for(somebody_waits, timeout=10, what="the suspension waits")
            return suspending

        in_transaction(work).result(timeout=10)


INTERLEAVINGS = [
    before_it_is_asked_for,
    between_asking_and_suspending,
    while_the_signal_is_committed,
    while_the_suspension_is_committed,
    after_the_suspension,
]


@pytest.mark.parametrize("key", [None, "once"])
@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("interleaving", INTERLEAVINGS)
def test_a_signal_is_taken_once_whenever_it_comes(session, held, interleaving, again, key):
    interleaving(held, "first", key)
    if again:
        in_transaction(lambda other: send(other, held, "second", key=key))

    if interleaving is before_it_is_asked_for:
        claim = held
    else:
        assert read_task(session, held.id).status == Status.PENDING
        assert statuses_of(session, held.id)[-2:] == ["WAITING", "PENDING"]
        session.commit()
        [claim] = in_transaction(
            lambda other: lifecycle.claim(
                other, held.type, [held.id], holder=HOLDER, lease_seconds=60, now=clock.utcnow()
            )
        )
    waited = in_transaction(lambda other: ask(other, claim))
    asked_again = in_transaction(lambda other: ask(other, claim))

    assert (waited.has_ended, waited.is_timed_out, waited.data) == (True, False, "first")
    assert asked_again == waited
    rows = session.execute(sa.text("SELECT data::text, taken_by FROM signals ORDER BY id")).all()
    left = [("second", None)] if again and key is None else []
    assert [(from_json(data), by) for data, by in rows] == [("first", "approved"), *left]


def test_without_a_signal_it_waits_and_nobody_looks_at_it(session, held):
    assert not ask(session, held).has_ended
    suspend(session, held)
    send(session, held, True, name="another")
    session.commit()

    task = read_task(session, held.id)
    assert (task.status, task.due_at, task.waits_for) == (
        Status.WAITING, PARKED, {"step": "approved", "signal": "approved"},
    )  # fmt: skip
    assert (task.lease, task.dispatched_at, task.attempt_base) == (None, None, task.attempt)


def test_a_wait_that_times_out_is_over_for_good(session, held):
    until = ask(session, held, timeout=timedelta(seconds=30)).until
    suspend(session, held, Waits(step="approved", signal="approved", until=until))
    session.commit()
    wake_due(session, now=until - seconds(1))
    assert read_task(session, held.id).status == Status.WAITING
    wake_due(session, now=until)
    assert read_task(session, held.id).status == Status.PENDING
    send(session, held, "late")
    [claim] = lifecycle.claim(session, held.type, [held.id], holder=HOLDER, lease_seconds=60, now=until)

    waited = ask(session, claim)

    assert (waited.has_ended, waited.is_timed_out) == (True, True)
    assert session.scalar(sa.text("SELECT count(*) FROM signals WHERE taken_by IS NULL")) == 1


def wake_due(session, *, now):
    woken = lifecycle.wake_due(session, since=now - timedelta(days=1), now=now, limit=10)
    session.commit()
    return woken


def test_a_worker_that_lost_its_lease_takes_nothing_and_suspends_nothing(session, held):
    stale = replace(held, lease=uuid4())
    send(session, held, "for the other")
    session.commit()

    for work in (lambda: ask(session, stale), lambda: suspend(session, stale)):
        with pytest.raises(LeaseLost):
            work()
        session.rollback()
    assert read_task(session, held.id).status == Status.PROCESSING
    assert session.scalar(sa.text("SELECT count(*) FROM signals WHERE taken_by IS NULL")) == 1


def test_a_cancellation_that_came_first_ends_it(session, held):
    ask(session, held)
    lifecycle.ask_to_stop(session, [held.id], now=clock.utcnow())
    suspend(session, held)

    task = read_task(session, held.id)
    assert (task.status, task.cancel_receipt) == (Status.CANCELLED, "stopped")
