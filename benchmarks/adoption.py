"""Adopted Celery tasks a second, by `celery -A … ledger` with four children, and the same by Celery's own worker.

    python -m benchmarks.adoption [--tasks 5000] [--children 4] [--json]

Starts PostgreSQL (with fsync), RabbitMQ, API, worker and dispatcher of its own, as the tests do; TEST_DATABASE_URL and
TEST_BROKER_URL name others. All tasks wait before the first worker starts, so that only the workers are measured.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.latency import installation
from tests.support.adoption.programs import AppWorker, environment_of
from tests.support.servers.databases import ROOT
from tests.support.servers.stack import Stack

TYPE = "adoption.add"
BATCH = 500
COUNT = """
    SELECT count(*) AS n, min(finished_at) AS first, max(finished_at) AS last FROM tasks WHERE status = 'COMPLETED'
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Adopted Celery tasks a second")
    parser.add_argument("--tasks", type=int, default=5_000, help="how many are run")
    parser.add_argument("--children", type=int, default=4, help="children of the worker")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    with installation() as stack, TemporaryDirectory() as directory:
        ours = ledger(stack, Path(directory) / "ours", options.tasks, options.children)
        theirs = celery(stack, Path(directory) / "celery", options.tasks, options.children)
    if options.json:
        print(json.dumps({"adopted_a_second": ours, "celery_a_second": theirs}))
        return
    print(f"adopted tasks a second, {options.children} children      {ours:.0f}")
    print(f"the same by Celery's own worker           {theirs:.0f}")


def ledger(stack: Stack, directory: Path, count: int, children: int) -> float:
    """Tasks a second from the first outcome to the last."""
    key = str(stack.http.headers["Authorization"]).removeprefix("Bearer ")
    environment = environment_of(
        directory, ADOPTED="1", ADOPTION_BROKER="memory://", TASKLEDGER_URL=stack.api.url, TASKLEDGER_API_KEY=key
    )
    command = [sys.executable, "-m", "celery", "-A", "tests.support.adoption.application", "ledger", "--declare-only"]
    subprocess.run(command, env=environment, cwd=ROOT, check=True, capture_output=True)
    for start in range(0, count, BATCH):
        payloads = [{"args": [number, 1], "kwargs": {}} for number in range(start, min(start + BATCH, count))]
        stack.post("/tasks/batch", {"tasks": [{"type": TYPE, "payload": payload} for payload in payloads]})
    while stack.rows("SELECT count(*) AS n FROM hints")[0]["n"] < count:
        time.sleep(0.1)
    with AppWorker("ledger", environment, concurrency=children):
        while (row := stack.rows(COUNT)[0])["n"] < count:
            time.sleep(0.2)
    return count / float((row["last"] - row["first"]).total_seconds())


def celery(stack: Stack, directory: Path, count: int, children: int) -> float:
    """The same by RabbitMQ and Celery's worker with acks_late, as far as that can be compared: it keeps nothing."""
    record = directory / "record"
    environment = environment_of(
        directory, ADOPTION_BROKER=stack.environment["BROKER_URL"], ADOPTION_RECORD=str(record)
    )
    script = (
        f"from tests.support.adoption.tasks import writes_down\nfor number in range({count}): writes_down.delay(number)"
    )
    subprocess.run([sys.executable, "-c", script], env=environment, cwd=ROOT, check=True)
    began = time.monotonic()
    with AppWorker("worker", environment, "--without-mingle", concurrency=children):
        began = time.monotonic()
        while not record.exists() or record.read_bytes().count(b'"written"') < count:
            time.sleep(0.2)
    return count / (time.monotonic() - began)


if __name__ == "__main__":
    main()
