"""The README's example of a task type, copied into one file: every part knows it, with no other edit."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import requests

from tests.conftest import empty_broker_url
from tests.support.servers.databases import ROOT, Databases
from tests.support.servers.programs import Flower
from tests.support.servers.stack import Stack
from tests.support.servers.waiting import wait_for

README = ROOT / "README.md"


@pytest.fixture(scope="module")
def greeting(databases: Databases, request: pytest.FixtureRequest, tmp_path_factory) -> Iterator[Stack]:
    """An installation whose handlers are those of the repository and the README's example."""
    folder: Path = tmp_path_factory.mktemp("handlers")
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    [example] = [each for each in blocks if "@task_type" in each]
    (folder / "greet.py").write_text(example)
    url = databases.create(f"readme_{uuid4().hex[:8]}")
    with Stack(database_url=url, broker_url=empty_broker_url(request), more_handlers=str(folder)) as stack:
        yield stack
    databases.drop(url)


def test_the_api_lists_it_with_its_schema(greeting):
    listed = greeting.get("/task-types/greet").json()

    assert listed["payload"]["properties"]["language"]["enum"] == ["en", "de", "pl"]


def test_the_documentation_shows_it(greeting):
    document = requests.get(f"{greeting.api.url}/openapi.json", timeout=10).json()

    assert "GreetSubmission" in document["components"]["schemas"]


def test_a_bad_payload_is_refused_and_a_good_one_runs(greeting):
    refused = greeting.post("/tasks", {"type": "greet", "payload": {"name": "Ada", "language": "fr"}})
    task_id = greeting.submit("greet", {"name": "Ada", "language": "pl"})

    assert (refused.status_code, list(refused.json()["errors"]["payload"])) == (422, ["language"])
    assert greeting.task(task_id, wait=20)["result"] == {"greeting": "Cześć, Ada!"}


def test_the_worker_registers_it(greeting):
    command = [sys.executable, "-m", "celery", "-A", "tasks", "inspect", "registered", "--timeout", "30"]
    node = f"{greeting.worker.node}@{os.uname().nodename}"
    shown = subprocess.run(
        [*command, "--destination", node],
        cwd=ROOT,
        env=greeting.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert "greet" in shown.stdout, shown.stderr


def test_flower_shows_it(greeting):
    with Flower(greeting.environment) as flower:
        api = f"{flower.url}/api"
        wait_for(lambda: requests.get(f"{api}/workers", auth=flower.login, timeout=10).json(), timeout=30)
        task_id = greeting.submit("greet", {"name": "Ada"}, priority="high")
        greeting.wait_until("COMPLETED", [task_id])

        def seen() -> bool:
            shown = requests.get(f"{api}/task/info/{task_id}", auth=flower.login, timeout=10)
            return shown.ok and shown.json()["name"] == "greet"

        wait_for(seen, timeout=20)
