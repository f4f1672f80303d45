"""Outcomes of one run's steps that come at once: the join starts once, and nobody sees a deadlock."""

import random
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from app.database import in_transaction
from app.services import lifecycle, outcomes, workflows
from app.services.outcomes import Completed
from tests.factories import HOLDER, NOON
from tests.runs import run_of, start, states, step

WIDTH, THREADS = 40, 8


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
        in_transaction(lambda session: workflows.cancel(session, fan.id, seen_by=None, now=NOON))

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
            in_transaction(lambda session: workflows.cancel(session, run_id, seen_by=None, now=NOON))

        with ThreadPoolExecutor(2) as pool:
            outcome, cancelled = pool.submit(finish, held), pool.submit(cancel)
        outcome.result()

        session.rollback()
        status = run_of(session, run.id).status
        assert status in ("COMPLETED", "CANCELLED")
        assert (cancelled.exception() is None) == (status == "CANCELLED")
