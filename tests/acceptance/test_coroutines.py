"""Handlers that are coroutine functions, in real workers with each of the pools."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psutil
import pytest

from tests.conftest import empty_broker_url
from tests.support.servers.databases import Databases
from tests.support.servers.programs import Worker
from tests.support.servers.stack import Stack
from tests.support.servers.waiting import wait_for

pytestmark = pytest.mark.long

REACH_SECONDS = 1.5  # so long at most until a coroutine that waits hears that it is to stop
GRACE_SECONDS = 1
POOLS = {"prefork": 2, "threads": 50, "solo": 1}


CLIENTS = '''
"""clients: what the handlers of this file share."""

import os
import time
from pathlib import Path

from taskledger_sdk import TaskContext, lifespan, task_type


def tell(what):
    with Path(os.environ["TOLD"]).open("a") as file:
        file.write(f"{what} {os.getpid()}\\n")


@lifespan
async def shared():
    tell("opened async")
    yield {"used": 0}
    tell("closed async")


@lifespan
def plain():
    tell("opened plain")
    yield "plain"
    tell("closed plain")


@task_type("use_clients", examples=("x",))
async def use_clients(task: TaskContext, payload: str) -> list:
    shared.value["used"] += 1
    return [plain.value, shared.value["used"], os.getpid()]
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Where the file above is, and what it has told."""
    folder = tmp_path_factory.mktemp("clients")
    (folder / "use_clients.py").write_text(CLIENTS)
    return folder


@pytest.fixture
def told(folder):
    """What the lifespans told, each with the process."""

    def read():
        lines = (line.rpartition(" ") for line in (folder / "told").read_text().splitlines())
        return [(what, int(pid)) for what, _, pid in lines]

    return read


@pytest.fixture(scope="module")
def stack(databases: Databases, folder: Path, request: pytest.FixtureRequest) -> Iterator[Stack]:
    """API and dispatcher; the worker is each test's own."""
    url = databases.create(f"stack_{uuid4().hex[:8]}")
    settings = {"more_handlers": str(folder), "told": str(folder / "told")}
    with Stack(
        database_url=url,
        broker_url=empty_broker_url(request),
        shutdown_grace_seconds=str(GRACE_SECONDS),
        **settings,
    ) as stack:
        stack.worker.stop()
        yield stack
    databases.drop(url)


@pytest.fixture(scope="module", params=POOLS)
def worker(stack, request) -> Iterator[Worker]:
    """A worker with one of the pools, for all tests that come last: those before them have workers of their own."""
    with Worker(stack.environment, "--pool", request.param, concurrency=POOLS[request.param]) as worker:
        yield worker


def moments(path: Path) -> dict[str, float]:
    """When what happened; by time.time()."""
    if not path.exists():
        return {}
    lines = (line.rpartition(" ") for line in path.read_text().splitlines())
    return {what: float(moment) for what, _, moment in lines}


def start(stack: Stack, path: Path, **options) -> str:
    """Submit one that waits for a minute; return once it does."""
    task_id = stack.submit("coroutine", {"seconds": 60, "path": str(path)}, **options)
    wait_for(lambda: "began" in moments(path), timeout=20, what="the coroutine began")
    return task_id


@pytest.mark.parametrize("pool", POOLS)
def test_at_shutdown_one_that_waits_is_given_back_uncounted(stack, tmp_path, pool):
    path = tmp_path / "moments"
    with Worker(stack.environment, "--pool", pool, concurrency=2) as worker:
        task_id = start(stack, path)
        asked_at = time.time()
        assert worker.stop() == 0

    assert moments(path)["cleaned up"] - asked_at < GRACE_SECONDS + REACH_SECONDS
    [row] = stack.rows("SELECT status, attempt FROM tasks WHERE id = %(id)s", {"id": task_id})
    assert row == {"status": "PENDING", "attempt": 0}
    stack.post(f"/tasks/{task_id}/cancel", {})


def test_a_signal_that_ends_its_process_lets_it_clean_up(stack, tmp_path):
    path = tmp_path / "moments"
    with Worker(stack.environment):
        task_id = start(stack, path)
        [row] = stack.rows("SELECT leased_pid FROM tasks WHERE id = %(id)s", {"id": task_id})
        os.kill(row["leased_pid"], signal.SIGTERM)
        stack.wait_until("FAILED", [task_id])

    assert "cleaned up" in moments(path)
    assert stack.task(task_id)["error"]["type"] == "WorkerLost"


