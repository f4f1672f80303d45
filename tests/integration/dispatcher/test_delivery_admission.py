"""Deliveries to webhooks are admitted a few at once: two for a receiver, half of the slots, and accounts take turns."""

from uuid import UUID

import pytest
import sqlalchemy as sa

from app.dispatcher.admission import BRISK_SECONDS, RECEIVERS_PAUSE_SECONDS, Admission
from app.models import Worker
from app.services import circuits
from app.services.accounts.quotas import QuotaReached, WaitingTasks
from tests.integration.dispatcher.publisher import ScriptedPublisher
from tests.support.factories import NOON, make_task, read_task, seconds

ADA, BEN = UUID(int=1), UUID(int=2)
EVERYTHING, ALONE = ["tasks", "webhooks"], ["webhooks"]


@pytest.fixture
def duty():
    return Admission(ScriptedPublisher())


def worker(session, *, slots, queues=EVERYTHING):
    row = {
        "id": f"worker/{slots}/{len(queues)}", "node": "worker", "host": "here", "pid": 1, "concurrency": slots,
        "queues": queues, "types": {}, "version": "1", "runtime": {}, "started_at": NOON, "last_seen_at": NOON,
    }  # fmt: skip
    session.execute(sa.insert(Worker.__table__).values(row))
    session.commit()


def deliver(session, key, count=1, *, owner=ADA):
    made = {"type": "webhook_delivery", "queue": "webhooks", "payload": {}, "concurrency_key": key, "owner_id": owner}
    tasks = [make_task(session, **made) for _ in range(count)]
    session.commit()
    return [task.id for task in tasks]


def out(session):
    return set(session.scalars(sa.text("SELECT task_id FROM admissions WHERE state IN ('out', 'running')")))


def end(session, *ids):
    session.execute(sa.text("DELETE FROM tasks WHERE id = ANY(CAST(:ids AS uuid[]))"), {"ids": list(ids)})
    session.commit()


def fail(session, key, times):
    to = circuits.Receiver(key=key, owner_id=ADA, origin=key)
    for _ in range(times):
        circuits.failed(session, to, "it answered 500", now=NOON)
    session.commit()


def test_two_at_once_for_a_receiver_whatever_room_there_is(session, duty):
    worker(session, slots=40)
    first = deliver(session, "a", 5)

    duty.run_once(NOON)
    duty.run_once(NOON)

    assert out(session) == set(first[:2])
    end(session, first[0])
    duty.run_once(NOON)
    assert out(session) == {first[1], first[2]}


@pytest.mark.parametrize(
    ("slots", "queues", "most"), [(8, EVERYTHING, 4), (1, EVERYTHING, 1), (8, ALONE, 8), (8, ["tasks"], 1)]
)
def test_they_take_half_of_the_slots_and_all_of_a_worker_that_does_nothing_else(session, duty, slots, queues, most):
    worker(session, slots=slots, queues=queues)
    for number in range(10):
        deliver(session, f"receiver-{number}", 2)

    duty.run_once(NOON)

    assert len(out(session)) == most


def test_accounts_take_turns(session, duty):
    worker(session, slots=8)
    for number in range(10):
        deliver(session, f"a-{number}", 20)
    bens = deliver(session, "b", 2, owner=BEN)

    duty.run_once(NOON)

    assert set(bens) <= out(session)


def test_what_has_waited_for_hours_does_not_go_before_the_turns_of_others(session, duty):
    worker(session, slots=8)
    for number in range(10):
        deliver(session, f"a-{number}", 2)
    session.execute(sa.text("UPDATE admissions SET since = :then"), {"then": NOON - seconds(36_000)})
    bens = deliver(session, "b", 2, owner=BEN)

    duty.run_once(NOON)

    assert set(bens) <= out(session)


def test_receivers_that_fail_leave_half_of_it_to_the_others(session, duty):
    worker(session, slots=8)
    for number in range(10):
        fail(session, f"a-{number}", 1)
        deliver(session, f"a-{number}", 2)
    duty.run_once(NOON)
    failing = out(session)
    well = deliver(session, "well", 2)

    duty.run_once(NOON)

    assert (len(failing), out(session) - failing) == (2, set(well))


def test_an_open_circuit_lets_nothing_through_and_then_one(session, duty):
    worker(session, slots=8)
    fail(session, "a", 5)
    held = deliver(session, "a", 3)

    duty.run_once(NOON + seconds(29))
    assert out(session) == set()
    assert duty.pause_seconds() == RECEIVERS_PAUSE_SECONDS

    duty.run_once(NOON + seconds(30))
    duty.run_once(NOON + seconds(31))

    assert out(session) == {held[0]}
    assert circuits.read(session, {"a"})["a"].state == circuits.State.HALF_OPEN


def test_a_try_that_was_lost_is_followed_by_another_one(session, duty):
    fail(session, "a", 5)
    held = deliver(session, "a", 2)
    duty.run_once(NOON + seconds(30))
    end(session, held[0])

    duty.run_once(NOON + seconds(31))

    assert out(session) == {held[1]}


def test_other_tasks_neither_wait_for_deliveries_nor_make_them_wait(session, duty):
    worker(session, slots=2)
    for number in range(10):
        deliver(session, f"a-{number}", 20)
    duty.run_once(NOON)

    task = make_task(session, owner_id=ADA)
    session.commit()

    found = read_task(session, task.id)
    assert (found.admission_required, found.dispatched_at, found.status) == (False, NOON, "PENDING")


def test_a_limit_of_the_owner_counts_no_deliveries(session, duty):
    from app.services import admission

    worker(session, slots=8)
    limit = admission.Limit(kind="owner", name=str(ADA), max_running=1, changed_at=NOON - seconds(3600))
    admission.set_limit(session, limit)
    session.commit()
    deliver(session, "a", 2)
    task = make_task(session, owner_id=ADA)
    session.commit()

    duty.run_once(NOON)

    assert len(out(session)) == 3
    assert task.id in out(session)


def test_deliveries_take_no_room_of_their_owners_quota(session, engine):
    deliver(session, "a", 10)
    make_task(session, owner_id=ADA)
    session.commit()
    room = WaitingTasks()

    room.take(session, ADA, 1, most=2)
    make_task(session, owner_id=ADA)

    with pytest.raises(QuotaReached):
        room.take(session, ADA, 1, most=2)


def test_a_held_delivery_is_looked_at_soon_while_places_come_free(session, duty):
    worker(session, slots=8)
    deliver(session, "a", 3)

    duty.run_once(NOON)

    assert duty.pause_seconds() == BRISK_SECONDS
