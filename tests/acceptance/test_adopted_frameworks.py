"""Django and Flask projects whose calls belong to their transactions, in an environment with packages of their own."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from taskledger_sdk.celery.payloads import payload_schema
from tests.acceptance.test_celery_versions import NEEDED, installed
from tests.conftest import empty_broker_url
from tests.support.adoption.programs import adopted_environment
from tests.support.servers.stack import Stack

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

PACKAGES = ["celery==5.5.3", "sqlalchemy==2.0.36", "django>=5.2,<6", "flask", "flask-sqlalchemy", "psycopg2-binary"]
SENT = {"at once", "committed", "in a savepoint", "outside"}
PROGRAM_SECONDS = 60


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> Path:
    return installed(tmp_path_factory.mktemp("frameworks") / "venv", PACKAGES)


@pytest.fixture(scope="module")
def stack(databases, request) -> Iterator[Stack]:
    """Its API takes calls of a task that no worker runs."""
    database_url = databases.create(f"frameworks_{uuid4().hex[:8]}")
    with Stack(database_url=database_url, broker_url=empty_broker_url(request)) as stack:
        answer = stack.post("/task-types", {"name": "shop.note", "schema": payload_schema()})
        assert answer.status_code == 201, answer.text
        yield stack
    databases.drop(database_url)


@pytest.fixture(params=["the ledger's database", "SQLite"])
def database(request, stack, tmp_path) -> str:
    """The project's own database, which may be the ledger's."""
    return stack.database_url if request.param != "SQLite" else f"sqlite:///{tmp_path}/shop.db"


def calls(stack: Stack, python: Path, directory: Path, program: str, *arguments: str) -> list[str]:
    """The labels of the calls that reached the ledger, each as often as it did."""
    stack.rows("DELETE FROM tasks WHERE type = 'shop.note' RETURNING id")
    environment = adopted_environment(directory, stack)
    command = [python, "-m", f"tests.support.adoption.{program}", *arguments]
    subprocess.run(command, env=environment, timeout=PROGRAM_SECONDS, check=True, stdout=sys.stderr)
    rows = stack.rows("SELECT payload #>> '{args,0}' AS label FROM tasks WHERE type = 'shop.note'")
    return sorted(row["label"] for row in rows)


@pytest.mark.parametrize("kind", ["plain task", "DjangoTask"])
def test_calls_of_django_belong_to_its_transactions(stack, python, database, tmp_path, kind):
    wanted = SENT | {"outside of what is rolled back"} | ({"on commit"} if kind == "DjangoTask" else set())

    found = calls(stack, python, tmp_path, "django_calls", database, *([kind] if kind == "DjangoTask" else []))

    assert found == sorted(wanted)


def test_calls_of_flask_belong_to_its_session(stack, python, database, tmp_path):
    assert calls(stack, python, tmp_path, "flask_calls", database) == sorted(SENT)


def test_what_is_needed_is_what_the_sdk_says():
    import tomllib

    from tests.support.servers.databases import ROOT

    project = tomllib.loads((ROOT / "sdk" / "python" / "pyproject.toml").read_text())["project"]

    assert sorted(NEEDED) == sorted(project["dependencies"])
