"""A hundred thousand tasks of an old version, upgraded in the middle of them: each ends once."""

import subprocess
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from uuid import uuid4

import pytest
import requests

from tests.conftest import empty_broker_url, unavailable
from tests.support.servers.databases import ROOT
from tests.support.servers.processes import Process
from tests.support.servers.programs import Api, Dispatcher, Worker, by_celery
from tests.support.servers.stack import Stack
from tests.support.servers.waiting import wait_for

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

OLD = "11d56aaab9e52435b97a74044c1c677009dfb5e2"
TASKS, BATCH, CLIENTS = 100_000, 200, 4
HALF = TASKS // BATCH // 2
ENDED = "SELECT count(*) AS n FROM tasks WHERE finished_at IS NOT NULL"


@pytest.fixture(scope="module")
def old_version(tmp_path_factory):
    done = subprocess.run(["git", "archive", OLD], cwd=ROOT, capture_output=True, timeout=60)
    if done.returncode != 0:
        unavailable(f"commit {OLD[:7]}: the history of this clone does not reach back to it")
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(fileobj=BytesIO(done.stdout)) as files:
        files.extractall(folder, filter="data")
    return folder


def of_old_version(process: Process, folder) -> None:
    """Let a program run there; test types lie elsewhere in that version, and are not needed."""
    process.directory = folder
    command = by_celery(process.command)
    process.command = [part for part in command if part != "tests.support.servers.with_test_types"]


@pytest.fixture
def old(databases, request, old_version):
    """That version, all of it, on tables that it made itself."""
    database_url = databases.create_empty(f"many_{uuid4().hex[:8]}")
    stack = Stack(database_url=database_url, broker_url=empty_broker_url(request))
    for process in (stack.api, stack.worker, stack.dispatcher):
        of_old_version(process, old_version)
    set_up(stack, old_version)
    with stack:
        yield stack
    databases.drop(database_url)


def set_up(stack: Stack, folder) -> None:
    """`flask --app app setup`, of either version. Raises AssertionError with what it said."""
    command = [sys.executable, "-m", "flask", "--app", "app", "setup"]
    done = subprocess.run(command, cwd=folder, env=stack.environment, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr


def end(process: Process) -> None:
    """As a deployment ends a program: what does not end in time is killed.

    A worker of that version may wait for ever in its shutdown, idle; today's ends itself after ten such seconds.
    """
    try:
        process.stop()
    except AssertionError:
        process.kill()


def submit(stack: Stack, number: int, addresses: list[str]) -> int:
    """One batch, with a key that makes it the same batch however often it is sent; how many were accepted."""
    tasks = [{"type": "reverse_string", "payload": f"{number}-{each}"} for each in range(BATCH)]
    headers = {**stack.http.headers, "Idempotency-Key": f"batch-{number}"}

    def accepted() -> int:
        for address in addresses:
            try:
                answer = requests.post(
                    f"{address}/api/v1/tasks/batch", json={"tasks": tasks}, headers=headers, timeout=30
                )
            except requests.RequestException:
                continue
            if answer.status_code == 200:
                return answer.json()["accepted"]
        return 0

    return wait_for(accepted, timeout=60, what=f"batch {number} is accepted")


def test_a_hundred_thousand_tasks_survive_an_upgrade_in_the_middle_of_them(old):
    new = (Worker(old.environment), Dispatcher(old.environment), Api(old.environment))
    worker, dispatcher, api = new
    addresses = [api.url, old.api.url]
    try:
        with ThreadPoolExecutor(CLIENTS) as clients:
            with old.without_worker():
                first = list(clients.map(lambda number: submit(old, number, addresses), range(HALF)))
            batches = [clients.submit(submit, old, number, addresses) for number in range(HALF, 2 * HALF)]
            wait_for(lambda: old.rows(ENDED)[0]["n"] > BATCH, timeout=60, what="the worker has begun")
            under_way = old.rows("SELECT count(*) AS n FROM tasks WHERE finished_at IS NULL")[0]["n"]
            set_up(old, ROOT)
            for fresh, gone in ((worker, old.worker), (dispatcher, old.dispatcher), (api, old.api)):
                fresh.start().wait_until_ready()
                end(gone)
            accepted = sum(first) + sum(batch.result() for batch in batches)
        wait_for(lambda: old.rows(ENDED)[0]["n"] == TASKS, timeout=180, what="all have ended")
        integrity = requests.get(f"{api.url}/api/v1/integrity", headers=old.http.headers, timeout=60).json()
    finally:
        for process in new:
            process.end()

    print(f"{under_way} tasks were waiting or running when the tables were changed")
    assert accepted == TASKS
    assert under_way > TASKS / 10
    assert old.rows("SELECT status, count(*) AS n FROM tasks GROUP BY status") == [{"status": "COMPLETED", "n": TASKS}]
    endings = "SELECT count(*) AS n, count(DISTINCT task_id) AS tasks FROM task_events WHERE status = 'COMPLETED'"
    assert old.rows(endings) == [{"n": TASKS, "tasks": TASKS}]
    assert integrity["clean"], integrity["findings"]
