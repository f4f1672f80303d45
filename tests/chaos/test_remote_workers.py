"""Remote workers in two languages that are killed: one outcome each, and what comes late changes nothing."""

import os
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import requests

from tests.chaos.evidence import assert_histories_hold, assert_one_outcome_each
from tests.conftest import unavailable
from tests.support.servers.databases import ROOT
from tests.support.servers.processes import Process
from tests.support.servers.stack import Stack
from tests.support.servers.waiting import wait_for

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]

TYPE = "remote_chaos"
TASKS, BATCH = 5_000, 500
SCHEMA = {"type": "object", "required": ["number"], "properties": {"number": {"type": "integer"}}}


class Program(Process):
    """A worker in some language."""

    def __init__(self, command: list[str], stack: Stack, name: str, key: str) -> None:
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}:{ROOT / 'sdk' / 'python'}"}
        environment |= {"TASKLEDGER_URL": stack.api.url, "TASKLEDGER_API_KEY": key}
        super().__init__(command, name=name, environment=environment, directory=ROOT)

    def is_ready(self) -> bool:
        return True  # its tasks show it


@pytest.fixture(scope="module")
def javascript(tmp_path_factory) -> Path:
    """The TypeScript client, built."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            unavailable(f"{program} is not installed here (Node.js 20 or newer)")
    folder = tmp_path_factory.mktemp("typescript") / "package"
    source = ROOT / "sdk" / "typescript"
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("node_modules", "dist"))
    for command in (["npm", "ci", "--no-audit", "--no-fund"], ["npm", "run", "build"]):
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=300)
    return folder / "dist" / "src" / "index.js"


@pytest.fixture
def programs(javascript) -> Iterator[Callable[[Stack, str], list[Program]]]:
    """Starts four workers, two in each language."""
    started: list[Program] = []

    def start(stack: Stack, key: str) -> list[Program]:
        for number in range(4):
            started.append(program(stack, key, number, javascript))
        return started

    yield start
    for each in started:
        each.end()


def program(stack: Stack, key: str, number: int, javascript: Path) -> Program:
    name = f"{'python' if number % 2 else 'node'}-{number}-{uuid4().hex[:6]}"
    script = str(ROOT / "tests" / "support" / "remote_worker.mjs")
    command = [sys.executable, "-m", "tests.support.remote_worker", TYPE, name]
    made = Program(command if number % 2 else ["node", script, str(javascript), TYPE, name], stack, name, key)
    made.start()
    return made


def declare(stack: Stack) -> str:
    """The type, and a key for its workers."""
    said = {"name": TYPE, "schema": SCHEMA, "retry": {"base_seconds": 0.1, "max_retries": 20}, "lease_seconds": 6}
    assert stack.post("/task-types", said).status_code == 201
    key = stack.post("/api-keys", {"name": "worker", "scopes": ["work"], "allowed_types": [TYPE]})
    return str(key.json()["key"])


def submit(stack: Stack, count: int) -> list[str]:
    ids: list[str] = []
    for start in range(0, count, BATCH):
        numbers = range(start, min(start + BATCH, count))
        tasks = [{"type": TYPE, "payload": {"number": number, "seconds": 0.002}} for number in numbers]
        ids += [each["task"]["id"] for each in stack.post("/tasks/batch", {"tasks": tasks}).json()["results"]]
    return ids


def test_workers_of_two_languages_are_killed_and_each_task_has_one_outcome(make_stack, programs, javascript, ledger):
    stack = make_stack(lease_seconds="6")
    key = declare(stack)
    ids = submit(stack, TASKS)
    workers = programs(stack, key)
    began, kills, dice = time.monotonic(), 0, random.Random(28)

    def is_done() -> bool:
        nonlocal kills
        done = stack.statuses(ids).get("COMPLETED", 0)
        if done < TASKS * 0.9 and kills < 12 and time.monotonic() - began > 2 * (kills + 1):
            place = dice.randrange(len(workers))
            workers[place].kill()
            workers[place].end()
            workers[place] = program(stack, key, place, javascript)
            kills += 1
        return done == TASKS

    wait_for(is_done, timeout=600, what="all tasks are completed")
    ledger.note(f"{TASKS} tasks by 4 remote workers in {time.monotonic() - began:.0f} s, {kills} times kill -9")

    results = stack.rows("SELECT result FROM tasks WHERE id = ANY(%(ids)s::uuid[])", {"ids": ids})
    languages = Counter(row["result"]["worker"].partition("-")[0] for row in results)
    assert sorted(row["result"]["number"] for row in results) == list(range(TASKS))
    assert set(languages) == {"python", "node"}
    assert kills >= 3
    assert_one_outcome_each(stack, ids)
    assert_histories_hold(stack)


def test_an_outcome_that_comes_after_the_rescue_is_refused_and_changes_nothing(make_stack, ledger):
    stack = make_stack(lease_seconds="6")
    key = declare(stack)
    [task_id] = submit(stack, 1)
    headers = {"Authorization": f"Bearer {key}"}

    def work(path: str, **body: object) -> requests.Response:
        return requests.post(f"{stack.api.url}/api/v1/work/{path}", json=body, headers=headers, timeout=40)

    [slow] = work("claim", types=[TYPE], worker="slow", wait=20).json()["items"]
    with ledger.timed("until the task of a worker that fell silent is another's"):
        second = wait_for(lambda: work("claim", types=[TYPE], worker="second", wait=5).json()["items"], timeout=60)
    first_word = work(f"{task_id}/complete", lease=second[0]["lease"], result="second")

    late = work(f"{task_id}/complete", lease=slow["lease"], result="slow")

    assert first_word.status_code == 200
    assert (late.status_code, late.json()["code"]) == (409, "lease_lost")
    assert stack.task(task_id)["result"] == "second"
    assert_one_outcome_each(stack, [task_id])
