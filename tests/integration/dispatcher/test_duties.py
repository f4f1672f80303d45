"""The duties of the dispatcher, each run once at a moment of the test's choosing."""

import json
import threading
import time
from datetime import datetime, timedelta

import psycopg2.errors
import pytest
import sqlalchemy as sa
from amqp.exceptions import PreconditionFailed

from app import clock
from app.connection_uptime import ConnectionUptime
from app.dispatcher.dispatch import Dispatch
from app.dispatcher.duty import Duty, ScanCursor, run_isolated
from app.dispatcher.lost_hints import LostHints
from app.dispatcher.pauses import Pauses
from app.dispatcher.rescue import Rescue
from app.dispatcher.retention import Retention
from app.models import Status
from app.services import lifecycle, retention
from app.services.dispatch import queues
from app.services.measuring import counters
from tests.integration.dispatcher.publisher import ScriptedPublisher, ids_of
from tests.support.factories import HOLDER, NOON, Steady, make_claim, make_task, read_task, seconds


class Locked(psycopg2.errors.LockNotAvailable):
    """As the driver raises it, whose own code cannot be set."""

    pgcode = "55P03"


@pytest.fixture
def publisher():
    return ScriptedPublisher()


def make(session, number=1, **columns):
    tasks = [make_task(session, **columns) for _ in range(number)]
    session.commit()
    return tasks


def now_is(session, task_id):
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

    with pytest.raises(TimeoutError):  # for the duty's record
        dispatch.run_once(NOON)
    held = [task.id for task in tasks if task.id not in publisher.ids]
    rows = [now_is(session, id_) for id_ in held]
    assert [(row.status, row.dispatched_at, row.due_at) for row in rows] == [
        (Status.PENDING, None, NOON + seconds(5))
    ] * 2

    publisher.confirms = None
    dispatch.run_once(NOON + seconds(5))
    assert set(publisher.ids) == ids_of(tasks)


@pytest.mark.parametrize("kind", ["lost", "due"])
def test_a_hint_that_cannot_be_sent_is_held_while_the_others_go_on(session, publisher, kind):
    state = {"due_at": NOON} | ({"status": "SCHEDULED", "dispatched_at": None} if kind == "due" else {})
    [odd] = make(session, type="uppercase_text", **state)
    others = make(session, 3, **state)
    publisher.broken = {"uppercase_text"}
    duty, now = (Dispatch(publisher), NOON) if kind == "due" else (LostHints(publisher), NOON + seconds(11))

    duty.run_once(now)

    assert set(publisher.ids) == ids_of(others)
    row = now_is(session, odd.id)
    assert (row.status, row.dispatched_at, row.due_at) == (Status.PENDING, None, now + seconds(5))


def test_a_queue_that_the_broker_refuses_is_told_and_stops_no_other_queue(session, publisher):
    state = {"status": "SCHEDULED", "due_at": NOON, "dispatched_at": None}
    refused, others = make(session, 2, queue="old", **state), make(session, 2, **state)
    publisher.refused = {"old"}

    with pytest.raises(PreconditionFailed):
        Dispatch(publisher).run_once(NOON)

    assert set(publisher.ids) == ids_of(others)
    assert [now_is(session, task.id).dispatched_at for task in refused] == [None, None]


def test_an_expired_task_is_cancelled_even_with_the_broker_down(session, publisher):
    [task] = make(session, expires_at=NOON)
    publisher.is_down = True

    with pytest.raises(ConnectionRefusedError):
        Dispatch(publisher).run_once(NOON)

    assert now_is(session, task.id).status == Status.CANCELLED


