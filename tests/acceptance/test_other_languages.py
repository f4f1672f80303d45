"""The programs of docs/how-to/work-in-another-language.md: compiled, run, and stopped, against a real service."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.conftest import empty_broker_url, unavailable
from tests.support.servers.databases import ROOT
from tests.support.servers.processes import Process
from tests.support.servers.stack import Stack
from tests.unit.documents import blocks

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

PAGE = "work-in-another-language.md"
SCHEMA = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string"}}}


class Program(Process):
    """A worker of the page."""

    def is_ready(self) -> bool:
        return True  # its tasks show it


@pytest.fixture(scope="module")
def stack(databases, request) -> Iterator[Stack]:
    database_url = databases.create(f"languages_{uuid4().hex[:8]}")
    with Stack(database_url=database_url, broker_url=empty_broker_url(request)) as stack:
        assert stack.post("/task-types", {"name": "shout", "schema": SCHEMA}).status_code == 201
        yield stack
    databases.drop(database_url)


@pytest.fixture(scope="module")
def key(stack) -> str:
    made = stack.post("/api-keys", {"name": "shouters", "scopes": ["work"], "allowed_types": ["shout"]})
    assert made.status_code == 201
    return str(made.json()["key"])


def text_of(language: str) -> str:
    [block] = [each for each in blocks(language) if each.page.name == PAGE]
    return block.text


def shell(folder: Path) -> list[str]:
    script = folder / "worker.sh"
    script.write_text(text_of("bash"))
    needs("bash", "curl", "jq")
    return ["bash", str(script)]


def go(folder: Path) -> list[str]:
    needs("go")
    program = folder / "worker.go"
    program.write_text(text_of("go"))
    environment = {**os.environ, "GOCACHE": str(folder / "cache"), "GOFLAGS": "-mod=mod", "GO111MODULE": "off"}
    command = ["go", "build", "-o", str(folder / "worker"), str(program)]
    built = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert built.returncode == 0, built.stderr
    return [str(folder / "worker")]


def needs(*programs: str) -> None:
    missing = [each for each in programs if shutil.which(each) is None]
    if missing:
        unavailable(f"{', '.join(missing)} is not installed here")


@pytest.mark.parametrize("language", [go, shell], ids=["go", "bash"])
def test_the_program_of_the_page_works_off_tasks(language, stack, key, tmp_path):
    environment = {"PATH": os.environ["PATH"], "TASKLEDGER_URL": stack.api.url, "TASKLEDGER_API_KEY": key}
    command = language(tmp_path)
    with Program(command, name=language.__name__, environment=environment, directory=ROOT):
        ids = [stack.submit("shout", {"text": text}) for text in ("hello", "world")]
        stack.wait_until("COMPLETED", ids, timeout=120)

    assert [stack.task(each)["result"] for each in ids] == ["HELLO", "WORLD"]
