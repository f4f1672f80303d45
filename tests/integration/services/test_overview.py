"""What people see first, and lists that never look at everything."""

from datetime import timedelta
from uuid import uuid4

import pytest
import sqlalchemy as sa

from app.models import Status
from app.services import schedules
from app.services.lifecycle import Holder
from app.services.measuring import overview
from app.services.measuring.overview import counts, series
from app.services.tasks import search as searching
from app.services.tasks.records import Filter
from app.services.tasks.search import search
from tests.support.factories import NOON, create_schedule, make_claim, make_task, seconds

HOUR = timedelta(hours=1)
ENDED = {"due_at": None, "finished_at": NOON}


def failed(session, **columns):
    return make_task(session, status=Status.FAILED, **{**ENDED, **columns})


def event(session, task, at, status, previous=None, attempt=0):
    session.execute(
        sa.text(
            "INSERT INTO task_events (at, task_id, type, status, previous_status, attempt) "
            "VALUES (:at, :id, 'reverse_string', :status, :previous, :attempt)"
        ),
        {"at": at, "id": task, "status": status, "previous": previous, "attempt": attempt},
    )


def test_what_is_unfinished_is_counted_by_status_and_owner(session):
    mine, theirs = uuid4(), uuid4()
    make_task(session, owner_id=mine, now=NOON - seconds(30))
    make_task(session, owner_id=theirs, now=NOON - seconds(90))
    make_claim(session, owner_id=theirs)
    failed(session, owner_id=mine)

    everybodys, own = overview.standing(session, owner=None), overview.standing(session, owner=mine)

    assert (everybodys.unfinished["PENDING"], everybodys.unfinished["PROCESSING"], everybodys.dead_letters) == (2, 1, 1)
    assert everybodys.oldest_pending_at == NOON - seconds(90)
    assert (own.unfinished["PENDING"], own.unfinished["PROCESSING"], own.dead_letters) == (1, 0, 1)
    assert (own.waiting, own.is_bounded) == (1, False)


def test_counting_stops_at_its_bound_and_says_so(session, monkeypatch):
    monkeypatch.setattr(counts, "MAX_COUNTED", 3)
    for _ in range(5):
        make_task(session)

    found = overview.standing(session, owner=None)

    assert (found.unfinished["PENDING"], found.is_bounded) == (3, True)


@pytest.fixture
def life(session):
    """A task that waited 20 s half an hour ago, was retried once, and is done."""
    session.execute(sa.text("TRUNCATE task_events"))
    begun = NOON - timedelta(minutes=30)
    task = make_task(session, now=begun, status=Status.COMPLETED, **ENDED).id
    session.execute(sa.text("TRUNCATE task_events"))
    event(session, task, begun, "PENDING")
    event(session, task, begun + seconds(20), "PROCESSING", "PENDING", 1)
    event(session, task, begun + seconds(21), "RETRYING", "PROCESSING", 1)
    event(session, task, begun + seconds(150), "PENDING", "RETRYING", 1)
    event(session, task, begun + seconds(151), "PROCESSING", "PENDING", 2)
    event(session, task, begun + seconds(152), "COMPLETED", "PROCESSING", 2)
    return task


def test_the_last_hour_is_told_by_the_minute(session, life):
    found = overview.recent(session, owner=None, waiting=0, now=NOON, window=HOUR)
    at = found.times.index(int((NOON - timedelta(minutes=30)).timestamp()))

    assert (found.width_seconds, len(found.times)) == (60, 59)
    assert (found.submitted[at], found.retried[at], found.completed[at], found.completed[at + 2]) == (1, 1, 0, 1)
    assert (found.wait_median[at], found.wait_p95[at], found.wait_median[at + 1]) == (20.0, 20.0, None)
    assert (found.depth[at - 1], found.depth[at], found.depth[at + 1], found.depth[at + 2]) == (0, 1, 1, 0)
    assert found.totals == {"submitted": 1, "completed": 1, "failed": 0, "retried": 1}


def test_somebody_else_sees_nothing_of_it(session, life):
    found = overview.recent(session, owner=uuid4(), waiting=0, now=NOON, window=HOUR)

    assert set(found.totals.values()) == {0}


