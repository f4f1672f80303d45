"""Two releases of a package of task types side by side, and a check before one is deployed, with real processes."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg2
import pytest
import requests

from tests.conftest import empty_broker_url
from tests.support.people import make_admin
from tests.support.servers.databases import NO_BROKER, ROOT
from tests.support.servers.programs import Api, Worker, service_environment
from tests.support.servers.stack import Stack
from tests.support.servers.waiting import wait_for

pytestmark = [pytest.mark.long, pytest.mark.timeout(420)]

OLD = '''
from dataclasses import dataclass
from typing import Literal

from taskledger_sdk import TaskContext, task_type


@dataclass(frozen=True, kw_only=True)
class Resize:
    size: Literal["s", "m"]
    note: str = ""


@task_type("acme.resize")
def resize(task: TaskContext, payload: Resize) -> dict[str, object]:
    """Resize."""
    return {"release": "old", "width": {"s": 1, "m": 2}[payload.size]}
'''
NEW = '''
from dataclasses import dataclass
from typing import Any

from taskledger_sdk import TaskContext, task_type


@dataclass(frozen=True, kw_only=True)
class Resize:
    width: int


def from_sizes(payload: dict[str, Any]) -> dict[str, Any]:
    return {"width": {"s": 1, "m": 2}[payload["size"]]}


@task_type("acme.resize", upgrade={"HASH": from_sizes})
def resize(task: TaskContext, payload: Resize) -> dict[str, object]:
    """Resize."""
    return {"release": "new", "width": payload.width}
'''
LOAD_SECONDS, BATCH, PAUSE = 60.0, 5, 0.5
ENDED_BADLY = "SELECT id::text, status, error FROM tasks WHERE status IN ('FAILED', 'CANCELLED')"


def write_package(folder: Path, text: str) -> str:
    """A package of its own for a release; its folder, for Python's path."""
    package = folder / "acme_jobs"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "resize.py").write_text(text)
    return str(folder)


def python_path(folder: str) -> str:
    return os.pathsep.join([folder, str(ROOT / "sdk" / "python")])


def schema_hash(folder: str) -> str:
    program = "from taskledger_sdk import packages, testing; packages.use('acme_jobs'); "
    program += "print(testing.schema_hash('acme.resize'))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": python_path(folder)},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return done.stdout.strip()


@pytest.fixture
def releases(tmp_path) -> tuple[str, str]:
    """Folders with the package as the old and as the new release have it."""
    old = write_package(tmp_path / "old", OLD)
    return old, write_package(tmp_path / "new", NEW.replace("HASH", schema_hash(old)))


@pytest.fixture
def old_stack(databases, request, releases) -> Iterator[Stack]:
    """All processes of the old release."""
    database_url = databases.create(f"releases_{uuid4().hex[:8]}")
    settings = {"task_packages": "acme_jobs", "pythonpath": python_path(releases[0])}
    with Stack(database_url=database_url, broker_url=empty_broker_url(request), **settings) as stack:
        yield stack
    databases.drop(database_url)


def submit(stack: Stack, url: str, payloads: list[dict[str, object]]) -> list[str]:
    tasks = [{"type": "acme.resize", "payload": payload} for payload in payloads]
    answer = requests.post(f"{url}/api/v1/tasks/batch", json={"tasks": tasks}, headers=stack.http.headers, timeout=30)
    assert answer.status_code == 200, answer.text
    return [each["task"]["id"] for each in answer.json()["results"]]


def test_for_a_minute_under_load_no_task_fails_for_a_payload_that_has_changed(old_stack, releases):
    new = {**old_stack.environment, "PYTHONPATH": python_path(releases[1])}
    new_api, new_worker = Api(new), Worker(new)
    widths: dict[str, int] = {}
    try:
        new_api.start()
        new_worker.start()
        new_api.wait_until_ready()
        new_worker.wait_until_ready()
        end = time.monotonic() + LOAD_SECONDS
        while time.monotonic() < end:
            small = [{"size": "s"}] * (BATCH - 1) + [{"size": "m", "note": "as before"}]
            widths |= dict(zip(submit(old_stack, old_stack.api.url, small), [1, 1, 1, 1, 2], strict=True))
            wide = [{"width": number} for number in range(BATCH)]
            widths |= dict(zip(submit(old_stack, new_api.url, wide), range(BATCH), strict=True))
            time.sleep(PAUSE)
        held = old_stack.rows("SELECT count(*) AS n FROM tasks WHERE schema_refusals IS NOT NULL")[0]["n"]
        old_stack.worker.stop()
        unfinished = "SELECT count(*) AS n FROM tasks WHERE finished_at IS NULL"
        wait_for(lambda: old_stack.rows(unfinished)[0]["n"] == 0, timeout=120, what="all tasks have ended")
    finally:
        new_worker.end()
        new_api.end()

    assert old_stack.rows(ENDED_BADLY) == []
    rows = old_stack.rows("SELECT id::text, payload, attempt, result FROM tasks")
    assert {row["id"]: row["result"]["width"] for row in rows} == widths
    assert {row["attempt"] for row in rows} == {1}
    # All that this is about has happened: the old worker has left tasks with the ledger, the new one has upgraded some,
    # and neither took anything twice.
    assert held > 0
    by = {(row["result"]["release"], "size" in row["payload"]) for row in rows}
    assert by == {("old", True), ("new", True), ("new", False)}
    started = old_stack.rows("SELECT count(*) AS n FROM task_events WHERE status = 'PROCESSING'")[0]["n"]
    assert started == len(rows)


