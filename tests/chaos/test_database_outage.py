"""PostgreSQL stopped for a minute under load: nothing accepted is lost, and what ran runs on instead of twice."""

import threading
import time
from collections import Counter
from uuid import uuid4

import pytest
import requests

from tests.chaos.evidence import (
    assert_histories_hold,
    assert_one_outcome_each,
    assert_report_clean,
    attempts,
    wait_until_running,
)
from tests.support.servers.programs import Worker
from tests.support.servers.stack import Stack

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(240)]

OUTAGE_SECONDS = 60


def test_postgresql_stopped_for_a_minute_loses_nothing_and_doubles_nothing(make_stack, postgres, ledger, tmp_path):
    """With a lease of 20 s: every one of them runs out during the outage, and none may be taken for lost."""
    trace = tmp_path / "trace"
    stack = make_stack(lease_seconds="20", change=four_children)
    load = Load(stack, str(trace))
    load.run_for(5)
    through = stack.submit("trace_run", {"path": str(trace), "seconds": 30})  # begins before, ends within
    beyond = stack.submit("trace_run", {"path": str(trace), "seconds": OUTAGE_SECONDS + 10})  # ends after
    for task_id in (through, beyond):
        wait_until_running(stack, task_id, timeout=20)

    load.start()
    time.sleep(1)
    postgres.stop()
    ledger.note(f"PostgreSQL stopped, {len(load.accepted)} tasks accepted so far")
    time.sleep(OUTAGE_SECONDS)
    answers = Counter(load.refused)
    postgres.start().wait_until_ready()
    ledger.note(f"PostgreSQL is back after {OUTAGE_SECONDS} s; submissions meanwhile were answered {dict(answers)}")
    time.sleep(5)
    load.stop()
    stack.reconnect()
    ids = [*load.accepted, through, beyond]
    ledger.note(f"{len(ids)} tasks accepted in all")
    with ledger.timed("until all are COMPLETED"):
        stack.wait_until("COMPLETED", ids, timeout=90)

    needed = attempts(stack, ids)
    starts = Counter(line.split()[1] for line in trace.read_text().splitlines() if line.startswith("start"))
    doubled = {task_id: n for task_id, n in starts.items() if n > 1}
    ledger.note(f"attempts: {dict(needed)}; started more than once: {len(doubled)} of {len(starts)}")
    assert starts[through] == starts[beyond] == 1
    assert len(doubled) <= 4  # at most what four children were claiming in the moment in which it stopped
    assert sum(needed[n] for n in needed if n > 1) <= 4
    assert set(answers) <= {503}
    assert_one_outcome_each(stack, ids)
    assert_histories_hold(stack)
    assert_report_clean(stack, ledger)
    with ledger.timed("a submission afterwards, until COMPLETED"):
        stack.wait_until("COMPLETED", [stack.submit("reverse_string", "as before")], timeout=10)


def four_children(stack):
    stack.worker = Worker(stack.environment, concurrency=4)


class Load:
    """A client that goes on whatever is answered; a submission that failed is repeated with its Idempotency-Key."""

    def __init__(self, stack: Stack, trace: str) -> None:
        self._url, self._headers = f"{stack.api.url}/api/v1/tasks", dict(stack.http.headers)
        self._body = {"type": "trace_run", "payload": {"path": trace, "seconds": 0.05}}
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.accepted: list[str] = []
        self.refused: list[int] = []

    def run_for(self, seconds: float) -> None:
        self.start()
        time.sleep(seconds)
        self.stop()

    def start(self) -> None:
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, daemon=True)  # a test that failed must end
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        key = uuid4().hex
        with requests.Session() as http:
            while not self._stopping.wait(0.05):
                answer = http.post(
                    self._url, json=self._body, headers={**self._headers, "Idempotency-Key": key}, timeout=30
                )
                if answer.ok:
                    self.accepted.append(answer.json()["id"])
                    key = uuid4().hex
                else:
                    self.refused.append(answer.status_code)
