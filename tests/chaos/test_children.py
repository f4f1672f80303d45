"""Handlers that submit others, killed between submission and outcome: no child is lost, none is there twice."""

import time

import pytest

from tests.chaos.evidence import assert_histories_hold, assert_one_outcome_each
from tests.chaos.faults import Restarter
from tests.support.servers.waiting import wait_for

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

PARENTS, AT_ONCE, WITH_OUTCOME, KILLS = 12, 3, 2, 3
CHILDREN = "SELECT id, parent_id, payload FROM tasks WHERE parent_id = ANY(%(ids)s::uuid[])"

LOST = """
SELECT count(*) AS n FROM task_events WHERE task_id = ANY(%(ids)s::uuid[]) AND previous_status = 'PROCESSING'
AND status IN ('PENDING', 'RETRYING')
"""


def test_children_survive_kill_9_of_the_worker_between_submission_and_outcome(make_stack, ledger):
    stack = make_stack(lease_seconds="6", shutdown_grace_seconds="2")
    parts = [{"payload": f"now {number}", "key": f"now-{number}", "now": True} for number in range(AT_ONCE)]
    parts += [{"payload": f"then {number}"} for number in range(WITH_OUTCOME - 1)]
    parts += [{"payload": "then, with a key", "key": "then"}]
    ids = [stack.submit("hand_out", {"parts": parts, "seconds": 1.5}, max_retries=20) for _ in range(PARENTS)]

    with Restarter([stack.worker], ledger) as restarter:
        for _ in range(KILLS):
            restarter.wait_until_all_are_ready()
            wait_for(lambda: _are_between(stack, ids), timeout=30, what="a parent has submitted and not ended")
            ledger.note(f"kill -9 of the worker's parent {stack.worker.pid}")
            stack.worker.kill()
            time.sleep(0.5)
        with ledger.timed("until all parents are completed"):
            stack.wait_until("COMPLETED", ids, timeout=90)
        children = stack.rows(CHILDREN, {"ids": ids})
        stack.wait_until("COMPLETED", [child["id"] for child in children], timeout=90)

    _assert_each_has_its_own(stack, ids, parts, children)
    [lost] = stack.rows(LOST, {"ids": ids})
    ledger.note(f"{len(children)} children of {len(ids)} parents, of which {lost['n']} attempts were lost")
    assert lost["n"] > 1, "no parent was killed while it ran"
    assert_histories_hold(stack)


def test_a_handler_that_dies_on_every_attempt_hands_out_once(short_stack, ledger):
    parts = [{"payload": "at once", "key": "a", "now": True}, {"payload": "never"}]
    dying = short_stack.submit("hand_out", {"parts": parts, "die_until": 9}, max_retries=2)
    living = short_stack.submit("hand_out", {"parts": parts, "die_until": 2}, max_retries=3)

    short_stack.wait_until("FAILED", [dying], timeout=40)
    short_stack.wait_until("COMPLETED", [living], timeout=40)

    assert [child["payload"] for child in short_stack.rows(CHILDREN, {"ids": [dying]})] == ["at once"]
    assert sorted(child["payload"] for child in short_stack.rows(CHILDREN, {"ids": [living]})) == ["at once", "never"]
    [listed] = short_stack.get(f"/tasks/{dying}/children").json()["items"]
    assert listed["links"]["parent"] == f"/api/v1/tasks/{dying}"


def _are_between(stack, ids) -> bool:
    """Whether a handler is at work whose children are there already."""
    return bool(stack.rows(
        "SELECT FROM tasks AS parent WHERE id = ANY(%(ids)s::uuid[]) AND status = 'PROCESSING' AND started_at > "
        "now() - interval '1 s' AND (SELECT count(*) FROM task_children WHERE parent_id = parent.id) >= %(at_once)s",
        {"ids": ids, "at_once": AT_ONCE},
    ))  # fmt: skip


def _assert_each_has_its_own(stack, ids, parts, children) -> None:
    wanted = sorted(part["payload"] for part in parts)
    for parent_id in ids:
        own = [child for child in children if child["parent_id"] == parent_id]
        assert sorted(child["payload"] for child in own) == wanted
        assert sorted(stack.task(parent_id)["result"]) == sorted(child["id"] for child in own)
    assert_one_outcome_each(stack, [*ids, *(child["id"] for child in children)])
