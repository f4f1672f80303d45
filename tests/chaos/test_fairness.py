"""Limits and order while workers are killed: never one too many at once, never one out of turn.

200 tasks run under a limit; with CHAOS_FULL=1, 400.
"""

import random
from collections import defaultdict
from itertools import pairwise

import pytest

from tests.chaos.evidence import assert_histories_hold, assert_report_clean
from tests.chaos.faults import Restarter
from tests.chaos.repetitions import repetitions
from tests.support.servers.programs import Worker
from tests.support.servers.waiting import wait_for

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

SEED = 20_261_122
LIMIT, TASKS, SECONDS_EACH = 5, repetitions(400, 200), 0.8
KEYS, EACH = 20, 20

SUBMIT = """
INSERT INTO tasks (id, type, status, payload, priority, queue, max_retries, created_at, due_at, ordering_key)
SELECT gen_random_uuid(), 'trace_run', 'PENDING', %(payload)s::jsonb, 'normal', 'tasks', 50, now(), now(),
       CASE WHEN %(keys)s > 0 THEN 'key-' || n %% greatest(%(keys)s, 1) END
FROM generate_series(1, %(count)s) AS n
"""
MAX_AT_ONCE = """
SELECT max(running) AS most, sum(running * seconds) / sum(seconds) AS mean FROM (
    SELECT sum(step) OVER (ORDER BY at, id) AS running,
           extract(epoch FROM lead(at) OVER (ORDER BY at, id) - at) AS seconds
    FROM (SELECT id, at, CASE WHEN status = 'PROCESSING' THEN 1 ELSE -1 END AS step FROM task_events
          WHERE status = 'PROCESSING' OR previous_status = 'PROCESSING') AS steps
    WHERE at <= (SELECT max(at) FROM task_events WHERE status = 'PROCESSING')) AS moments
"""
KEEP_ORDER = """
CREATE TABLE kept (task_id uuid PRIMARY KEY, seq bigint);
CREATE FUNCTION keep_order() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO kept VALUES (NEW.task_id, NEW.seq); RETURN NULL; END $$;
CREATE TRIGGER keep_order AFTER INSERT ON admissions FOR EACH ROW EXECUTE FUNCTION keep_order();
"""
RUNS = """
SELECT tasks.ordering_key, task_events.task_id, admission.seq, task_events.status, task_events.previous_status
FROM task_events JOIN tasks ON tasks.id = task_events.task_id JOIN kept AS admission ON admission.task_id = tasks.id
WHERE task_events.status = 'PROCESSING' OR previous_status = 'PROCESSING' ORDER BY at, task_events.id
"""


@pytest.fixture
def crowded(make_stack, ledger):
    """An installation with four workers that are started again when they are killed."""
    stack = make_stack(lease_seconds="6", shutdown_grace_seconds="2")
    others = [Worker(stack.environment) for _ in range(3)]
    for worker in others:
        worker.start()
    try:
        for worker in others:
            worker.wait_until_ready()
        with Restarter([stack.worker, *others], ledger):
            yield stack, [stack.worker, *others]
    finally:
        for worker in others:
            worker.end()


def kill_now_and_then(stack, workers, ledger, *, count):
    """Kill a random worker every four seconds until all tasks have finished.

    Not before the one killed last is back, however slow the machine: three workers have six processes, so that a limit
    of five can always be used.
    """
    chance = random.Random(SEED)

    def are_finished():
        [row] = stack.rows("SELECT count(*) AS n FROM tasks WHERE finished_at IS NOT NULL")
        return row["n"] == count

    for _ in range(60):
        try:
            wait_for(are_finished, timeout=4)
            return
        except AssertionError:
            if not all(worker.is_running and worker.is_ready() for worker in workers):
                continue
            victim = chance.choice(workers)
            ledger.note(f"killing worker {victim.pid}")
            victim.kill()
    raise AssertionError(f"not all finished: {stack.rows('SELECT status, count(*) FROM tasks GROUP BY 1')}")


def test_a_limit_of_five_over_four_workers_is_never_exceeded_and_well_used(crowded, ledger, tmp_path):
    stack, workers = crowded
    stack.http.put(
        f"{stack.api.url}/api/v1/limits/type/trace_run", json={"max_running": LIMIT}, timeout=10
    ).raise_for_status()
    payload = f'{{"path": "{tmp_path}/trace", "seconds": {SECONDS_EACH}}}'

    with ledger.timed(f"until {TASKS} tasks of {SECONDS_EACH} s under a limit of {LIMIT} were done"):
        stack.rows(SUBMIT, {"payload": payload, "count": TASKS, "keys": 0})
        kill_now_and_then(stack, workers, ledger, count=TASKS)

    [found] = stack.rows(MAX_AT_ONCE)
    ledger.note(f"at most {found['most']} at once, {found['mean']:.2f} on average")
    assert found["most"] == LIMIT
    assert found["mean"] >= LIMIT - 1
    assert stack.rows("SELECT status, count(*) AS n FROM tasks GROUP BY 1") == [{"status": "COMPLETED", "n": TASKS}]
    assert stack.rows("SELECT count(*) AS n FROM admissions") == [{"n": 0}]
    assert_histories_hold(stack)
    assert_report_clean(stack, ledger)


def test_tasks_of_a_key_run_in_the_order_of_their_submission(crowded, ledger, tmp_path):
    stack, workers = crowded
    count = KEYS * EACH
    stack.rows(KEEP_ORDER)
    payload = f'{{"path": "{tmp_path}/trace", "seconds": 0.01}}'

    with ledger.timed(f"until {EACH} tasks of each of {KEYS} keys were done"):
        stack.rows(SUBMIT, {"payload": payload, "count": count, "keys": KEYS})
        kill_now_and_then(stack, workers, ledger, count=count)

    running, started = defaultdict(set), defaultdict(list)
    for row in stack.rows(RUNS):
        here = running[row["ordering_key"]]
        if row["status"] == "PROCESSING":
            here.add(row["task_id"])
            started[row["ordering_key"]].append(row["seq"])
        else:
            here.discard(row["task_id"])
        assert len(here) <= 1, f"two of {row['ordering_key']} at once"
    assert len(started) == KEYS
    assert all(one <= next_ for order in started.values() for one, next_ in pairwise(order))
    assert stack.rows("SELECT status, count(*) AS n FROM tasks GROUP BY 1") == [{"status": "COMPLETED", "n": count}]
