"""The events duty: whatever was committed is passed on, in order for each task, with numbers that never change."""

from contextlib import contextmanager

import psycopg2
import pytest
import sqlalchemy as sa

from app.database import Session, sqlalchemy_url
from app.dispatcher.events import Events
from app.services import events, lifecycle
from app.services.events import Head
from tests.integration.dispatcher.publisher import ScriptedPublisher
from tests.support.factories import HOLDER, NOON, make_claim, make_task, seconds

UNACCOUNTED = """
WITH counted AS (
    SELECT type, previous_status, status, n FROM task_counts
    UNION ALL
    SELECT type, previous_status, status, 1 FROM event_outbox JOIN task_events ON id = event_id
), happened AS (
    SELECT type, previous_status, status, count(*) AS n FROM task_events GROUP BY type, previous_status, status
)
SELECT count(*) FROM happened FULL JOIN (
    SELECT type, previous_status, status, sum(n) AS n FROM counted GROUP BY type, previous_status, status
) AS summed ON (happened.type, happened.status) = (summed.type, summed.status)
    AND happened.previous_status IS NOT DISTINCT FROM summed.previous_status
WHERE happened.n IS DISTINCT FROM summed.n
"""


@pytest.fixture
def publisher():
    return ScriptedPublisher()


@pytest.fixture
def make_duty(engine, publisher):
    made = []

    def make(**options):
        made.append(Events(publisher, **options))
        return made[-1]

    yield make
    for duty in made:
        duty.close()


@pytest.fixture
def duty(make_duty):
    return make_duty()


def announced(publisher):
    """(number, task, status) of everything that was published, in that order."""
    held = [event for message in publisher.announced for event in message.events]
    return [(event.position, str(event.task_id), event.status) for event in held]


def left(session):
    session.commit()
    return session.scalar(sa.text("SELECT count(*) FROM event_outbox"))


def run_to_the_end(duty, session, now=NOON):
    while left(session):
        duty.run_once(now)


@contextmanager
def other_session(engine):
    with Session(engine) as other:
        yield other
        other.rollback()


def test_events_are_passed_on_in_order_with_numbers_that_begin_at_one(session, duty, publisher):
    claim = make_claim(session)
    lifecycle.complete(session, [(claim, 1)], now=NOON)
    session.commit()

    duty.run_once(NOON)

    id_ = str(claim.id)
    assert announced(publisher) == [(1, id_, "PENDING"), (2, id_, "PROCESSING"), (3, id_, "COMPLETED")]
    assert left(session) == 0


def test_a_message_holds_no_payload_no_result_and_no_error(session, duty, publisher):
    claim = make_claim(session, payload="a secret payload")
    lifecycle.complete(session, [(claim, "a secret result")], now=NOON)
    session.commit()

    duty.run_once(NOON)

    [message] = publisher.announced
    assert b"secret" not in message.body()


def test_a_commit_that_comes_late_with_a_lower_id_is_passed_on(engine, session, duty, publisher):
    with other_session(engine) as late:
        first = make_task(late)  # its event's id is drawn, and not committed
        for _ in range(3):
            make_task(session)
            run_to_the_end(duty, session)
        late.commit()

    duty.run_once(NOON)

    assert announced(publisher)[-1] == (4, str(first.id), "PENDING")
    assert left(session) == 0


def test_a_late_commit_is_followed_by_the_later_events_of_its_task_and_never_overtaken(
    engine, session, duty, publisher
):
    with other_session(engine) as late:
        task = make_task(late)
        for _ in range(3):
            make_task(session)
            run_to_the_end(duty, session)
        late.commit()
    lifecycle.claim(session, task.type, [task.id], holder=HOLDER, lease_seconds=60, now=NOON)
    run_to_the_end(duty, session)

    statuses = [status for _, id_, status in announced(publisher) if id_ == str(task.id)]
    assert statuses == ["PENDING", "PROCESSING"]


def test_what_a_rollback_took_with_it_is_missed_by_nobody(engine, session, duty, publisher):
    with other_session(engine) as undone:
        make_task(undone)
    task = make_task(session)
    run_to_the_end(duty, session)

    assert announced(publisher) == [(1, str(task.id), "PENDING")]


def test_a_transaction_that_is_open_for_minutes_in_another_database_holds_nothing_up(
    databases, settings, session, duty, publisher
):
    url = sqlalchemy_url(settings).set(drivername="postgresql", database="postgres")
    other = psycopg2.connect(url.render_as_string(hide_password=False))
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_current_xact_id()")  # it has an id, and does not end
        for minute in range(10):
            make_task(session)
            session.commit()
            duty.run_once(NOON + seconds(60 * minute))
    finally:
        other.close()

    assert [number for number, _, _ in announced(publisher)] == list(range(1, 11))
    assert left(session) == 0


def test_two_tasks_locked_crosswise_lose_no_event(engine, session, duty, publisher):
    one, two = make_task(session), make_task(session)
    session.commit()
    move = sa.text("UPDATE tasks SET status = 'SCHEDULED' WHERE id = :id")
    back = sa.text("UPDATE tasks SET status = 'PENDING' WHERE id = :id")
    with other_session(engine) as first, other_session(engine) as second:
        first.execute(move, {"id": one.id})  # draws an id
        second.execute(move, {"id": two.id})  # draws the next one
        run_to_the_end(duty, session) if left(session) else None
        second.commit()  # the higher id is committed first, and passed on
        duty.run_once(NOON)
        first.execute(back, {"id": two.id})  # now the first one holds both tasks
        first.commit()
    run_to_the_end(duty, session)

    by_task = {str(task.id): [s for _, id_, s in announced(publisher) if id_ == str(task.id)] for task in (one, two)}
    assert by_task[str(one.id)] == ["PENDING", "SCHEDULED"]
    assert by_task[str(two.id)] == ["PENDING", "SCHEDULED", "PENDING"]


