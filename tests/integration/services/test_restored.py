"""The numbers of events after a restore: none that somebody may have seen is given to another event."""

import pytest
import sqlalchemy as sa

from app.dispatcher.events import Events
from app.services import events
from app.services.recovery import after_restore
from app.services.recovery.after_restore import SKIPPED_NUMBERS
from tests.integration.dispatcher.publisher import ScriptedPublisher
from tests.support.factories import NOON, make_task


@pytest.fixture
def duty(engine):
    duty = Events(ScriptedPublisher())
    yield duty
    duty.close()


def publish(session, duty):
    """One more task, whose event is passed on; the number of the newest event."""
    make_task(session)
    session.commit()
    duty.run_once(NOON)
    session.commit()
    return events.newest_position(session)


def requeue_all(session):
    after_restore.requeue_all(session, now=NOON)
    session.commit()


def put_sink(session, name, position):
    session.execute(sa.text("INSERT INTO sinks (name, position) VALUES (:n, :p)"), {"n": name, "p": position})
    session.commit()


def positions(session):
    return dict(session.execute(sa.text("SELECT name, position FROM sinks")).all())


def test_events_after_a_restore_have_numbers_that_nobody_has_seen(session, duty):
    before = publish(session, duty)
    requeue_all(session)

    after = publish(session, duty)
    page = events.read_after(session, before, limit=50)

    assert after == before + SKIPPED_NUMBERS + 1
    assert [event.position for event in page.events] == [after]
    assert page.until == after


def test_a_sink_that_had_taken_all_has_taken_all_and_one_that_is_behind_goes_on_where_it_was(session, duty):
    newest = publish(session, duty)
    put_sink(session, "csv", newest)
    put_sink(session, "stats", 0)
    requeue_all(session)

    assert positions(session) == {"csv": newest + SKIPPED_NUMBERS, "stats": 0}
    assert [event.position for event in events.read_after(session, 0, limit=50).events] == [newest]


def test_the_audit_sink_counts_entries_of_another_log_and_goes_on_where_it_was(session, duty):
    newest = publish(session, duty)
    put_sink(session, "audit", newest + 5)
    requeue_all(session)

    assert positions(session) == {"audit": newest + 5}


def test_a_batch_that_was_on_its_way_is_passed_on_once_under_its_new_numbers(session, duty):
    newest = publish(session, duty)
    session.execute(sa.text("UPDATE event_batches SET published_at = NULL"))
    put_sink(session, "csv", newest)
    put_sink(session, "stats", newest - 1)
    requeue_all(session)

    [event] = events.read_after(session, newest - 1, limit=50).events
    assert event.position == newest + SKIPPED_NUMBERS
    assert positions(session) == {"csv": newest + SKIPPED_NUMBERS, "stats": newest - 1}


def test_a_ledger_without_events_begins_with_one(session, duty):
    requeue_all(session)

    assert publish(session, duty) == 1
