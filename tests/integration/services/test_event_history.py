"""Since when a task was in the status that an event ends, remembered or read."""

import pytest
import sqlalchemy as sa

from app.services import events, lifecycle
from app.services.events import History
from tests.support.factories import NOON, make_claim, pass_events_on, seconds


@pytest.fixture
def taken(session):
    """The events of three tasks, each completed; all in order."""
    for _ in range(3):
        claim = make_claim(session)
        session.commit()
        lifecycle.complete(session, [(claim, 1)], now=NOON + seconds(1))
        session.commit()
    pass_events_on(session)
    return list(events.read_after(session, 0, limit=100).events)


def expected(taken):
    """By event id: the moment of the event before, of the same task."""
    last, found = {}, {}
    for event in taken:
        found[event.event_id] = last.get(event.task_id)
        last[event.task_id] = event.at
    return found


def test_it_is_the_moment_of_the_event_before(session, taken):
    assert History().before(session, taken) == expected(taken)
    assert [event.status for event in taken].count("PROCESSING") == 3


@pytest.mark.parametrize("most", [0, 1, 2, 100])
@pytest.mark.parametrize("page", [1, 2, 5])
def test_what_is_remembered_and_what_is_read_agree_wherever_pages_end(session, taken, most, page):
    history, found = History(most=most), {}
    for start in range(0, len(taken), page):
        found |= history.before(session, taken[start : start + page])

    assert found == expected(taken)
    assert len(history._last) <= most


def test_who_begins_in_the_middle_reads_what_was_before(session, taken):
    assert History().before(session, taken[1:]) == {
        id_: moment for id_, moment in expected(taken).items() if id_ != taken[0].event_id
    }


def test_a_wait_of_more_than_a_week_has_no_beginning(session, taken):
    [_, claimed, *_] = taken
    session.execute(sa.text("UPDATE task_events SET at = at - interval '8 days' WHERE status = 'PENDING'"))

    assert History().before(session, [claimed]) == {claimed.event_id: None}
