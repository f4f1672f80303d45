"""Tasks that share a hint are as safe as those that travel alone: own outcome, limit, cancel and rescue."""

import os
import signal

import pytest

from tests.chaos.evidence import assert_histories_hold, assert_one_outcome_each
from tests.support.servers.waiting import wait_for

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(120)]

GIVEN_BACK = """
SELECT DISTINCT detail->>'reason' AS reason FROM task_events
WHERE task_id = ANY(%(ids)s::uuid[]) AND status = 'PENDING' AND previous_status = 'PROCESSING'
"""


@pytest.fixture
def stack(short_stack):
    yield short_stack
    if not short_stack.worker.is_running:
        short_stack.worker.start().wait_until_ready()


@pytest.fixture
def trace(tmp_path):
    return tmp_path / "trace"


def submit(stack, trace, *payloads):
    """One batch, so that its tasks share hints; returns their ids in order."""
    tasks = [{"type": "share_hint", "payload": {"path": str(trace), **payload}} for payload in payloads]
    answer = stack.post("/tasks/batch", {"tasks": tasks})
    assert answer.json()["accepted"] == len(tasks), answer.text
    return [each["task"]["id"] for each in answer.json()["results"]]


def rows(stack, ids, columns):
    found = stack.rows(f"SELECT id::text, {columns} FROM tasks WHERE id = ANY(%(ids)s::uuid[])", {"ids": ids})
    by_id = {row.pop("id"): row for row in found}
    return [by_id[id_] for id_ in ids]


def starts(trace):
    """The ids of the runs that began, in order."""
    return [line.split()[0] for line in trace.read_text().splitlines()] if trace.exists() else []


def wait_until_begun(trace, task_id):
    wait_for(lambda: task_id in starts(trace), timeout=15)


def assert_whole(stack, ids):
    assert_histories_hold(stack)
    assert_one_outcome_each(stack, ids)


def test_tasks_of_a_chunk_are_claimed_together_and_end_each_in_its_own_way(stack, trace, ledger):
    ids = submit(stack, trace, *({"fails": number == 7} for number in range(20)))

    with ledger.timed("20 tasks in one chunk"):
        stack.wait_until("COMPLETED", ids[:7] + ids[8:])
    [failed] = rows(stack, ids[7:8], "status, error->>'message' AS message")

    assert failed == {"status": "FAILED", "message": "told to fail"}
    assert len({str(row["started_at"]) for row in rows(stack, ids, "started_at")}) == 1
    assert starts(trace) == ids
    assert_whole(stack, ids)


def test_a_chunk_that_takes_long_gives_its_rest_back_uncounted(stack, trace, ledger):
    ids = submit(stack, trace, *[{"seconds": 0.4}] * 12)

    with ledger.timed("12 tasks of 0.4 s each in chunks that end after a second"):
        stack.wait_until("COMPLETED", ids, timeout=30)

    assert {row["attempt"] for row in rows(stack, ids, "attempt")} == {1}
    assert [row["reason"] for row in stack.rows(GIVEN_BACK, {"ids": ids})] == [
        "given back: the chunk it travelled in took too long"
    ]
    assert sorted(starts(trace)) == sorted(ids)
    assert_whole(stack, ids)


def test_a_task_that_is_cancelled_before_its_turn_never_starts(stack, trace):
    first, second, third = submit(stack, trace, {"seconds": 3}, {}, {})
    wait_until_begun(trace, first)

    answer = stack.post(f"/tasks/{second}/cancel", {})

    assert answer.status_code == 202
    stack.wait_until("COMPLETED", [first, third])
    stack.wait_until("CANCELLED", [second])
    assert second not in starts(trace)
    assert_whole(stack, [first, second, third])


def test_the_one_that_runs_can_be_cancelled_and_the_others_go_on(stack, trace):
    first, second = submit(stack, trace, {"seconds": 4.5}, {})
    wait_until_begun(trace, first)

    stack.post(f"/tasks/{first}/cancel", {})

    stack.wait_until("CANCELLED", [first])
    stack.wait_until("COMPLETED", [second])
    assert_whole(stack, [first, second])


def test_a_time_limit_ends_the_one_that_runs_and_no_other(stack, trace):
    slow, other = submit(stack, trace, {"seconds": 30}, {})

    stack.wait_until("COMPLETED", [other], timeout=20)

    ended = "SELECT detail->'error'->>'type' AS error FROM task_events WHERE task_id = %(id)s AND status = 'RETRYING'"
    assert stack.rows(ended, {"id": slow})[0] == {"error": "TimeLimitReached"}
    stack.post(f"/tasks/{slow}/cancel", {})
    stack.wait_until("CANCELLED", [slow], timeout=20)


def test_progress_is_seen_while_a_chunk_runs_and_its_leases_are_held(stack, trace):
    ids = submit(stack, trace, {"seconds": 4, "reports": True}, {}, {})
    leases = "SELECT count(DISTINCT due_at) AS n, min(due_at) AS least FROM tasks WHERE id = ANY(%(ids)s::uuid[])"
    wait_until_begun(trace, ids[0])
    [before] = stack.rows(leases, {"ids": ids})

    wait_for(lambda: stack.task(ids[0])["progress"] == {"fraction": 0.5, "message": "half of it"}, timeout=10)
    wait_for(lambda: stack.rows(leases, {"ids": ids})[0]["least"] > before["least"], timeout=10)

    assert stack.rows(leases, {"ids": ids})[0]["n"] == 1  # renewed together
    stack.wait_until("COMPLETED", ids)
    assert {row["attempt"] for row in rows(stack, ids, "attempt")} == {1}


def test_a_lost_chunk_counts_no_attempt_and_returns_as_singles(stack, trace, ledger):
    ids = submit(stack, trace, {}, {"seconds": 4}, {}, {}, {})
    wait_until_begun(trace, ids[1])
    [row] = rows(stack, ids[1:2], "leased_pid")

    os.kill(row["leased_pid"], signal.SIGKILL)
    with ledger.timed("from kill -9 of the child until all are COMPLETED"):
        stack.wait_until("COMPLETED", ids, timeout=30)

    after = rows(stack, ids, "attempt, solo")
    assert {each["attempt"] for each in after} == {1}
    assert all(each["solo"] for each in after[1:])
    assert_whole(stack, ids)


def test_a_shutdown_gives_back_what_of_a_chunk_has_not_run(stack, trace, ledger):
    ids = submit(stack, trace, {}, {"seconds": 4.5}, {}, {})
    wait_until_begun(trace, ids[1])

    stack.worker.send(stack.worker.stop_signal)
    with ledger.timed("SIGTERM in the middle of a chunk until its rest is given back"):
        stack.wait_until("PENDING", ids[1:], timeout=10)
    assert stack.worker.wait(timeout=20) == 0

    assert {row["attempt"] for row in rows(stack, ids[1:], "attempt")} == {0}
    assert stack.statuses(ids[:1]) == {"COMPLETED": 1}
    stack.worker.start().wait_until_ready()
    stack.wait_until("COMPLETED", ids, timeout=30)
    assert_whole(stack, ids)
