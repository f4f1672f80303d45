"""Five hundred coroutines at once in one worker process: how long 5,000 of them take, and what that costs."""

import threading
import time
from collections.abc import Iterator
from uuid import uuid4

import psutil
import pytest

from tests.conftest import empty_broker_url
from tests.support.servers.databases import Databases
from tests.support.servers.programs import Worker
from tests.support.servers.stack import Stack
from tests.support.servers.waiting import wait_for

pytestmark = [pytest.mark.long, pytest.mark.alone, pytest.mark.timeout(300)]

CONCURRENCY = 500
TASKS = 5_000
WAIT_SECONDS = 2.0
BATCH = 500
MAX_SECONDS = 40.0  # 20 s of waiting, and some 5 ms of processor time a task on slow processors
MAX_BYTES = 300 * 1024**2
MAX_CONNECTIONS = 4 * 10 + 5  # two pools of the default size with as much overflow, heartbeat and parent's threads
MAX_STATEMENTS_EACH_SECOND = (
    70  # of API, a dispatcher whose fourteen duties look, and a worker with 500 tasks that wait
)


@pytest.fixture(scope="module")
def stack(databases: Databases, request: pytest.FixtureRequest) -> Iterator[Stack]:
    """API and dispatcher; the worker is each test's own."""
    url = databases.create(f"stack_{uuid4().hex[:8]}")
    with Stack(database_url=url, broker_url=empty_broker_url(request), rate_limit_create="") as stack:
        stack.worker.stop()
        yield stack
    databases.drop(url)


@pytest.fixture
def worker(stack) -> Iterator[Worker]:
    """One process that runs five hundred at once."""
    worker = Worker(stack.environment, "--pool", "threads", "--loglevel", "WARNING", concurrency=CONCURRENCY)
    yield worker
    worker.end()


def submit(stack: Stack, number: int, seconds: float) -> None:
    """Submit so many coroutines that wait for so long."""
    for _ in range(number // BATCH):
        one = {"type": "coroutine", "payload": {"seconds": seconds}, "labels": {"wait": str(seconds)}}
        answer = stack.post("/tasks/batch", {"tasks": [one] * BATCH})
        assert answer.status_code == 200, answer.text


class Usage:
    """The largest memory (RSS, bytes) and the time of processors (seconds) that a process took within the block."""

    def __init__(self, pid: int) -> None:
        self.bytes = 0
        self.seconds = 0.0
        self._process = psutil.Process(pid)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        while not self._over.wait(0.1):
            self.bytes = max(self.bytes, self._process.memory_info().rss)
            self.seconds = sum(self._process.cpu_times()[:2])

    def __enter__(self) -> "Usage":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def statuses(stack: Stack, seconds: float) -> dict[str, int]:
    rows = stack.rows(
        "SELECT status, count(*) AS n FROM tasks WHERE labels ->> 'wait' = %(wait)s GROUP BY status",
        {"wait": str(seconds)},
    )
    return {row["status"]: row["n"] for row in rows}


def test_one_process_ends_five_thousand_that_wait_two_seconds_each_in_time_and_memory(stack, worker, capsys):
    submit(stack, TASKS, WAIT_SECONDS)
    worker.start()
    with Usage(worker.pid) as used:
        wait_for(lambda: statuses(stack, WAIT_SECONDS) == {"COMPLETED": TASKS}, timeout=200, what="all are done")

    [row] = stack.rows(
        "SELECT extract(epoch FROM max(finished_at) - min(started_at))::float AS seconds, max(attempt) AS attempts "
        "FROM tasks WHERE labels ->> 'wait' = %(wait)s",
        {"wait": str(WAIT_SECONDS)},
    )
    with capsys.disabled():
        print(
            f"\n{TASKS} tasks in {row['seconds']:.1f} s, {used.seconds:.1f} s of processor time, "
            f"at most {used.bytes / 1024**2:.0f} MB"
        )
    assert row["attempts"] == 1
    assert row["seconds"] < MAX_SECONDS
    assert used.bytes < MAX_BYTES


def test_while_all_wait_neither_statements_nor_connections_grow_with_their_number(stack, worker):
    seconds = 15.0
    worker.start().wait_until_ready()
    submit(stack, CONCURRENCY, seconds)
    wait_for(lambda: statuses(stack, seconds) == {"PROCESSING": CONCURRENCY}, timeout=60, what="all of them wait")

    before = transactions(stack)
    time.sleep(4)
    each_second = (transactions(stack) - before) / 4
    connections = [
        each
        for each in psutil.Process(worker.pid).net_connections()
        if each.raddr and each.raddr.port == stack_port(stack)
    ]

    assert each_second < MAX_STATEMENTS_EACH_SECOND
    assert 0 < len(connections) <= MAX_CONNECTIONS
    wait_for(lambda: statuses(stack, seconds) == {"COMPLETED": CONCURRENCY}, timeout=60, what="all are done")


def transactions(stack: Stack) -> int:
    [row] = stack.rows(
        "SELECT xact_commit + xact_rollback AS n FROM pg_stat_database WHERE datname = current_database()"
    )
    return row["n"]


def stack_port(stack: Stack) -> int:
    return int(stack.rows("SELECT inet_server_port() AS port")[0]["port"])
