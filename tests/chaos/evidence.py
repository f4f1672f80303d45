"""What the tables say after a scenario: are histories paths, outcomes recorded once, the report clean?"""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Collection
from typing import Any

from app.services.lifecycle.transitions import TRANSITIONS
from tests.chaos.ledger import Ledger
from tests.support.servers.databases import ROOT
from tests.support.servers.stack import Stack
from tests.support.servers.waiting import wait_for

ARROWS = {(source.value, arrow.target.value) for arrow in TRANSITIONS.values() for source in arrow.sources}
ENDINGS = "('COMPLETED', 'FAILED', 'CANCELLED')"

# A task whose events do not follow on one another, or that were not made by an arrow of the table of transitions.
STEPS = """
SELECT status, previous_status, count(*) AS n,
       count(*) FILTER (WHERE previous_status IS DISTINCT FROM before) AS broken
FROM (SELECT *, lag(status) OVER (PARTITION BY task_id ORDER BY id) AS before FROM task_events) AS steps
GROUP BY status, previous_status
"""
ENDED_TWICE = f"""
SELECT task_id, count(*) AS n FROM task_events WHERE status IN {ENDINGS} GROUP BY task_id HAVING count(*) > 1
"""


def assert_histories_hold(stack: Stack) -> None:
    """Each event begins where the one before it ended, along an arrow of the table."""
    for step in stack.rows(STEPS):
        assert step["broken"] == 0, f"histories with a gap before {step}"
        if step["previous_status"] is not None:
            assert (step["previous_status"], step["status"]) in ARROWS, f"no such arrow: {step}"


def assert_one_outcome_each(stack: Stack, ids: Collection[str]) -> None:
    """Every one of these tasks ended once, and no other exists that ended twice."""
    ended = stack.rows(
        f"SELECT count(DISTINCT task_id) AS tasks, count(*) AS endings FROM task_events "
        f"WHERE status IN {ENDINGS} AND task_id = ANY(%(ids)s::uuid[])",
        {"ids": list(ids)},
    )
    assert ended == [{"tasks": len(ids), "endings": len(ids)}]
    assert stack.rows(ENDED_TWICE) == []


def assert_report_clean(stack: Stack, ledger: Ledger) -> dict[str, Any]:
    """The integrity report says so, over HTTP and on the command line; returns it."""
    answer = stack.get("/integrity")
    assert answer.status_code == 200, answer.text
    report = dict(answer.json())
    ledger.note(f"integrity: {report['tasks_by_status']}, counters {report['counters']}")
    assert report["clean"], report["findings"]
    command = [
        sys.executable,
        "-m",
        "tests.support.servers.with_test_types",
        "flask",
        "--app",
        "app",
        "integrity",
        "--json",
    ]
    done = subprocess.run(command, cwd=ROOT, env=stack.environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    assert json.loads(done.stdout)["clean"] is True
    return report


def attempts(stack: Stack, ids: Collection[str]) -> Counter[int]:
    """How many tasks needed how many attempts."""
    rows = stack.rows(
        "SELECT attempt, count(*) AS n FROM tasks WHERE id = ANY(%(ids)s::uuid[]) GROUP BY attempt", {"ids": list(ids)}
    )
    return Counter({row["attempt"]: row["n"] for row in rows})


def counter(stack: Stack, name: str) -> int:
    """One of the ledger's counters; processes write theirs within a second."""
    rows = stack.rows("SELECT value FROM counters WHERE name = %(name)s", {"name": name})
    return rows[0]["value"] if rows else 0


def wait_for_status(stack: Stack, task_id: str, status: str, *, timeout: float = 10.0) -> dict[str, Any]:
    """The task's row once it has this status."""

    def row() -> dict[str, Any] | None:
        [row] = stack.rows("SELECT * FROM tasks WHERE id = %(id)s", {"id": task_id})
        return row if row["status"] == status else None

    return wait_for(row, timeout=timeout, what=f"{task_id} is {status}")


def wait_until_running(stack: Stack, task_id: str, *, timeout: float = 10.0) -> dict[str, Any]:
    """The row once a worker runs it: leased_by and leased_pid tell where."""
    return wait_for_status(stack, task_id, "PROCESSING", timeout=timeout)
