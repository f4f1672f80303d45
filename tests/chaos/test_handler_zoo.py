"""A thousand tasks, some of which do everything that a handler should not do: each ends as it should, alone."""

import random
import signal

import psutil
import pytest

from tests.chaos.evidence import assert_histories_hold, assert_one_outcome_each, wait_for_status, wait_until_running
from tests.support.servers.programs import Worker
from tests.support.servers.waiting import wait_for

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(240)]

COMPLETED, GONE = ("COMPLETED", None), ("FAILED", "WorkerLost")
DEEDS = [
    *[
        ({"name": "exit", "code": code}, ("FAILED", "SystemExit"))
        for code in (-256, -255, -241, -15, -9, -1, 0, 1, 255)
    ],
    *[({"name": "exit_at_once", "code": code}, GONE) for code in (0, 3, 155)],
    *[
        ({"name": "signal_self", "code": int(number)}, GONE)
        for number in (
            signal.SIGTERM,
            signal.SIGHUP,
            signal.SIGKILL,
            signal.SIGSEGV,
            signal.SIGABRT,
            signal.SIGALRM,
        )
    ],
    *[
        ({"name": "signal_self", "code": int(number)}, COMPLETED)
        for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT)
    ],
    *[({"name": "raise", "code": code}, ("FAILED", None)) for code in range(5)],
    *[
        ({"name": name}, COMPLETED)
        for name in (
            "survive_term",
            "close_streams",
            "close_descriptors",
            "change_signals",
            "leave_threads",
            "block_in_c",
            "use_processes",
        )
    ],
    *[
        ({"name": name}, ("FAILED", "PermanentError"))
        for name in ("return_largely", "return_object", "return_bytes", "return_nan", "nest")
    ],
    ({"name": "fail_largely"}, ("FAILED", "ValueError")),
    ({"name": "recurse"}, ("FAILED", "RecursionError")),
    ({"name": "take_memory"}, ("FAILED", "MemoryError")),
    ({"name": "take_descriptors"}, ("FAILED", "OSError")),
]
REPEATED = 4
IN_ALL = 1_000


@pytest.fixture(scope="module")
def stack(chaos_databases, rabbitmq):
    from tests.chaos.conftest import SHORT, _installation

    stack = _installation(chaos_databases, rabbitmq, **SHORT)
    stack.worker = Worker(stack.environment, concurrency=4)
    with stack:
        yield stack


def test_a_thousand_tasks_end_each_in_its_own_way_and_none_pays_for_another(stack, ledger, tmp_path):
    deeds = [*DEEDS, ({"name": "move_house", "path": str(tmp_path)}, COMPLETED)] * REPEATED
    healthy = [({"type": "uppercase_text", "payload": f"bystander {n}"}, COMPLETED) for n in range(IN_ALL - len(deeds))]
    wanted = [*[({"type": "zoo", "payload": payload}, outcome) for payload, outcome in deeds], *healthy]
    random.Random(7).shuffle(wanted)

    with ledger.timed(f"{len(deeds)} deeds among {len(healthy)} healthy tasks"):
        ids = []
        for start in range(0, len(wanted), 200):
            answer = stack.post("/tasks/batch", {"tasks": [task for task, _ in wanted[start : start + 200]]})
            assert answer.json()["refused"] == 0, answer.text
            ids += [each["task"]["id"] for each in answer.json()["results"]]
        wait_for(lambda: _unfinished(stack, ids) == 0, timeout=200, what="all of them end")

    rows = {
        row["id"]: row
        for row in stack.rows(
            "SELECT id::text, status, error->>'type' AS error, length(error->>'message') AS length, attempt FROM tasks "
            "WHERE id = ANY(%(ids)s::uuid[])",
            {"ids": ids},
        )
    }
    wrong = []
    for id_, (task, (status, error)) in zip(ids, wanted, strict=True):
        row = rows[id_]
        matches = row["status"] == status and (error is None or row["error"] == error)
        if not matches or row["attempt"] != 1 or (row["length"] or 0) > 2_000:
            wrong.append((task["payload"], row))
    assert wrong == []
    assert_one_outcome_each(stack, ids)
    assert_histories_hold(stack)


def test_processes_that_a_handler_started_end_with_its_attempt(stack, tmp_path):
    path = tmp_path / "pids"
    task_id = stack.submit("zoo", {"name": "leave_process", "path": str(path)})
    wait_for_status(stack, task_id, "COMPLETED", timeout=20)

    pids = [int(pid) for pid in path.read_text().split()]
    assert len(pids) == 2
    wait_for(lambda: not any(psutil.pid_exists(pid) for pid in pids), timeout=5)


def test_processes_that_a_handler_started_end_when_it_is_killed_at_its_limit(stack, tmp_path):
    path = tmp_path / "pids"
    task_id = stack.submit("zoo", {"name": "hang_with_process", "path": str(path)}, timeout=1)
    row = wait_for_status(stack, task_id, "FAILED", timeout=60)

    assert row["error"]["type"] == "TimeLimitExceeded"
    pid = int(path.read_text())
    wait_for(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie", timeout=5)


def test_an_attempt_that_is_interrupted_again_and_again_is_charged_at_last(stack, ledger):
    """The worker itself stops it each time, as a row of deployments does; it is not given back for ever."""
    from app.services.lifecycle import MAX_INTERRUPTIONS

    task_id = stack.submit("sleep_for", 60.0, max_retries=0)
    wait_until_running(stack, task_id)
    stack.rows(
        "INSERT INTO task_events (at, task_id, type, status, previous_status, attempt, detail) "
        "SELECT now(), %(id)s, 'sleep_for', 'PENDING', 'PROCESSING', 1, "
        """jsonb_build_object('reason', 'given back: its worker is shutting down') FROM generate_series(1, %(n)s)""",
        {"id": task_id, "n": MAX_INTERRUPTIONS - 1},
    )
    for status in ("PENDING", "FAILED"):
        wait_until_running(stack, task_id)
        stack.worker.stop()
        row = wait_for_status(stack, task_id, status, timeout=30)
        stack.worker.start().wait_until_ready()

    assert row["error"]["type"] == "WorkerLost"
    assert str(MAX_INTERRUPTIONS) in row["error"]["message"]


def _unfinished(stack, ids) -> int:
    [row] = stack.rows(
        "SELECT count(*) AS n FROM tasks WHERE finished_at IS NULL AND id = ANY(%(ids)s::uuid[])", {"ids": ids}
    )
    return row["n"]
