"""What ports write with an outcome: after the fence, in its transaction, or not at all."""

from uuid import uuid4

import pytest
import sqlalchemy as sa
from msgspec.structs import replace

from app.models import Status
from app.services.recovery.failures import Failure
from app.services.tasks import outcomes
from app.services.tasks.outcomes import Completed, Failed
from taskledger_sdk.errors import PermanentError
from tests.support.factories import NOON, make_claim, read_task


def count_up(session, _now):
    """A write that leaves a trace in a table."""
    session.execute(sa.text("INSERT INTO counters (name, value) VALUES ('written', 1)"))
    return {"number": 7}


def refuse(session, now):
    count_up(session, now)
    raise PermanentError("the period is taken")


def failed(error):
    return Failed(failure=Failure(type=type(error).__name__, message=str(error)), reason="its error is permanent")


def traces(session):
    return session.scalar(sa.text("SELECT count(*) FROM counters WHERE name = 'written'"))


def test_a_write_is_made_and_adds_to_the_result(session):
    held = make_claim(session)

    recorded = outcomes.record(session, [(held, Completed(result={"a": 1}, writes=(count_up,)))], now=NOON)

    assert read_task(session, held.id).result == {"a": 1, "number": 7}
    assert recorded[held.id].result == {"a": 1, "number": 7}
    assert traces(session) == 1


def test_an_attempt_that_lost_its_lease_writes_nothing(session):
    held = make_claim(session)
    stale = replace(held, lease=uuid4())

    recorded = outcomes.record(session, [(stale, Completed(result={}, writes=(count_up,)))], now=NOON)

    assert recorded == {}
    assert (read_task(session, held.id).status, traces(session)) == (Status.PROCESSING, 0)


def test_a_refused_write_leaves_no_trace_and_fails_the_task(session):
    held = make_claim(session)
    outcome = Completed(result={}, writes=(refuse,), otherwise=failed)

    recorded = outcomes.record(session, [(held, outcome)], now=NOON)

    row = read_task(session, held.id)
    assert (row.status, row.error["message"], row.result) == (Status.FAILED, "the period is taken", None)
    assert isinstance(recorded[held.id], Failed)
    assert traces(session) == 0


def test_a_result_that_is_no_object_cannot_be_added_to(session):
    held = make_claim(session)

    outcomes.record(session, [(held, Completed(result=[1], writes=(count_up,), otherwise=failed))], now=NOON)

    assert (read_task(session, held.id).status, traces(session)) == (Status.FAILED, 0)


def test_a_refusal_does_not_disturb_its_neighbours_in_the_hint(session):
    claims = [make_claim(session) for _ in range(3)]
    writes = [(count_up,), (refuse,), ()]
    ended = [
        (held, Completed(result={}, writes=each, otherwise=failed)) for held, each in zip(claims, writes, strict=True)
    ]

    outcomes.record(session, ended, now=NOON)

    assert [read_task(session, held.id).status for held in claims] == ["COMPLETED", "FAILED", "COMPLETED"]


def test_a_write_that_fails_for_the_database_fails_no_task(session):
    held = make_claim(session)

    def deadlock(session, _now):
        session.execute(sa.text("DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40P01'; END $$"))
        return {}

    with pytest.raises(sa.exc.OperationalError):
        outcomes.record(session, [(held, Completed(result={}, writes=(deadlock,), otherwise=failed))], now=NOON)
