"""The duties of the dispatcher, each run once at a moment of the test's choosing."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from app.continuity import Continuity
from app.dispatcher.dispatch import Dispatch
from app.dispatcher.duty import Look
from app.dispatcher.lost_hints import LostHints
from app.dispatcher.pauses import Pauses
from app.dispatcher.rescue import Rescue
from app.models import Status
from app.services import counters, queues
from tests.factories import HOLDER, NOON, make_claim, make_task, read_task, seconds
from tests.integration.dispatcher.publisher import ScriptedPublisher, ids_of


@pytest.fixture
def publisher():
    return ScriptedPublisher()


def make(session, number=1, **columns):
    tasks = [make_task(session, **columns) for _ in range(number)]
    session.commit()
    return tasks


def now_is(session, task_id):
    session.expire_all()
    return read_task(session, task_id)


def test_due_tasks_are_dispatched_and_published(session, publisher):
    tasks = make(session, 3, status="SCHEDULED", due_at=NOON, dispatched_at=None)

    assert Dispatch(publisher).run_once(NOON) == 3

    assert set(publisher.ids) == ids_of(tasks)
    row = now_is(session, tasks[0].id)
    assert (row.status, row.dispatched_at, row.due_at) == (Status.PENDING, NOON, NOON + seconds(5))


def test_with_the_broker_down_no_row_is_touched(session, publisher):
    [task] = make(session, status="RETRYING", due_at=NOON, dispatched_at=None)
    publisher.is_down = True

    with pytest.raises(ConnectionRefusedError):
        Dispatch(publisher).run_once(NOON)

    assert now_is(session, task.id) == task


def test_hints_that_were_not_confirmed_are_held_by_the_ledger_and_published_later(session, publisher):
    tasks = make(session, 3, status="SCHEDULED", priority="high", due_at=NOON, dispatched_at=None)
    publisher.confirms = 1
    dispatch = Dispatch(publisher)

    dispatch.run_once(NOON)
    held = [task.id for task in tasks if task.id not in publisher.ids]
    rows = [now_is(session, id_) for id_ in held]
    assert [(row.status, row.dispatched_at, row.due_at) for row in rows] == [
        (Status.PENDING, None, NOON + seconds(5))
    ] * 2

    publisher.confirms = None
    dispatch.run_once(NOON + seconds(5))
    assert set(publisher.ids) == ids_of(tasks)


def test_an_expired_task_is_cancelled_even_with_the_broker_down(session, publisher):
    [task] = make(session, expires_at=NOON)
    publisher.is_down = True

    with pytest.raises(ConnectionRefusedError):
        Dispatch(publisher).run_once(NOON)

    assert now_is(session, task.id).status == Status.CANCELLED


def test_two_dispatchers_at_once_publish_each_task_once(engine, session, publisher):
    make(session, 5, status="SCHEDULED", due_at=NOON, dispatched_at=None)
    with engine.connect() as other, other.begin():
        other.execute(sa.text("SELECT 1 FROM tasks FOR UPDATE"))  # the other one has them in hand

        assert Dispatch(publisher).run_once(NOON) == 0


def test_a_hint_whose_queue_is_empty_is_published_again(session, publisher):
    [task] = make(session)
    duty = LostHints(publisher)

    duty.run_once(NOON + seconds(5))
    assert publisher.ids == []  # it may be on its way

    duty.run_once(NOON + seconds(11))
    assert publisher.ids == [task.id]
    assert now_is(session, task.id).dispatched_at == NOON + seconds(11)
    assert counters.read(session) == {counters.HINTS_REPUBLISHED: 1}


def test_a_backlog_is_not_published_again_and_looked_at_less_and_less(session, publisher):
    [task] = make(session, priority="high")
    publisher.waiting["tasks"] = 50_000
    duty = LostHints(publisher)

    looks, now = [], NOON
    while now < NOON + timedelta(hours=1):
        now = now_is(session, task.id).due_at
        duty.run_once(now)
        looks.append((now - NOON).total_seconds())

    assert publisher.published == []
    assert looks[:4] == [5, 10, 20, 40]
    assert len(looks) < 15


def test_a_hint_that_a_worker_has_passed_by_is_lost(session, publisher):
    [task] = make(session)
    publisher.waiting["tasks"] = 9
    session.execute(sa.text("INSERT INTO queue_positions VALUES ('tasks', 'normal', :at)"), {"at": NOON + seconds(5.5)})
    session.commit()

    LostHints(publisher).run_once(NOON + seconds(6))

    assert publisher.ids == [task.id]


def test_with_the_broker_down_nothing_is_called_lost(session, publisher):
    [task] = make(session)
    publisher.is_down = True

    with pytest.raises(ConnectionRefusedError):
        LostHints(publisher).run_once(NOON + seconds(60))

    assert now_is(session, task.id) == task


def test_a_low_task_rises_to_the_top_in_one_and_a_half_times_the_ageing_time(session, publisher):
    [task] = make(session, priority="low")
    publisher.waiting["tasks"] = 1_000
    duty = LostHints(publisher)

    risen, now = [], NOON
    while now <= NOON + seconds(600):
        now = now_is(session, task.id).due_at
        before = len(publisher.published)
        duty.run_once(now)
        risen += [((now - NOON).total_seconds(), hint.priority) for hint in publisher.published[before:]]

    assert risen == [(300, "normal"), (450, "risen")]


def rescuer(now):
    """A rescue that has been connected since long before `now`."""
    continuity = Continuity()
    continuity.answered(now - timedelta(hours=1))
    return Rescue(continuity)


def worker(session, *, seen, stopped=None):
    session.execute(
        sa.text(
            "INSERT INTO workers (id, node, host, pid, concurrency, queues, types, version, started_at, last_seen_at, "
            "stopped_at) VALUES (:id, 'w', 'h', 1, 2, '{tasks}', '{}', '1', :seen, :seen, :stopped)"
        ),
        {"id": HOLDER.worker, "seen": seen, "stopped": stopped},
    )
    session.commit()


@pytest.mark.parametrize(("unseen_seconds", "status"), [(14, Status.PROCESSING), (16, Status.RETRYING)])
def test_leases_of_a_worker_that_is_not_seen_for_fifteen_seconds_are_moved_on(session, unseen_seconds, status):
    held = make_claim(session, solo=True)
    worker(session, seen=NOON - seconds(unseen_seconds))

    rescuer(NOON).run_once(NOON)

    assert now_is(session, held.id).status == status


def test_leases_of_a_worker_that_stopped_are_moved_on(session):
    held = make_claim(session, solo=True)
    worker(session, seen=NOON, stopped=NOON)

    rescuer(NOON).run_once(NOON)

    assert now_is(session, held.id).status == Status.RETRYING


def test_an_expired_lease_is_left_to_the_worker_s_parent_for_three_seconds(session):
    """It ends the process first: moved on before that, the task would run a second time beside it."""
    held = make_claim(session, solo=True)
    session.commit()

    rescuer(NOON).run_once(NOON + seconds(62))
    assert now_is(session, held.id).status == Status.PROCESSING

    rescuer(NOON).run_once(NOON + seconds(63))
    assert now_is(session, held.id).status == Status.RETRYING


def test_a_worker_that_came_back_and_was_lost_again_is_rescued_again(session):
    worker(session, seen=NOON - seconds(16))
    rescue = rescuer(NOON)
    rescue.run_once(NOON)
    session.execute(sa.text("UPDATE workers SET last_seen_at = :now"), {"now": NOON + seconds(5)})
    held = make_claim(session, solo=True)
    session.commit()
    rescue.run_once(NOON + seconds(6))

    rescue.run_once(NOON + seconds(21))

    assert now_is(session, held.id).status == Status.RETRYING


def test_a_dispatcher_rescues_only_after_it_was_connected_for_a_whole_lease(session):
    held = make_claim(session, solo=True)
    session.commit()
    continuity = Continuity()
    rescue = Rescue(continuity)
    late = NOON + seconds(600)

    continuity.answered(late)
    rescue.run_once(late + seconds(62))
    assert now_is(session, held.id).status == Status.PROCESSING

    rescue.run_once(late + seconds(63))  # three more: a worker's parent has the first say
    assert now_is(session, held.id).status == Status.RETRYING


def test_a_broken_connection_starts_the_wait_anew():
    continuity = Continuity()
    continuity.answered(NOON)
    continuity.broke()
    continuity.answered(NOON + seconds(100))

    assert not continuity.for_at_least(seconds(60), NOON + seconds(159))
    assert continuity.for_at_least(seconds(60), NOON + seconds(160))


def test_held_tasks_of_a_resumed_type_are_released_in_batches(session):
    tasks = make(session, 3)
    queues.pause(session, "type", "reverse_string", by=None, reason=None, now=NOON)
    queues.hold_paused(session, [task.id for task in tasks])
    session.commit()
    duty = Pauses()
    assert duty.run_once(NOON) == 0

    queues.resume(session, "type", "reverse_string", now=NOON)
    session.commit()

    assert duty.run_once(NOON + seconds(1)) == 3
    assert now_is(session, tasks[0].id).due_at == NOON + seconds(1)


def test_a_look_begins_where_the_last_one_found_nothing_more_and_sees_everything_every_half_minute():
    look = Look()
    assert look.since(NOON) == Look.BEGINNING
    look.found_nothing_more(NOON)

    assert look.since(NOON + seconds(1)) == NOON - Look.OVERLAP
    assert look.since(NOON + seconds(30)) == Look.BEGINNING
