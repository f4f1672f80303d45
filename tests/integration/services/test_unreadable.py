"""Rows that PostgreSQL holds and Python does not read, written by hand: they are in nobody's way."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from app.clock import utcnow
from app.models import Status
from app.services import lifecycle
from app.services.lifecycle import Holder
from app.services.recovery import rescue
from app.services.tasks import records
from tests.support.factories import make_task, read_task
from tests.support.servers.attempts import run_attempt

DIGITS = "to_jsonb(('1' || repeat('0', 5000))::numeric)"
LEVELS = "(repeat('[', 3000) || repeat(']', 3000))::jsonb"
HOLDER = Holder(worker="worker/1", pid=1)


@pytest.fixture(params=[DIGITS, LEVELS], ids=["digits", "levels"])
def pair(request, session):
    """An ordinary task and one that cannot be read, of one type."""
    good, bad = (make_task(session, type="fibonacci_calc", payload=5) for _ in range(2))
    session.execute(sa.text(f"UPDATE tasks SET payload = {request.param} WHERE id = :id"), {"id": bad.id})
    session.commit()
    return good, bad


def test_a_chunk_with_one_is_claimed_and_the_others_run(session, pair):
    good, bad = pair
    claimed = lifecycle.claim(
        session, "fibonacci_calc", [bad.id, good.id], holder=HOLDER, lease_seconds=60, now=utcnow()
    )

    assert [each.id for each in claimed] == [bad.id, good.id]
    assert claimed[1].payload == 5


def test_it_becomes_a_dead_letter_that_says_why(session, pair):
    _, bad = pair

    run_attempt("fibonacci_calc", bad.id)

    task = read_task(session, bad.id)
    assert task.status == Status.FAILED
    assert "its payload cannot be read: " in task.error["message"]


def test_its_neighbours_are_rescued_and_listed(session, pair):
    good, bad = pair
    began = utcnow()
    lifecycle.claim(session, "fibonacci_calc", [good.id, bad.id], holder=HOLDER, lease_seconds=60, now=began)
    session.commit()
    later = began + timedelta(seconds=120)

    moved = rescue.expired_leases(session, [good.id, bad.id], before=later, now=later, random=lambda: 0.5)
    session.commit()

    assert moved.count == 2
    items, _ = records.find(session, records.Filter(), owner=None, before=None, limit=10)
    assert {each.id: each.payload for each in items}[good.id] == 5
    assert "$unreadable" in {each.id: each.payload for each in items}[bad.id]
