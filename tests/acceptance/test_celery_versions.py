"""Adopted applications on other versions of Celery and SQLAlchemy than the service has: the same came of each row."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.conftest import empty_broker_url, unavailable
from tests.support.adoption.programs import APP, adopted_environment
from tests.support.adoption.rows import ROWS
from tests.support.servers.databases import ROOT
from tests.support.servers.processes import Process
from tests.support.servers.stack import Stack

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

VERSIONS = {
    "celery 5.3": ["celery==5.3.6", "sqlalchemy==1.4.54"],
    "celery 5.5": ["celery==5.5.3", "sqlalchemy==2.0.36"],
}
NEEDED = ["marshmallow>=4.4,<5", "apispec>=6.10,<7", "email-validator>=2.3,<3", "click>=8.5,<9", "httpx2>=2.16,<3"]
INSTALL_SECONDS, RUN_SECONDS = 300, 240


@pytest.fixture(scope="module")
def stack(databases, request) -> Iterator[Stack]:
    database_url = databases.create(f"versions_{uuid4().hex[:8]}")
    with Stack(database_url=database_url, broker_url=empty_broker_url(request)) as stack:
        yield stack
    databases.drop(database_url)


def installed(folder: Path, packages: list[str]) -> Path:
    """The Python of an environment of its own."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True, timeout=INSTALL_SECONDS)
    python = folder / "bin" / "python"
    command = [python, "-m", "pip", "install", "--quiet", *packages, *NEEDED]
    done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    if done.returncode:
        unavailable(f"pip cannot install {', '.join(packages)}: {done.stderr[-300:]}")
    return python


class OtherWorker(Process):
    """`celery ledger` by another Python."""

    def __init__(self, python: Path, environment: dict[str, str]) -> None:
        words = [str(python), "-m", "celery", "-A", APP, "ledger", "--loglevel", "INFO", "--concurrency", "3"]
        super().__init__(words, name="celery-ledger-other", environment=environment, directory=ROOT)

    def is_ready(self) -> bool:
        return " task types, " in self.log_of_this_run


def rows(python: str | Path, environment: dict[str, str], output: Path) -> dict[str, Any]:
    """What came of the rows, by a producer of this Python."""
    command = [python, "-m", "tests.support.adoption.rows", output, *ROWS]
    subprocess.run(command, env=environment, cwd=ROOT, timeout=RUN_SECONDS, check=True)
    return {each["row"]: each["found"] for each in map(json.loads, output.read_text().splitlines())}


@pytest.mark.parametrize("packages", VERSIONS.values(), ids=VERSIONS)
def test_the_same_came_of_each_row(packages, stack, tmp_path):
    python = installed(tmp_path / "venv", packages)
    environment = adopted_environment(tmp_path, stack)

    with OtherWorker(python, environment):
        found = rows(python, environment, tmp_path / "output")

    raised = {name: said for name, said in found.items() if isinstance(said, dict) and "raised" in said}
    assert raised == {}
    assert {name: said for name, said in found.items() if EXPECTED.get(name, said) != said} == {}


SUCCESS = "SUCCESS"
EXPECTED: dict[str, Any] = {
    "plain_call": {"state": SUCCESS, "value": 5},
    "by_name": {"state": SUCCESS, "value": 5},
    "by_signature": {"state": SUCCESS, "value": 3},
    "immutable_signature": {"state": SUCCESS, "value": 10},
    "chained": {"state": SUCCESS, "value": "END"},
    "grouped": [1, 2, 3, 4],
    "chorded": SUCCESS,
    "chain_that_fails": "FAILURE",
    "chunked": [[0, 2], [4, 6]],
    "countdown": [{"state": SUCCESS, "value": 2}, True],
    "revoke_while_it_waits": "REVOKED",
    "unknown_id": "PENDING",
    "eager": 10,
    "children": True,
    "get_inside_a_task": "RuntimeError",
}
"""What callers wait for; the other rows must come to something, too."""
