"""Long tasks with checkpoints while everything is killed, and while workers are replaced: they go on from there.

120 tasks; with CHAOS_FULL=1, 200.
"""

import random
import re
import signal
import time
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from tests.chaos.evidence import assert_histories_hold, assert_one_outcome_each, attempts, wait_until_running
from tests.chaos.faults import Faults, Restarter, strike
from tests.chaos.repetitions import repetitions
from tests.support.servers.programs import Worker
from tests.support.servers.waiting import wait_for

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]

SEED = 20_261_129
TASKS, CHILDREN = repetitions(200, 120), 20
STEPS, STEP_SECONDS = 16, 0.5  # 8 s a task, where the broker lets a message be held for 10 s: acknowledged at 3.3
LINE = re.compile(r"(begin|kept) (\S+) (\d+) (\d+)")
FAULTS = ("worker_parent_killed", "worker_child_killed", "worker_child_killed", "dispatcher_killed")


def test_long_tasks_in_a_storm_of_kills_have_one_outcome_each_and_none_begins_again(
    make_stack, postgres, rabbitmq, ledger, tmp_path
):
    chance, trace = random.Random(SEED), tmp_path / "trace"

    def many_children(stack):
        stack.worker = Worker(stack.environment, concurrency=CHILDREN)

    stack = make_stack(
        change=many_children, lease_seconds="6", shutdown_grace_seconds="2", longest_delivery_seconds="10"
    )
    with Worker(stack.environment, concurrency=CHILDREN) as second:
        workers = [stack.worker, second]
        ids = [stack.submit("export_rows", _rows(trace)) for _ in range(TASKS)]
        faults = Faults(stack, workers, postgres, rabbitmq, accepted=lambda: TASKS, chance=chance)
        names = [*FAULTS, *FAULTS, "broker_killed", *FAULTS]
        with Restarter([*workers, stack.dispatcher], ledger) as restarter:
            wait_for(lambda: "kept" in trace.read_text() if trace.exists() else False, timeout=60)
            strike(faults, names, ledger, pause_seconds=2.0)
            restarter.wait_until_all_are_ready()
            with ledger.timed("until all of them are COMPLETED"):
                stack.wait_until("COMPLETED", ids, timeout=200)
        early = sum(worker.log.count("hint_acknowledged_early") for worker in workers)
        ledger.note(f"{early} hints were acknowledged before their tasks had ended")

    ledger.note(f"attempts that the tasks needed: {dict(sorted(attempts(stack, ids).items()))}")
    assert early > 0
    assert_one_outcome_each(stack, ids)
    assert_histories_hold(stack)
    assert _begun_again(trace) == {}
    begins = Counter(step > 0 for what, _, _, step in _lines(trace) if what == "begin")
    ledger.note(f"attempts that began at the start: {begins[False]}, from a checkpoint: {begins[True]}")
    assert begins[True] > 0


@pytest.mark.parametrize(("type_name", "pool"), [("export_rows", "prefork"), ("export_rows.async", "threads")])
def test_a_deploy_of_workers_lets_a_long_task_go_on_from_its_checkpoint_uncounted(
    type_name, pool, make_stack, ledger, tmp_path
):
    """With a grace period that is far longer than a step: it stops at its next checkpoint, and not at its end."""
    trace = tmp_path / "trace"
    stack = make_stack(lease_seconds="6", shutdown_grace_seconds="60")
    with stack.without_worker(), Worker(stack.environment, "--pool", pool) as old:
        task_id = stack.submit(type_name, _rows(trace, steps=12), timeout=7 * 24 * 3600)
        wait_for(lambda: _steps(trace) >= 3, timeout=20, what="some steps are kept")
        with ledger.timed(f"SIGTERM of a worker ({pool}) that runs a long task until it has ended") as took:
            assert old.stop(timeout=40) == 0
        with Worker(stack.environment, "--pool", pool):
            stack.wait_until("COMPLETED", [task_id], timeout=40)

    assert took[0] < 20
    assert attempts(stack, [task_id]) == {1: 1}
    [first, second] = [step for what, _, _, step in _lines(trace) if what == "begin"]
    assert first == 0
    assert second >= 3
    # It was stopped in the call that kept the step at which the second one began.
    assert [step for what, _, _, step in _lines(trace) if what == "kept"] == [n for n in range(1, 13) if n != second]
    assert stack.task(task_id)["result"]["begun"] == second
    assert_one_outcome_each(stack, [task_id])


def test_a_long_handler_without_checkpoints_in_reach_is_given_back_at_the_end_of_the_grace_period(
    short_stack, tmp_path
):
    trace = tmp_path / "trace"
    task_id = short_stack.submit("export_rows", {"path": str(trace), "steps": 2, "seconds": 30})
    wait_until_running(short_stack, task_id)
    wait_for(trace.exists, timeout=10)

    short_stack.worker.send(signal.SIGTERM)
    short_stack.wait_until("PENDING", [task_id], timeout=15)
    short_stack.worker.wait(timeout=30)

    assert attempts(short_stack, [task_id]) == {0: 1}
    short_stack.post(f"/tasks/{task_id}/cancel", {})
    short_stack.worker.start().wait_until_ready()


@pytest.mark.parametrize("type_name", ["export_rows", "export_rows.async"])
@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_cancelled_handler_stops_at_its_next_checkpoint_in_every_pool(type_name, pool, short_stack, tmp_path):
    trace = tmp_path / "trace"
    with short_stack.without_worker(), Worker(short_stack.environment, "--pool", pool):
        task_id = short_stack.submit(type_name, _rows(trace, steps=600), max_retries=0)
        wait_for(lambda: _steps(trace) >= 1, timeout=20)

        assert short_stack.post(f"/tasks/{task_id}/cancel", {}).status_code == 202
        began = time.monotonic()
        short_stack.wait_until("CANCELLED", [task_id], timeout=15)
        took = time.monotonic() - began

    assert took < 5
    [row] = short_stack.rows("SELECT cancel_receipt FROM tasks WHERE id = %(id)s", {"id": task_id})
    assert row["cancel_receipt"] == "stopped"


def _rows(trace: Path, *, steps: int = STEPS) -> dict[str, object]:
    return {"path": str(trace), "steps": steps, "seconds": STEP_SECONDS}


def _lines(trace: Path) -> list[tuple[str, str, int, int]]:
    found = [LINE.fullmatch(line) for line in trace.read_text().splitlines()]
    return [(each[1], each[2], int(each[3]), int(each[4])) for each in found if each]


def _steps(trace: Path) -> int:
    return sum(what == "kept" for what, *_ in _lines(trace)) if trace.exists() else 0


def _begun_again(trace: Path) -> dict[str, list[str]]:
    """Tasks of which an attempt began at the start after a checkpoint had been kept."""
    seen: defaultdict[str, list[str]] = defaultdict(list)
    for what, task_id, _, step in _lines(trace):
        seen[task_id].append(f"{what} {step}")
    return {
        task_id: said
        for task_id, said in seen.items()
        if "begin 0" in said[next((at for at, each in enumerate(said) if each.startswith("kept")), len(said)) :]
    }