def test_where_much_happens_the_time_shown_is_shorter_and_the_numbers_are_right(session, life, monkeypatch):
    monkeypatch.setattr(series, "MAX_EVENTS", 500)
    for number in range(600):
        event(session, life, NOON - seconds(600 - number), "COMPLETED", "PROCESSING", 1)

    found = overview.recent(session, owner=None, waiting=0, now=NOON, window=HOUR)

    assert found.width_seconds == 10
    assert len(found.times) < 60
    assert set(found.completed[1:]) == {10}


def test_workers_are_live_silent_or_stopped(session):
    for name, seen, stopped in (("live", 1, None), ("silent", 60, None), ("stopped", 60, 60)):
        session.execute(
            sa.text(
                "INSERT INTO workers (id, node, host, pid, concurrency, queues, types, version, started_at, "
                "last_seen_at, stopped_at) VALUES (:name, :name, 'h', 1, 2, ARRAY['tasks'], '{\"b\": 1, \"a\": 1}', "
                "'1', :now, :seen, :stopped)"
            ),
            {
                "name": name,
                "now": NOON,
                "seen": NOON - seconds(seen),
                "stopped": stopped and NOON - seconds(stopped),
            },
        )
    make_claim(session, holder=Holder(worker="live", pid=1))

    found = {each.node: each for each in overview.workers(session, now=NOON)}

    assert {name: each.state for name, each in found.items()} == {name: name for name in found}
    assert (found["live"].running, found["silent"].running, found["live"].types) == (1, 0, ["a", "b"])


def test_a_search_that_no_index_serves_looks_at_so_many_and_leads_on(session, monkeypatch):
    monkeypatch.setattr(searching, "MAX_LOOKED_AT", 4)
    old = make_task(session, name="the needle")
    for _ in range(6):
        make_task(session, name="hay")

    wanted, before, pages = Filter(text="needle"), None, []
    while True:
        found = search(session, wanted, owner=None, before=before, limit=2)
        pages.append([task.id for task in found.items])
        before = found.next_before
        if before is None:
            break

    assert pages == [[], [old.id]]


@pytest.mark.parametrize(
    ("wanted", "is_served"),
    [
        (Filter(), True),
        (Filter(statuses=["FAILED"], types=["x"], created_after=NOON), True),
        (Filter(statuses=["PENDING", "RETRYING"], types=["x"]), True),
        (Filter(statuses=["COMPLETED"]), False),
        (Filter(statuses=["FAILED"], text="x"), False),
        (Filter(types=["x"]), False),
        (Filter(created_after=NOON), False),
        (Filter(labels=[("a", "b")]), False),
    ],
)
def test_which_filters_an_index_serves(wanted, is_served):
    assert searching.is_served(wanted) == is_served


def test_pages_of_a_search_leave_nothing_out(session, monkeypatch):
    monkeypatch.setattr(searching, "MAX_LOOKED_AT", 5)
    wanted_ids = [make_task(session, labels={"a": "b"} if number % 3 else {}).id for number in range(20)]
    expected = [id_ for number, id_ in enumerate(wanted_ids) if number % 3][::-1]

    before, found_ids = None, []
    while True:
        found = search(session, Filter(labels=[("a", "b")]), owner=None, before=before, limit=2)
        found_ids += [task.id for task in found.items]
        before = found.next_before
        if before is None:
            break

    assert found_ids == expected


def test_the_slot_of_a_task_is_found_and_what_comes_first_comes_first(session):
    schedule = create_schedule(session, next_at=NOON + HOUR)
    sooner = create_schedule(session, next_at=NOON + seconds(5))
    create_schedule(session, next_at=None, enabled=False)
    task = make_task(session)
    session.execute(
        sa.text(
            "INSERT INTO schedule_slots (schedule_id, slot_at, state, task_id, recorded_at) "
            "VALUES (:schedule, :at, 'fired', :task, :at)"
        ),
        {"schedule": schedule.id, "at": NOON, "task": task.id},
    )

    assert schedules.of_task(session, task.id, task.created_at) == (schedule.id, NOON)
    assert schedules.of_task(session, uuid4(), task.created_at) is None
    assert [each.id for each in schedules.soonest(session, visible_to=None, limit=5)] == [sooner.id, schedule.id]