def test_with_the_broker_away_nothing_is_lost_and_the_numbers_stay(session, duty, publisher):
    tasks = [make_task(session) for _ in range(3)]
    session.commit()
    publisher.is_down = True
    for _ in range(2):
        with pytest.raises(ConnectionRefusedError):
            duty.run_once(NOON)
    assert left(session) == 3
    make_task(session)
    session.commit()

    publisher.is_down = False
    run_to_the_end(duty, session)

    assert announced(publisher)[:3] == [(n, str(task.id), "PENDING") for n, task in enumerate(tasks, start=1)]
    assert len(announced(publisher)) == 4


def test_a_reader_that_dies_before_the_outbox_forgot_leaves_the_same_numbers_to_the_next(
    session, make_duty, publisher, monkeypatch
):
    first, second = make_duty(), make_duty()
    task = make_task(session)
    session.commit()
    with monkeypatch.context() as broken:
        broken.setattr(events, "published", lambda *_, **__: (_ for _ in ()).throw(RuntimeError("killed")))
        with pytest.raises(RuntimeError):
            first.run_once(NOON)
    first.close()

    run_to_the_end(second, session, NOON + seconds(2))

    assert announced(publisher) == [(1, str(task.id), "PENDING")] * 2


def test_one_dispatcher_reads_at_a_time(session, make_duty, publisher):
    reader, waiting = make_duty(), make_duty()
    reader.run_once(NOON)
    make_task(session)
    session.commit()

    waiting.run_once(NOON)
    assert announced(publisher) == []

    reader.close()
    waiting.run_once(NOON + seconds(2))
    assert len(announced(publisher)) == 1


def test_a_batch_is_counted_once_however_often_it_is_finished(session):
    make_claim(session)
    session.commit()
    batch = events.next_batch(session, Head(), limit=10)
    assert batch is not None

    assert events.published(session, batch, now=NOON) is True
    assert events.published(session, batch, now=NOON) is False

    assert session.scalar(sa.text("SELECT sum(n) FROM task_counts")) == 2


def test_the_counts_and_the_outbox_hold_every_change_together_at_any_moment(session, make_duty):
    duty = make_duty(batch=2)
    for _ in range(5):
        make_claim(session)
    for _ in range(6):
        session.commit()
        assert session.scalar(sa.text(UNACCOUNTED)) == 0
        duty.run_once(NOON)
    assert left(session) == 0
    assert session.scalar(sa.text("SELECT sum(n) FROM task_counts")) == 10


def test_events_carry_the_owner_of_their_task(session, duty, publisher, admin):
    make_task(session, owner_id=admin.id)
    session.commit()

    duty.run_once(NOON)

    [message] = publisher.announced
    assert message.events[0].owner_id == admin.id


def test_published_events_are_read_by_their_number(session, make_duty):
    duty = make_duty(batch=4)
    tasks = [make_task(session) for _ in range(10)]
    run_to_the_end(duty, session)

    page = events.read_after(session, 2, limit=5)

    assert [event.position for event in page.events] == [3, 4, 5, 6, 7]
    assert [event.task_id for event in page.events] == [task.id for task in tasks[2:7]]
    assert page.until == 7
    assert events.newest_position(session) == 10
    assert events.read_after(session, 10, limit=5).until == 10


def test_who_is_far_behind_reads_no_more_batches_than_a_page_needs(session, make_duty, engine):
    duty = make_duty(batch=2)
    for _ in range(20):
        make_task(session)
    run_to_the_end(duty, session)
    read: list[int] = []

    def count(_connection, cursor, statement, *_):
        if "event_batches" in statement:
            read.append(cursor.rowcount)

    sa.event.listen(engine, "after_cursor_execute", count)
    try:
        page = events.read_after(session, 3, limit=4)
    finally:
        sa.event.remove(engine, "after_cursor_execute", count)

    assert ([event.position for event in page.events], page.until) == ([4, 5, 6, 7], 7)
    assert read == [3]


def test_numbers_that_were_left_out_are_no_end(session, make_duty):
    duty = make_duty(batch=4)
    [first, *_] = [make_task(session) for _ in range(8)]
    run_to_the_end(duty, session)
    # As after a restore, or when old batches were deleted.
    session.execute(
        sa.text("UPDATE event_batches SET first_position = 1005, last_position = 1008 WHERE first_position = 5")
    )

    page = events.read_after(session, 4, limit=3)

    assert ([event.position for event in page.events], page.until) == ([1005, 1006, 1007], 1007)
    assert [event.task_id for event in events.read_after(session, 0, limit=1).events] == [first.id]


def test_a_number_whose_task_was_deleted_is_passed_over(session, duty):
    tasks = [make_task(session) for _ in range(3)]
    run_to_the_end(duty, session)
    session.execute(sa.text("DELETE FROM task_events WHERE task_id = :id"), {"id": tasks[2].id})

    page = events.read_after(session, 1, limit=5)

    assert ([event.position for event in page.events], page.until) == ([2], 3)


def test_a_look_begins_where_every_id_is_decided(session, engine):
    head = Head()

    def look():
        batch = events.next_batch(session, head, limit=100)
        events.published(session, batch, now=NOON)
        session.commit()

    with other_session(engine) as late:
        make_task(late)
        for _ in range(3):
            make_task(session)
            look()
        assert head.passed == 0  # somebody may still hold a lower id
        late.commit()
    for _ in range(3):
        make_task(session)
        look()
    assert head.passed > 0