FINISHED, WAITING = 1_000_000, 100_000
FILL = (
    "SET session_replication_role = replica",
    f"""
INSERT INTO tasks (id, type, status, payload, priority, queue, max_retries, created_at, finished_at, attempt,
                   schema_hash)
SELECT taskledger.new_id(), 'acme.resize', 'COMPLETED', '{{"size": "s", "note": "done"}}', 'normal', 'tasks', 3,
       now() - interval '1 day', now(), 1, 'aaaaaaaaaaaa'
FROM generate_series(1, {FINISHED}) AS n
""",
    f"""
INSERT INTO tasks (id, type, status, payload, priority, queue, max_retries, created_at, due_at, dispatched_at,
                   schema_hash)
SELECT taskledger.new_id(), CASE WHEN n % 10 = 0 THEN 'acme.crop' ELSE 'acme.resize' END, 'PENDING',
       jsonb_build_object('size', (ARRAY['s', 'm', 'xl'])[1 + n % 3])
       || CASE WHEN n % 1000 = 1 THEN '{{"note": "please"}}'::jsonb ELSE '{{}}' END,
       'normal', 'tasks', 3, now(), now() + interval '1 hour', now(), 'aaaaaaaaaaaa'
FROM generate_series(1, {WAITING}) AS n
""",
    "ANALYZE tasks",
)
CHECKED = '''
from dataclasses import dataclass
from typing import Literal

from taskledger_sdk import TaskContext, task_type


@dataclass(frozen=True, kw_only=True)
class Resize:
    size: Literal["s", "m"]


@task_type("acme.resize")
def resize(task: TaskContext, payload: Resize) -> None:
    """Resize."""
'''


@pytest.fixture
def filled(databases) -> Iterator[tuple[Api, str]]:
    """A service with a million tasks that have finished and a hundred thousand that wait, and an admin's key."""
    database_url = databases.create(f"check_{uuid4().hex[:8]}")
    connection = psycopg2.connect(database_url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        for statement in FILL:
            cursor.execute(statement)
    connection.close()
    api = Api(service_environment(database_url=database_url, broker_url=NO_BROKER))
    key = make_admin(database_url).headers["Authorization"].removeprefix("Bearer ")
    try:
        api.start().wait_until_ready()
        yield api, key
    finally:
        api.end()
        databases.drop(database_url)


def test_what_a_release_would_break_is_found_within_ten_seconds_among_a_million_tasks(filled, tmp_path):
    api, key = filled
    folder = write_package(tmp_path, CHECKED)
    command = [sys.executable, "-m", "taskledger_sdk.cli", "deploy-check", "--tasks", "acme_jobs", "--json"]
    environment = {
        **os.environ, "PYTHONPATH": python_path(folder), "TASKLEDGER_URL": api.url, "TASKLEDGER_API_KEY": key,
    }  # fmt: skip

    began = time.monotonic()
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    seconds = time.monotonic() - began

    assert done.returncode == 1, done.stderr
    report = json.loads(done.stdout)
    found = {(each["type"], each["problem"]): each for each in report["findings"]}
    assert set(found) == {("acme.crop", "gone"), ("acme.resize", "refused")}  # renamed; narrowed, and a field dropped
    assert found["acme.crop", "gone"]["count"] == 10_000
    paths = {path["path"]: path["count"] for path in found["acme.resize", "refused"]["paths"]}
    assert paths == {"payload.size": 30_000, "payload": 100}
    assert report["checked"]["task"] == 90_000
    print(f"checked 90,000 payloads beside {FINISHED:,} finished tasks in {seconds:.1f} s")
    assert seconds < 10
