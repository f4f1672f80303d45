"""Outcomes of one run's steps that come at once: the join starts once, and nobody sees a deadlock."""

import random
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
import sqlalchemy as sa

from app.database import in_transaction
from app.errors import Conflict, NotFound
from app.services import lifecycle, workflows
from app.services.tasks import outcomes
from app.services.tasks.outcomes import Completed
from app.services.workflows import Caller, NewRun
from tests.support.factories import HOLDER, NOON
from tests.support.locks import somebody_waits
from tests.support.runs import create_workflow, run_of, start, states, step
from tests.support.servers.waiting import wait_for

WIDTH, THREADS = 40, 8
ANN = Caller(owner_id=uuid4())


@pytest.fixture
def fan(session):
    steps = {f"s{number}": step() for number in range(WIDTH)}
    return start(session, {**steps, "join": step(*steps)})


def claims_of(session, run):
    ids = session.scalars(sa.text("SELECT id FROM tasks WHERE run_id = :id"), {"id": run.id}).all()
    held = lifecycle.claim(session, "reverse_string", ids, holder=HOLDER, lease_seconds=60, now=NOON)
    session.commit()
    return random.sample(held, len(held))


def finish(held):
    in_transaction(lambda session: outcomes.record(session, [(held, Completed(result="x"))], now=NOON))


def test_a_join_starts_once_however_many_outcomes_come_at_once(fan, session):
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(finish, claims_of(session, fan)))

    joins = session.scalar(sa.text("SELECT count(*) FROM tasks WHERE step = 'join'"))
    assert (joins, states(session, fan.id)["join"]) == (1, "STARTED")
    assert set(states(session, fan.id).values()) == {"COMPLETED", "STARTED"}


def test_cancelling_while_steps_finish_ends_the_run_once(fan, session):
    held = claims_of(session, fan)

    def cancel(_):
        in_transaction(lambda session: workflows.cancel(session, fan.id, visible_to=None, now=NOON))

    work = [(finish, each) for each in held]
    work[WIDTH // 2 : WIDTH // 2] = [(cancel, None)]
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda each: each[0](each[1]), work))

    ends = [event["status"] for event in workflows.events(session, fan.id)]
    assert ends == ["RUNNING", "CANCELLED"]
    assert run_of(session, fan.id).status == "CANCELLED"
    assert states(session, fan.id)["join"] == "WAITING"


def test_an_outcome_and_a_cancel_of_the_same_step_are_one_after_the_other(session):
    for _ in range(10):
        run = start(session, {"a": step()}, name=f"race {random.random()}")
        [held] = claims_of(session, run)

        def cancel(run_id=run.id):
            in_transaction(lambda session: workflows.cancel(session, run_id, visible_to=None, now=NOON))

        with ThreadPoolExecutor(2) as pool:
            outcome, cancelled = pool.submit(finish, held), pool.submit(cancel)
        outcome.result()

        session.rollback()
        status = run_of(session, run.id).status
        assert status in ("COMPLETED", "CANCELLED")
        assert (cancelled.exception() is None) == (status == "CANCELLED")


def test_a_workflow_is_not_deleted_while_a_run_of_it_starts(session):
    create_workflow(session, {"a": step()}, name="busy", owner_id=ANN.owner_id)
    workflows.read_workflow(session, "busy", caller=ANN, now=NOON)
    session.commit()

    with ThreadPoolExecutor(1) as pool:
        workflows.start_once(session, "busy", NewRun(), key=None, caller=ANN, now=NOON)
        deleted = pool.submit(in_transaction, lambda other: workflows.delete(other, "busy", caller=ANN, now=NOON))
        wait_for(somebody_waits)
        session.commit()

        with pytest.raises(Conflict, match="1 runs of workflow 'busy' are under way"):
            deleted.result()


def test_a_run_of_a_workflow_that_was_just_deleted_is_not_started(session):
    workflow = create_workflow(session, {"a": step()}, name="gone", owner_id=ANN.owner_id)
    workflows.delete(session, "gone", caller=ANN, now=NOON)

    with pytest.raises(NotFound):
        workflows.start(session, workflow, NewRun(), owner_id=ANN.owner_id, now=NOON)
