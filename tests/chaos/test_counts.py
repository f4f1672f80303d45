"""Counts after a storm: /stats, /metrics and the tables say the same, whatever was killed meanwhile."""

import random
import time

import pytest

from tests.chaos.faults import Restarter
from tests.support.servers.processes import kill_all
from tests.support.servers.waiting import wait_for

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(240)]

SEED = 20_261_122
TASKS = 300
BROKEN = {"method": "GET", "url": "http://127.0.0.1:9/"}
NOW = """
SELECT count(*) FILTER (WHERE status = 'COMPLETED') AS done, count(*) FILTER (WHERE status = 'FAILED') AS failed,
       count(*) FILTER (WHERE status = 'CANCELLED') AS cancelled,
       count(*) FILTER (WHERE status IN ('PENDING', 'RETRYING')) AS waiting, count(*) AS submitted FROM tasks
"""


def test_stats_metrics_and_sql_agree_after_workers_and_dispatchers_were_killed(make_stack, ledger):
    chance = random.Random(SEED)
    stack = make_stack(lease_seconds="6", shutdown_grace_seconds="2")
    ids = []
    with Restarter([stack.worker, stack.dispatcher], ledger) as restarter:
        for number in range(TASKS):
            ids.append(_submit(stack, number))
            if number % 60 == 30:
                victim = chance.choice([stack.worker, stack.dispatcher])
                ledger.note(f"killed the {victim.name}")
                _kill_with_children(victim)
        later = [stack.submit("reverse_string", "x", scheduled_at="2099-01-01T00:00:00Z") for _ in range(5)]
        for id_ in later[:3]:
            assert stack.post(f"/tasks/{id_}/cancel", None).ok
        wait_for(lambda: _finished(stack, ids), timeout=120, what="all tasks have ended")
        restarter.wait_until_all_are_ready()
        replayed = stack.post("/dead-letters/replay", {"dry_run": True}).json()
        assert replayed["count"] > 0
        stack.post("/dead-letters/replay", {"token": replayed["token"]})
        wait_for(lambda: _finished(stack, ids), timeout=60, what="what was replayed has ended")
        [sql] = stack.rows(NOW)
        ledger.note(f"SQL: {dict(sql)}, restarts: {restarter.restarts}")

        stats = stack.get("/stats").json()
        told = {
            "done": stats["jobs_done"], "failed": stats["jobs_failed"], "cancelled": stats["cancelled"],
            "submitted": stats["submitted"],
        }  # fmt: skip
        ledger.note(f"/stats: {told}")
        assert told == {name: sql[name] for name in told}
        by_type = {each["type"]: each["submitted"] for each in stats["by_type"]}
        rows = stack.rows("SELECT type, count(*) AS n FROM tasks GROUP BY type")
        assert by_type == {row["type"]: row["n"] for row in rows}

        failures = stack.rows("SELECT count(*) AS n FROM task_events WHERE status = 'FAILED'")[0]["n"]
        expected = {name: sql[name] for name in ("submitted", "done", "cancelled")} | {"failures": failures}
        wait_for(lambda: _counted(stack, ledger) == expected, timeout=60, what=f"/metrics says {expected}")


def _submit(stack, number: int) -> str:
    if number % 15 == 0:
        return stack.submit("http_request", BROKEN, max_retries=0)
    return stack.submit("reverse_string", f"n{number}")


def _kill_with_children(process) -> None:
    import psutil

    parent = psutil.Process(process.pid)
    kill_all([*parent.children(recursive=True), parent])
    time.sleep(0.5)


def _finished(stack, ids: list[str]) -> bool:
    return sum(stack.statuses(ids).get(status, 0) for status in ("COMPLETED", "FAILED")) == len(ids)


def _counted(stack, ledger) -> dict[str, float]:
    """What /metrics says; each failure counts there, the replayed ones too."""
    text = stack.http.get(f"{stack.api.url}/metrics", timeout=10).text
    lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]

    def total(name: str, label: str = "") -> float:
        return sum(float(value) for key, _, value in lines if key.startswith(f"{name}{{") and label in key)

    found = {
        "submitted": total("taskledger_tasks_submitted_total"),
        "done": total("taskledger_tasks_finished_total", 'status="COMPLETED"'),
        "cancelled": total("taskledger_tasks_finished_total", 'status="CANCELLED"'),
        "failures": total("taskledger_tasks_finished_total", 'status="FAILED"'),
    }
    ledger.note(f"/metrics: {found}")
    time.sleep(0.5)
    return found
