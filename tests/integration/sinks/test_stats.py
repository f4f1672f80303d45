"""The stats sink: counts, run times and waiting times by minute."""

import sqlalchemy as sa

from app.services import lifecycle
from app.sinks.stats import StatsSink
from tests.support.factories import make_claim, pass_events_on

STATS = "SELECT status, sum(n) AS n, sum(ran) AS ran, sum(waited) AS waited FROM task_stats GROUP BY status"


def stats(session):
    session.commit()
    return {row.status: (row.n, row.ran, row.waited) for row in session.execute(sa.text(STATS))}


def complete_some(session, number):
    for _ in range(number):
        claim = make_claim(session)
        lifecycle.complete(session, [(claim, 1)], now=session.scalar(sa.text("SELECT now()")))
        session.commit()
    pass_events_on(session)


def test_runs_and_waits_are_counted_by_status(session, make_runner):
    runner = make_runner(StatsSink())
    complete_some(session, 2)
    runner.catch_up()
    complete_some(session, 1)
    runner.catch_up()

    assert stats(session) == {"PENDING": (3, 0, 0), "PROCESSING": (3, 0, 3), "COMPLETED": (3, 3, 0)}


def test_run_times_are_measured_from_claim_to_end(session, make_runner):
    runner = make_runner(StatsSink())
    complete_some(session, 1)
    session.execute(sa.text("UPDATE task_events SET at = at - interval '90 s' WHERE status = 'PENDING'"))
    session.execute(sa.text("UPDATE task_events SET at = at - interval '30 s' WHERE status = 'PROCESSING'"))
    session.execute(sa.text("UPDATE event_batches SET oldest_at = oldest_at - interval '90 s'"))
    session.commit()

    runner.catch_up()

    row = session.execute(sa.text("SELECT sum(run_seconds) AS run, sum(wait_seconds) AS wait FROM task_stats")).one()
    assert 30 <= row.run < 31
    assert 60 <= row.wait < 61


def test_events_that_come_again_are_counted_once(session, make_runner):
    runner = make_runner(StatsSink())
    complete_some(session, 2)
    runner.catch_up()
    runner._turn.end()

    make_runner(StatsSink()).catch_up()

    assert stats(session)["COMPLETED"] == (2, 2, 0)