def test_one_that_ignores_its_cancellation_ends_with_its_child(stack, tmp_path):
    path = tmp_path / "moments"
    with Worker(stack.environment) as worker:
        task_id = stack.submit("coroutine", {"name": "ignore", "path": str(path)})
        wait_for(lambda: "began" in moments(path), timeout=20, what="the coroutine began")
        stack.post(f"/tasks/{task_id}/cancel", {})
        stack.wait_until("CANCELLED", [task_id])

        assert "handler_killed" in worker.log


def test_one_that_keeps_the_loop_is_named_and_ends_its_process_where_it_hears_nothing(stack, tmp_path):
    """In a pool of threads all coroutines of the process wait for it: they are tried again by another worker."""
    path, other_path = tmp_path / "moments", tmp_path / "others"
    with Worker(stack.environment, "--pool", "threads") as worker:
        other = start(stack, other_path)
        task_id = stack.submit("coroutine", {"name": "keep_loop", "seconds": 60, "path": str(path)}, timeout=1)
        wait_for(lambda: "began" in moments(path), timeout=20, what="the coroutine began")
        process = psutil.Process(worker.pid)
        wait_for(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE, timeout=20)

        assert "event_loop_blocked" in worker.log
        assert f"coroutine {task_id}" in worker.log
        assert "task_types/coroutine.py:" in worker.log
    stack.post(f"/tasks/{other}/cancel", {})


@pytest.mark.parametrize("pool", POOLS)
def test_lifespans_are_opened_once_in_each_process_and_closed_at_its_end(stack, told, pool):
    with Worker(stack.environment, "--pool", pool, concurrency=2) as worker:
        ids = [stack.submit("use_clients", "x") for _ in range(6)]
        stack.wait_until("COMPLETED", ids)
        results = [stack.task(task_id)["result"] for task_id in ids]
        assert worker.stop() == 0

    for process in {pid for _, _, pid in results}:
        assert min(used for _, used, pid in results if pid == process) == 1
        assert [line for line, pid in told() if pid == process] == [
            "opened async",
            "opened plain",
            "closed plain",
            "closed async",
        ]


def test_a_coroutine_runs_and_reaches_all_of_its_context(worker, stack):
    answer = stack.post(
        "/tasks", {"type": "coroutine", "payload": {"name": "tell"}}, headers={"X-Request-ID": "order-17"}
    )
    task_id = answer.json()["id"]
    stack.wait_until("COMPLETED", [task_id])

    task = stack.task(task_id)
    assert task["progress"] == {"fraction": 0.5, "message": "page 4"}
    assert [line["message"] for line in stack.get(f"/tasks/{task_id}/logs").json()["items"]] == ["halfway"]
    assert task["result"]["request_id"] == "order-17"
    children = {child["id"] for child in stack.get(f"/tasks/{task_id}/children").json()["items"]}
    assert children == set(task["result"]["children"])
    stack.wait_until("COMPLETED", children)


def test_cancelling_reaches_one_that_waits_and_its_finally_runs(worker, stack, tmp_path):
    path = tmp_path / "moments"
    task_id = start(stack, path)

    asked_at = time.time()
    stack.post(f"/tasks/{task_id}/cancel", {})
    stack.wait_until("CANCELLED", [task_id])

    assert moments(path)["cleaned up"] - asked_at < REACH_SECONDS


def test_its_time_limit_reaches_one_that_waits_and_its_finally_runs(worker, stack, tmp_path):
    path = tmp_path / "moments"
    task_id = start(stack, path, timeout=2)
    stack.wait_until("FAILED", [task_id])

    seen = moments(path)
    assert 1.5 < seen["cleaned up"] - seen["began"] < 2 + REACH_SECONDS
    assert stack.task(task_id)["error"]["type"] == "TimeLimitReached"


def test_one_that_exits_fails_alone(worker, stack):
    good = [stack.submit("coroutine", {"seconds": 1}) for _ in range(3)]
    bad = [stack.submit("coroutine", {"name": "exit", "seconds": 0.2}) for _ in range(3)]
    stack.wait_until("FAILED", bad)
    stack.wait_until("COMPLETED", good)

    assert {stack.task(task_id)["error"]["type"] for task_id in bad} == {"SystemExit"}


def test_an_undo_may_be_a_coroutine_function(worker, stack):
    task_id = stack.submit("coroutine", {"seconds": 0.1})
    stack.wait_until("COMPLETED", [task_id])

    compensation = stack.post(f"/tasks/{task_id}/compensate", {}).json()["id"]
    stack.wait_until("COMPLETED", [compensation])

    assert stack.task(compensation)["result"]["undone"] == "took back 0.1"
