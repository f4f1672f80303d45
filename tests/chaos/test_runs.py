"""Runs with a hundred steps at once: joins that run once, and cancels that race with outcomes.

The join is made 15 times; with CHAOS_FULL=1, 50 times.
"""

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.chaos.evidence import assert_histories_hold
from tests.chaos.repetitions import repetitions
from tests.support.servers.programs import Worker
from tests.support.servers.waiting import wait_for

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

WIDTH, TIMES, CANCELLED = 100, repetitions(50, 15), 12
UNFINISHED = "SELECT count(*) AS n FROM workflow_runs WHERE status IN ('RUNNING', 'PAUSED', 'COMPENSATING')"
ENDS = """
SELECT run_id, count(*) AS n FROM workflow_run_events WHERE status IN ('CANCELLED', 'COMPLETED') GROUP BY run_id
"""
# By the events' ids, which are drawn one after the other: moments of two processes may be milliseconds apart.
JOINS = """
SELECT run.id, run.status, count(DISTINCT task.id) FILTER (WHERE task.step = 'join') AS joins,
       max(event.id) FILTER (WHERE task.step <> 'join' AND event.status = 'COMPLETED')
           < min(event.id) FILTER (WHERE task.step = 'join') AS is_after_all
FROM workflow_runs AS run JOIN tasks AS task ON task.run_id = run.id
    JOIN task_events AS event ON event.task_id = task.id
GROUP BY run.id, run.status
"""


@pytest.fixture(scope="module")
def busy_stack(short_stack):
    """A second worker beside the stack's own, and the workflow."""
    fans = {f"s{number}": {"type": "uppercase_text", "payload": f"part {number}"} for number in range(WIDTH)}
    parts = [{"$from": f"steps.{key}.result"} for key in fans]
    join = {"type": "reverse_string", "payload": {"$text": parts}, "after": list(fans)}
    body = {"name": "fan", "definition": {"steps": {**fans, "join": join}}}
    assert short_stack.post("/workflows", body).status_code == 201
    with Worker(short_stack.environment, concurrency=3):
        yield short_stack


def start(stack) -> str:
    answer = stack.post("/workflows/fan/runs", {})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def test_a_join_of_100_steps_runs_once_and_after_all_each_time(busy_stack, ledger):
    with ledger.timed(f"{TIMES} runs of {WIDTH + 1} steps"):
        for _ in range(TIMES):
            start(busy_stack)
        wait_for(lambda: busy_stack.rows(UNFINISHED)[0]["n"] == 0, timeout=240, what="every run ends")

    rows = busy_stack.rows(JOINS)
    assert len(rows) == TIMES
    assert {(row["status"], row["joins"], row["is_after_all"]) for row in rows} == {("COMPLETED", 1, True)}
    assert_histories_hold(busy_stack)


def test_cancelling_runs_while_their_steps_finish_has_one_end_and_shows_nobody_a_deadlock(busy_stack, ledger):
    chance = random.Random(1)
    before = len(busy_stack.rows("SELECT id FROM workflow_runs"))
    runs = [start(busy_stack) for _ in range(CANCELLED)]
    wait_for(lambda: _finished_steps(busy_stack, runs) > WIDTH, timeout=60, what="steps are finishing")
    chance.shuffle(runs)

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda run: busy_stack.post(f"/runs/{run}/cancel", {}), runs * 2))
    wait_for(lambda: busy_stack.rows(UNFINISHED)[0]["n"] == 0, timeout=120, what="every run ends")

    ended = Counter(busy_stack.get(f"/runs/{run}").json()["status"] for run in runs)
    ledger.note(f"cancelled while finishing: {dict(ended)}; answers {Counter(each.status_code for each in answers)}")
    assert {each.status_code for each in answers} <= {200, 202, 409}
    assert set(ended) <= {"CANCELLED", "COMPLETED"}
    assert ended["CANCELLED"] > 0
    ends = busy_stack.rows(ENDS)
    assert len(ends) == before + CANCELLED
    assert {row["n"] for row in ends} == {1}
    left = "SELECT count(*) AS n FROM tasks WHERE run_id IS NOT NULL AND finished_at IS NULL"
    assert busy_stack.rows(left)[0]["n"] == 0
    for process in (busy_stack.api, busy_stack.worker, busy_stack.dispatcher):
        assert "deadlock" not in process.log_of_this_run.lower()


def _finished_steps(stack, runs) -> int:
    rows = stack.rows(
        "SELECT count(*) AS n FROM tasks WHERE run_id = ANY(%(ids)s::uuid[]) AND finished_at IS NOT NULL", {"ids": runs}
    )
    return rows[0]["n"]
