"""The Python client when many submit at once, and when the API or the client itself is killed meanwhile."""

import asyncio
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psutil
import pytest

from taskledger_sdk import AsyncClient, Client
from taskledger_sdk.client import new_id
from tests.support.servers.processes import kill_all
from tests.support.servers.stack import Stack

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(300),
]  # three programs start, and are awaited as long as a busy machine needs

LATER = timedelta(hours=1)
PATIENT = 180.0  # seconds: on a busy machine an API takes long until it answers again
BY_LABEL = "SELECT count(*) AS n, count(DISTINCT id) AS ids, count(DISTINCT payload::text) AS payloads FROM tasks \
WHERE labels @> jsonb_build_object('test', %(label)s::text)"
IDS_BY_LABEL = "SELECT id FROM tasks WHERE labels @> jsonb_build_object('test', %(label)s::text)"


def key_of(stack: Stack) -> str:
    return str(stack.http.headers["Authorization"]).removeprefix("Bearer ")


def test_threads_that_submit_one_at_a_time_each_get_their_own_answer(stack):
    label, client = str(uuid4()), Client(stack.api.url, key_of(stack))

    def submit(number: int) -> tuple[int, Any, bool]:
        moment = datetime.now(UTC) + LATER
        task = client.submit("reverse_string", str(number), labels={"test": label}, scheduled_at=moment)
        return number, task.payload, task.is_new

    with client, ThreadPoolExecutor(32) as pool:
        told = list(pool.map(submit, range(640)))

    assert told == [(number, str(number), True) for number in range(640)]
    assert stack.rows(BY_LABEL, {"label": label}) == [{"n": 640, "ids": 640, "payloads": 640}]


def kill_and_start(stack: Stack) -> None:
    """kill -9 of the API with the processes that answer; it comes up while the clients try again."""
    process = psutil.Process(stack.api.pid)
    kill_all([process, *process.children(recursive=True)])
    stack.api.wait()
    stack.api.start()


def test_a_killed_api_loses_nothing_and_doubles_nothing(stack):
    label, kills = str(uuid4()), 0
    client = Client(stack.api.url, key_of(stack), retry_seconds=PATIENT)
    acknowledged: dict[int, Any] = {}
    moment = datetime.now(UTC) + LATER

    def submit(number: int) -> None:
        task = client.submit("reverse_string", str(number), labels={"test": label}, scheduled_at=moment)
        acknowledged[number] = task.id

    with client, ThreadPoolExecutor(32) as pool:
        futures = [pool.submit(submit, number) for number in range(2_000)]
        for share in (200, 700, 1_200):
            while len(acknowledged) < share:
                assert not any(future.done() and future.exception() for future in futures)
                time.sleep(0.001)
            assert not all(future.done() for future in futures)
            kill_and_start(stack)
            kills += 1
        for future in futures:
            future.result()

    assert kills == 3
    assert len(acknowledged) == len(set(acknowledged.values())) == 2_000
    assert stack.rows(BY_LABEL, {"label": label}) == [{"n": 2_000, "ids": 2_000, "payloads": 2_000}]
    assert {str(row["id"]) for row in stack.rows(IDS_BY_LABEL, {"label": label})} == {
        str(id_) for id_ in acknowledged.values()
    }


def test_coroutines_survive_a_killed_api_too(stack):
    label = str(uuid4())
    moment = datetime.now(UTC) + LATER
    acknowledged: list[Any] = []

    async def main() -> None:
        async with AsyncClient(stack.api.url, key_of(stack), retry_seconds=PATIENT) as client:

            async def submit(number: int) -> None:
                task = await client.submit("reverse_string", str(number), labels={"test": label}, scheduled_at=moment)
                acknowledged.append(task.id)
                if len(acknowledged) == 1:  # the others are on their way, or wait for it
                    kill_and_start(stack)

            await asyncio.gather(*(submit(number) for number in range(1_000)))

    asyncio.run(main())

    assert len(set(acknowledged)) == 1_000
    assert stack.rows(BY_LABEL, {"label": label}) == [{"n": 1_000, "ids": 1_000, "payloads": 1_000}]


SUBMITTER = """
import os, sys, uuid
from concurrent.futures import ThreadPoolExecutor
from taskledger_sdk import Client

label, first = sys.argv[1], uuid.UUID(sys.argv[3])

def submit(number):
    id_ = uuid.UUID(int=first.int + number)  # as it would be in a row of the program's own
    task = client.submit("reverse_string", str(number), id=id_, labels={"test": label}, scheduled_at=sys.argv[2])
    os.write(1, f"{number} {task.id}\\n".encode())  # whole lines, whoever else writes

with Client() as client, ThreadPoolExecutor(32) as pool:
    list(pool.map(submit, range(2_000)))
"""


def test_a_killed_client_that_begins_again_doubles_nothing(stack):
    label, moment, first = str(uuid4()), (datetime.now(UTC) + LATER).isoformat(), new_id()
    environment = {**os.environ, "TASKLEDGER_URL": stack.api.url, "TASKLEDGER_API_KEY": key_of(stack)}
    command = [sys.executable, "-c", SUBMITTER, label, moment, str(first)]
    told: list[set[str]] = []
    for is_last in (False, False, True):
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as program:
            lines = [program.stdout.readline().strip() for _ in range(300)]
            if not is_last:
                program.kill()
            lines += program.stdout.read().splitlines()
        assert (program.returncode == 0) is is_last
        told.append({line for line in lines if line.count("-") == 4 and len(line.split()[-1]) == len(label)})

    assert len(told[-1]) == 2_000
    assert told[0] | told[1] <= told[-1]  # what it was told before it was killed is what it is told again
    assert stack.rows(BY_LABEL, {"label": label}) == [{"n": 2_000, "ids": 2_000, "payloads": 2_000}]
    ids = {str(row["id"]) for row in stack.rows(IDS_BY_LABEL, {"label": label})}
    assert ids == {str(UUID(int=first.int + number)) for number in range(2_000)}
