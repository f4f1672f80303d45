"""Adopted Celery applications: the same code under Celery's own worker and under ours, row by row.

Both run all rows once, at the same time, for one module; each test looks at one row of both.
"""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.conftest import empty_broker_url
from tests.support.adoption.programs import AppWorker, adopted_environment, environment_of
from tests.support.adoption.rows import ROWS
from tests.support.servers.databases import ROOT
from tests.support.servers.stack import Stack

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]

RUN_SECONDS = 240


@dataclass(frozen=True, kw_only=True)
class Side:
    """What one worker did with all rows."""

    found: dict[str, Any]
    records: list[dict[str, Any]]

    def seen(self, task: str) -> list[tuple[str, Any]]:
        """What was seen of the tasks of this name, without ids, in the order of each task."""
        ids = [each["id"] for each in self.records if each["what"] == "signal prerun" and each["sender"] == task]
        kept = []
        for id_ in dict.fromkeys(ids):
            kept += [
                (each["what"], {name: said for name, said in each.items() if name not in ("what", "id", "sender")})
                for each in json.loads(
                    json.dumps([each for each in self.records if each["id"] == id_]).replace(id_, "ID")
                )
            ]
        return kept


@pytest.fixture(scope="module")
def ledger_stack(databases, request) -> Iterator[Stack]:
    database_url = databases.create(f"adoption_{uuid4().hex[:8]}")
    with Stack(database_url=database_url, broker_url=empty_broker_url(request)) as stack:
        yield stack
    databases.drop(database_url)


@pytest.fixture(scope="module")
def sides(ledger_stack, request, tmp_path_factory) -> tuple[Side, Side]:
    """Celery's side, and ours."""
    celery, ours = tmp_path_factory.mktemp("celery"), tmp_path_factory.mktemp("ours")
    (celery / "results").mkdir()
    plain = environment_of(
        celery,
        ADOPTION_BROKER=empty_broker_url(request),
        ADOPTION_RESULTS=f"file://{celery / 'results'}",
        ADOPTION_RECORD=str(celery / "record"),
    )
    adopted = adopted_environment(ours, ledger_stack)
    with (
        AppWorker("worker", plain, "-Q", "adoption,other", "--without-mingle", concurrency=4),
        AppWorker("ledger", adopted, concurrency=4),
    ):
        drivers = [driver(plain, celery), driver(adopted, ours)]
        for each in drivers:
            assert each.wait(RUN_SECONDS) == 0
    return side(celery), side(ours)


def driver(environment: dict[str, str], directory: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "tests.support.adoption.rows", str(directory / "output")]
    return subprocess.Popen(command, env=environment, cwd=ROOT)


def side(directory: Path) -> Side:
    output = [json.loads(line) for line in (directory / "output").read_text().splitlines()]
    records = [json.loads(line) for line in (directory / "record").read_text().splitlines()]
    return Side(found={each["row"]: each["found"] for each in output}, records=records)


DIFFERENT = {
    # Celery keeps no word of a task that was ignored: its caller waits for ever.
    "ignored": ([True, "PENDING"], [True, "SUCCESS"]),
}
"""Rows that differ, with both: docs/reference/celery-worker.md says why."""


@pytest.mark.parametrize("row", sorted(set(ROWS) - set(DIFFERENT)))
def test_the_same_came_of_it(row, sides):
    theirs, ours = (side.found[row] for side in sides)

    assert "raised" not in (theirs if isinstance(theirs, dict) else {}), theirs
    assert ours == theirs


@pytest.mark.parametrize("row", sorted(DIFFERENT))
def test_what_differs_does_so_as_the_page_says(row, sides):
    assert tuple(side.found[row] for side in sides) == DIFFERENT[row]


WATCHED = (
    "adoption.add",
    "adoption.auto",
    "adoption.retrying",
    "adoption.gives_up",
    "adoption.endless",
    "adoption.by_override",
    "adoption.changes_arguments",
    "adoption.throws",
    "adoption.fails",
    "adoption.watched",
    "adoption.soft_limit",
    "adoption.hard_limit",
    "adoption.ignored",
    "adoption.rejected",
    "adoption.ignores_result",
    "adoption.mail",
    "adoption.late",
    "adoption.errback",
    "adoption.raises_odd",
    "adoption.with_model",
)


@pytest.mark.parametrize("task", WATCHED)
def test_attempts_hooks_and_signals_were_the_same(task, sides):
    theirs, ours = (counted(side.seen(task)) for side in sides)

    if task == "adoption.hard_limit":  # Celery 5.7 sends it twice: where the limit is seen, and where the child ends
        theirs = Counter(dict.fromkeys(theirs, 1))
    assert ours == theirs


def counted(seen: list[tuple[str, Any]]) -> Counter[str]:
    return Counter(f"{what} {json.dumps(said, sort_keys=True, default=repr)}" for what, said in seen)


def test_a_task_whose_child_is_killed_runs_again_and_says_so(ledger_stack, sides, tmp_path):
    environment = adopted_environment(tmp_path, ledger_stack)
    with AppWorker("ledger", environment, "-n", "killed@%h"):
        script = "from tests.support.adoption.tasks import dies; print(dies.delay().get(timeout=60))"
        shown = subprocess.run(
            [sys.executable, "-c", script], env=environment, cwd=ROOT, capture_output=True, timeout=90
        )

    assert shown.stdout.decode().strip() == "survived", shown.stderr.decode()[-2000:]
    runs = [json.loads(line) for line in (tmp_path / "record").read_text().splitlines()]
    assert [each["redelivered"] for each in runs if each["what"] == "run"] == [False, True]


def test_a_task_that_wants_it_is_failed_when_its_child_is_killed(ledger_stack, sides, tmp_path):
    environment = adopted_environment(tmp_path, ledger_stack)
    script = (
        "from tests.support.adoption.tasks import dies_for_good as t; r = t.delay();"
        "print(type(r.get(timeout=60, propagate=False)).__name__, r.state)"
    )
    with AppWorker("ledger", environment):
        shown = subprocess.run(
            [sys.executable, "-c", script], env=environment, cwd=ROOT, capture_output=True, timeout=90
        )

    assert shown.stdout.decode().split() == ["WorkerLostError", "FAILURE"], shown.stderr.decode()[-2000:]