def test_what_was_not_committed_is_found_by_the_next_look(session, publisher, monkeypatch):
    [task] = make(session, due_at=NOON - seconds(60), expires_at=NOON - seconds(30))
    dispatch = Dispatch(publisher)
    with monkeypatch.context() as patch:
        patch.setattr(lifecycle, "wake_due", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            dispatch.run_once(NOON)
    assert now_is(session, task.id).status == Status.PENDING

    dispatch.run_once(NOON + seconds(1))

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

    boosts, now = [], NOON
    while now <= NOON + seconds(600):
        now = now_is(session, task.id).due_at
        before = len(publisher.published)
        duty.run_once(now)
        boosts += [((now - NOON).total_seconds(), hint.priority) for hint in publisher.published[before:]]

    assert boosts == [(300, "normal"), (450, "boosted")]


def test_a_rise_that_the_broker_did_not_take_is_taken_at_the_next_look(session, publisher):
    [task] = make(session, priority="low", due_at=NOON + seconds(300))
    publisher.waiting["tasks"] = 1_000
    publisher.confirms = 0
    duty = LostHints(publisher)
    with pytest.raises(TimeoutError):
        duty.run_once(NOON + seconds(300))
    publisher.confirms = None

    duty.run_once(NOON + seconds(305))

    assert [(hint.ids, hint.priority) for hint in publisher.published] == [((task.id,), "normal")]


@pytest.mark.parametrize(
    ("known", "unseen_seconds", "is_published"),
    [({"reverse_string": "hash"}, 1, True), ({"greet": "hash"}, 1, False), ({"greet": "hash"}, 16, True)],
    ids=["known", "unknown", "unknown, but nobody is alive"],
)
def test_a_lost_hint_is_published_again_unless_no_live_worker_knows_its_type(
    session, publisher, known, unseen_seconds, is_published
):
    [task] = make(session)
    now = NOON + seconds(11)
    worker(session, seen=now - seconds(unseen_seconds), types=known)

    LostHints(publisher).run_once(now)

    assert publisher.ids == ([task.id] if is_published else [])


def test_a_task_whose_type_no_live_worker_knows_is_looked_at_less_and_less(session, publisher):
    [task] = make(session, priority="low")
    duty = LostHints(publisher)

    looks, now = [], NOON
    while now < NOON + timedelta(hours=1):
        now = now_is(session, task.id).due_at
        worker(session, seen=now, types={"greet": "hash"})
        duty.run_once(now)
        looks.append((now - NOON).total_seconds())

    assert publisher.published == []
    assert looks[:7] == [5, 10, 20, 40, 80, 160, 320]
    assert len(looks) < 15


class Rescuer:
    """A rescue that looks once a second, and has been connected for an hour."""

    def __init__(self, *, connected_seconds: int = 3600) -> None:
        self._steady = Steady()
        self.continuity = ConnectionUptime(self._steady)
        for _ in range(connected_seconds + 1):
            self._steady.passed += 1
            self.continuity.answered()
        self._rescue = Rescue(self.continuity, self._steady)

    def look(self, since: datetime, until: datetime) -> None:
        """Once a second, from one moment to the other."""
        for second in range(int((until - since).total_seconds()) + 1):
            self._steady.passed += 1
            self._rescue.run_once(since + seconds(second))
            self.continuity.answered()


def worker(session, *, seen, stopped=None, types=None):
    session.execute(
        sa.text(
            "INSERT INTO workers (id, node, host, pid, concurrency, queues, types, version, started_at, last_seen_at, "
            "stopped_at) VALUES (:id, 'w', 'h', 1, 2, '{tasks}', CAST(:types AS jsonb), '1', :seen, :seen, :stopped) "
            "ON CONFLICT (id) DO UPDATE SET last_seen_at = excluded.last_seen_at"
        ),
        {"id": HOLDER.worker, "seen": seen, "stopped": stopped, "types": json.dumps(types or {})},
    )
    session.commit()


@pytest.mark.parametrize(("unseen_seconds", "status"), [(14, Status.PROCESSING), (16, Status.RETRYING)])
def test_leases_of_a_worker_that_is_not_seen_for_fifteen_seconds_are_moved_on(session, unseen_seconds, status):
    held = make_claim(session, unchunked=True)
    worker(session, seen=NOON)

    Rescuer().look(NOON, NOON + seconds(unseen_seconds))

    assert now_is(session, held.id).status == status


def test_leases_of_a_worker_that_stopped_are_moved_on(session):
    held = make_claim(session, unchunked=True)
    worker(session, seen=NOON, stopped=NOON)

    Rescuer().look(NOON, NOON)

    assert now_is(session, held.id).status == Status.RETRYING


def test_an_expired_lease_is_left_to_the_worker_s_parent_for_three_seconds(session):
    """It ends the process first: moved on before that, the task would run a second time beside it.

    Both of them look for five seconds before they act.
    """
    held = make_claim(session, unchunked=True)
    session.commit()
    rescuer = Rescuer()

    rescuer.look(NOON + seconds(55), NOON + seconds(67))
    assert now_is(session, held.id).status == Status.PROCESSING

    rescuer.look(NOON + seconds(68), NOON + seconds(68))
    assert now_is(session, held.id).status == Status.RETRYING


def test_a_lease_that_is_renewed_in_the_last_moment_is_left_alone(session):
    held = make_claim(session, unchunked=True)
    session.commit()
    rescuer = Rescuer()
    rescuer.look(NOON + seconds(100), NOON + seconds(104))
    session.execute(sa.text("UPDATE tasks SET due_at = :until"), {"until": NOON + seconds(164)})
    session.commit()

    rescuer.look(NOON + seconds(105), NOON + seconds(110))

    assert now_is(session, held.id).status == Status.PROCESSING


def test_a_row_that_somebody_has_locked_is_not_judged_until_its_child_had_time_to_renew(session, engine):
    held = make_claim(session, unchunked=True)
    session.commit()
    rescuer = Rescuer()
    with engine.connect() as somebody:
        somebody.execute(sa.text("SELECT FROM tasks WHERE id = :id FOR UPDATE"), {"id": held.id})
        rescuer.look(NOON + seconds(100), NOON + seconds(120))
        somebody.rollback()

    rescuer.look(NOON + seconds(121), NOON + seconds(124))
    assert now_is(session, held.id).status == Status.PROCESSING

    rescuer.look(NOON + seconds(125), NOON + seconds(127))
    assert now_is(session, held.id).status == Status.RETRYING


def test_nobody_is_judged_while_the_database_tells_another_time_than_ours(session, monkeypatch):
    held = make_claim(session, unchunked=True)
    worker(session, seen=NOON, stopped=NOON)
    monkeypatch.setattr(clock, "agrees", lambda _: False)

    Rescuer().look(NOON, NOON + seconds(100))

    assert now_is(session, held.id).status == Status.PROCESSING


def test_a_worker_that_came_back_and_was_lost_again_is_rescued_again(session):
    worker(session, seen=NOON - seconds(16))
    rescuer = Rescuer()
    rescuer.look(NOON, NOON + seconds(6))
    session.execute(sa.text("UPDATE workers SET last_seen_at = :now"), {"now": NOON + seconds(7)})
    held = make_claim(session, unchunked=True)
    session.commit()

    rescuer.look(NOON + seconds(7), NOON + seconds(23))

    assert now_is(session, held.id).status == Status.RETRYING


def test_a_dispatcher_rescues_only_after_it_was_connected_for_a_whole_lease(session):
    held = make_claim(session, unchunked=True)
    session.commit()
    rescuer = Rescuer(connected_seconds=0)
    late = NOON + seconds(600)

    rescuer.look(late, late + seconds(61))
    assert now_is(session, held.id).status == Status.PROCESSING

    rescuer.look(late + seconds(62), late + seconds(64))  # three more: a worker's parent has the first say
    assert now_is(session, held.id).status == Status.RETRYING


def test_a_broken_connection_starts_the_wait_anew():
    steady = Steady()
    continuity = ConnectionUptime(steady)
    continuity.answered()
    continuity.broke()
    steady.passed += 2
    continuity.answered()

    assert not continuity.has_lasted(seconds(1))
    steady.passed += 1
    assert continuity.has_lasted(seconds(1))


def test_held_tasks_of_a_resumed_type_are_released_in_batches(session):
    tasks = make(session, 3)
    queues.pause(session, "type", "reverse_string", by=None, reason=None, now=NOON)
    lifecycle.hold_paused(session, [task.id for task in tasks])
    session.commit()
    duty = Pauses()
    assert duty.run_once(NOON) == 0

    queues.resume(session, "type", "reverse_string", now=NOON)
    session.commit()

    assert duty.run_once(NOON + seconds(1)) == 3
    assert now_is(session, tasks[0].id).due_at == NOON + seconds(1)


def test_a_look_begins_where_the_last_one_found_nothing_more_and_sees_everything_every_half_minute():
    look = ScanCursor()
    assert look.since(NOON) == ScanCursor.BEGINNING
    look.found_nothing_more(NOON)

    assert look.since(NOON + seconds(1)) == NOON - ScanCursor.OVERLAP
    assert look.since(NOON + seconds(30)) == ScanCursor.BEGINNING


@pytest.mark.parametrize(
    ("error", "is_broken"),
    [
        (sa.exc.OperationalError("SELECT", {}, psycopg2.OperationalError("connection refused")), True),
        (sa.exc.OperationalError("DROP", {}, Locked()), False),
    ],
    ids=["the database is away", "a lock was not to be had"],
)
def test_only_a_database_that_is_away_breaks_the_continuity(engine, error, is_broken):
    continuity = ConnectionUptime()
    continuity.answered()

    Duty("retention", lambda now: 0, every_seconds=1, connected=continuity)._failed(error)

    assert continuity.has_lasted(seconds(0)) is not is_broken


def partitions(session):
    session.rollback()
    return set(session.scalars(retention._PARTITIONS))


def test_partitions_wait_for_no_reader_and_are_kept_once_a_minute(engine, session):
    duty, later = Retention(), NOON + timedelta(days=5000)
    new = f"task_events_p{later:%Y%m%d}"
    with engine.connect() as reader, reader.begin():
        reader.execute(sa.text("SELECT count(*) FROM task_events"))
        began = time.monotonic()
        duty.run_once(later)
        assert time.monotonic() - began < 1
    assert new not in partitions(session)

    duty.run_once(later + seconds(1))
    assert new not in partitions(session)

    duty.run_once(later + seconds(60))
    assert new in partitions(session)
    for name in partitions(session):
        if name >= new:
            session.execute(sa.text(f"DROP TABLE {name}"))
    session.execute(sa.text("SELECT taskledger.make_event_partitions((now() AT TIME ZONE 'UTC')::date, 7)"))
    session.commit()


@pytest.mark.parametrize(("rest_seconds", "is_at_once"), [(60.0, False), (0.0, True)])
def test_a_duty_that_may_take_its_time_rests_after_each_batch(session, rest_seconds, is_at_once):
    runs = []
    second = threading.Event()

    def work(now):
        runs.append(now)
        if len(runs) > 1:
            second.set()
        return 1

    duty = Duty("retention", work, every_seconds=60, connected=ConnectionUptime(), rest_seconds=rest_seconds)
    duty.start()
    came = second.wait(5 if is_at_once else 0.5)
    duty.stop()
    duty.join(5)

    assert came is is_at_once
    assert not duty.is_alive()


def test_one_that_fails_keeps_none_of_the_others_from_their_turn():
    seen = []

    def work(item):
        seen.append(item)
        if item == 2:
            raise ValueError("poisoned")
        return 1

    with pytest.raises(ValueError, match="poisoned"):
        run_isolated([1, 2, 3], work)

    assert seen == [1, 2, 3]


def test_a_database_that_is_away_is_asked_for_no_other():
    seen = []

    def work(item):
        seen.append(item)
        raise sa.exc.OperationalError("SELECT", {}, psycopg2.OperationalError("server closed the connection"))

    with pytest.raises(sa.exc.OperationalError):
        run_isolated([1, 2, 3], work)

    assert seen == [1]
