"""2,000 tasks submitted over HTTP while everything is killed in turn: each completes, and each is recorded once."""

import random
import threading
import time
from collections import Counter
from pathlib import Path
from uuid import uuid4

import pytest
import requests

from tests.chaos.evidence import assert_histories_hold, assert_one_outcome_each, assert_report_clean, attempts
from tests.chaos.faults import Faults, Restarter, in_random_order, strike
from tests.support.servers.programs import Worker
from tests.support.servers.stack import Stack

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]

SEED = 20_261_122
TASKS = 2_000
CLIENTS = 3
PAUSE_SECONDS = 1.5
SPARED, SPARING_SECONDS = 200, 1.0
"""So many are submitted with longer pauses, because a fault needs submissions however long those before it took."""


def test_2000_tasks_submitted_in_a_storm_of_faults_all_complete_once(make_stack, postgres, rabbitmq, ledger, tmp_path):
    chance = random.Random(SEED)
    trace = tmp_path / "trace"
    stack = make_stack(lease_seconds="6", shutdown_grace_seconds="2")
    clients = Clients(stack, str(trace))
    with Worker(stack.environment) as second:
        workers = [stack.worker, second]
        faults = Faults(stack, workers, postgres, rabbitmq, accepted=lambda: len(clients.accepted), chance=chance)
        with Restarter([*workers, stack.dispatcher, stack.api], ledger) as restarter:
            with clients:
                strike(faults, in_random_order(chance), ledger, pause_seconds=PAUSE_SECONDS)
                ledger.note(f"the storm is over: {len(clients.accepted)} tasks accepted during it")
            restarter.wait_until_all_are_ready()
            stack.reconnect()
            ledger.note(f"{TASKS} accepted; {clients.errors.total()} requests failed: {dict(clients.errors)}")
            ledger.note(f"{restarter.restarts} processes were started again")
            with ledger.timed("until all of them are COMPLETED"):
                _wait_until_completed(stack, clients.accepted, ledger)
            _check(stack, clients.accepted, trace, ledger)


def _check(stack, ids: list[str], trace: Path, ledger) -> None:
    needed = attempts(stack, ids)
    runs = Counter(line.split()[1] for line in trace.read_text().splitlines() if line.startswith("start"))
    ledger.note(f"attempts that the tasks needed: {dict(sorted(needed.items()))}")
    ledger.note(f"runs of the {len(runs)} traced ones: {dict(sorted(Counter(runs.values()).items()))}")
    assert len(set(ids)) == TASKS
    assert stack.rows("SELECT count(*) AS n FROM tasks") == [{"n": TASKS}]
    assert_one_outcome_each(stack, ids)
    assert_histories_hold(stack)
    report = assert_report_clean(stack, ledger)
    assert report["tasks_by_status"]["COMPLETED"] == TASKS


def _wait_until_completed(stack, ids: list[str], ledger) -> None:
    """With what is left in the ledger, should that not happen."""
    try:
        stack.wait_until("COMPLETED", ids, timeout=90)
    except AssertionError:
        left = "SELECT *, now() AS now FROM tasks WHERE status <> 'COMPLETED' ORDER BY due_at LIMIT 5"
        for row in stack.rows(left):
            ledger.note(f"left: {dict(row)}")
        for row in stack.rows("SELECT id, pid, last_seen_at, now() FROM workers ORDER BY last_seen_at DESC LIMIT 3"):
            ledger.note(f"worker: {dict(row)}")
        ledger.note(f"queue: {stack.broker.queue()}, duties: {stack.rows('SELECT * FROM duties')}")
        raise


class Clients:
    """They submit until there are enough, repeating what failed under the same Idempotency-Key."""

    def __init__(self, stack: Stack, trace: str) -> None:
        self._url, self._trace = f"{stack.api.url}/api/v1/tasks", trace
        self._stack = stack
        self._numbers = iter(range(TASKS))
        self._lock = threading.Lock()
        self._in_a_hurry = threading.Event()
        self._threads = [threading.Thread(target=self._run, name=f"client-{n}", daemon=True) for n in range(CLIENTS)]
        self.accepted: list[str] = []
        self.errors: Counter[str] = Counter()

    def __enter__(self) -> "Clients":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()

    def finish(self) -> None:
        """Submit the rest without pauses, and return when all is accepted."""
        self._in_a_hurry.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while (number := self._next()) is not None:
            task_id = self._submit(number)
            with self._lock:
                self.accepted.append(task_id)
            self._in_a_hurry.wait(0.05 if len(self.accepted) < TASKS - SPARED else SPARING_SECONDS)

    def _next(self) -> int | None:
        with self._lock:
            return next(self._numbers, None)

    def _submit(self, number: int) -> str:
        headers, body = {**self._stack.http.headers, "Idempotency-Key": uuid4().hex}, self._body(number)
        while True:
            try:
                answer = requests.post(self._url, json=body, headers=headers, timeout=15)
                if answer.ok:
                    return str(answer.json()["id"])
                self._count(str(answer.status_code))
            except requests.RequestException as error:
                self._count(type(error).__name__)
            time.sleep(0.3)

    def _count(self, error: str) -> None:
        with self._lock:
            self.errors[error] += 1

    def _body(self, number: int) -> dict[str, object]:
        """One in five travels alone and takes a while; the others may share a hint."""
        if number % 5 == 0:
            return {"type": "trace_run", "payload": {"path": self._trace, "seconds": (number % 7) / 10}}
        kind, payload = [("reverse_string", f"n{number}"), ("uppercase_text", "x"), ("fibonacci_calc", number % 300)][
            number % 3
        ]
        return {"type": kind, "payload": payload}
