"""Tasks submitted from inside a transaction of psql: run when it commits, by real workers, in chunks."""

import time

import psycopg2
import pytest

from tests.support.servers.waiting import wait_for

SUBMIT = "SELECT taskledger.submit('reverse_string', to_jsonb('number ' || n)) FROM generate_series(1, %s) AS n"
MANY = 5_000


@pytest.fixture
def psql(stack):
    """A connection whose transaction is ended by the test. The worker has told which types there are."""
    wait_for(lambda: stack.rows("SELECT name FROM task_types WHERE name = 'reverse_string'"), timeout=20)
    connection = psycopg2.connect(stack.database_url)
    yield connection
    connection.close()


def submit(psql, number: int) -> list[str]:
    with psql.cursor() as cursor:
        cursor.execute(SUBMIT, (number,))
        return [task_id for (task_id,) in cursor.fetchall()]


def test_a_transaction_that_rolls_back_leaves_nothing_and_one_that_commits_runs(stack, psql):
    gone = submit(psql, 3)
    psql.rollback()
    [kept] = submit(psql, 1)
    psql.commit()

    stack.wait_until("COMPLETED", [kept])

    assert stack.statuses(gone) == {}
    assert stack.rows("SELECT id FROM task_events WHERE task_id = ANY(%(ids)s::uuid[])", {"ids": gone}) == []


def test_a_committed_submission_is_dispatched_within_a_second(stack, psql):
    with stack.without_worker():
        [task_id] = submit(psql, 1)
        psql.commit()
        committed = time.monotonic()
        question = "SELECT id FROM tasks WHERE id = %(id)s AND dispatched_at IS NOT NULL"
        wait_for(lambda: stack.rows(question, {"id": task_id}), timeout=10)
        waited = time.monotonic() - committed

    stack.wait_until("COMPLETED", [task_id])
    assert waited < 3, waited  # the dispatcher looks every 0.2 s; the rest is for a machine that is busy


def test_five_thousand_submissions_in_one_transaction_all_run_in_chunks(stack, psql):
    with stack.without_worker():
        stack.broker.purge()
        ids = submit(psql, MANY)
        psql.commit()
        question = "SELECT count(*) AS n FROM tasks WHERE id = ANY(%(ids)s::uuid[]) AND dispatched_at IS NULL"
        wait_for(lambda: stack.rows(question, {"ids": ids})[0]["n"] == 0, timeout=60)
        wait_for(lambda: stack.broker.queue().ready >= MANY / 200, timeout=10)
        hints = stack.broker.queue().ready

    stack.wait_until("COMPLETED", ids, timeout=90)

    assert len(set(ids)) == MANY
    assert hints <= MANY / 20, hints  # 25 of 200 tasks each, where every batch of the dispatcher was full
    outcomes = "SELECT count(*) AS n FROM task_events WHERE task_id = ANY(%(ids)s::uuid[]) AND status = 'COMPLETED'"
    assert stack.rows(outcomes, {"ids": ids}) == [{"n": MANY}]
