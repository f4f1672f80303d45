"""Silent receivers: what another account's tasks wait while ten receivers of webhooks accept and never answer.

    python -m benchmarks.receivers [--batch 1000] [--singles 80] [--json]

One account has ten webhooks to receivers that stay silent, and submits a batch; another one submits single tasks, first
with nothing else to do and then beside that. Servers as in benchmarks.latency, one worker of two slots that takes from
all queues, and all sinks. Exits with 1 when the p95 of the single tasks, from acceptance to end, more than doubles.
"""

import argparse
import json
import sys
import tempfile
import time
from contextlib import ExitStack
from typing import Any

from benchmarks.latency import installation
from tests.support.people import Person, make_person
from tests.support.servers.programs import Sink
from tests.support.servers.receivers import Receiver
from tests.support.servers.stack import Stack

RECEIVERS, PAUSE_SECONDS, WARM_UP = 10, 0.5, 20
NAMES = ("csv", "stats", "webhooks")
TOOK = """
SELECT extract(epoch FROM finished_at - created_at)::float8 AS seconds FROM tasks
WHERE id = ANY(%(ids)s::uuid[])
"""
STANDING = """
SELECT count(*) FILTER (WHERE state = 'held') AS held,
       count(*) FILTER (WHERE state IN ('out', 'running')) AS running FROM admissions
"""
CIRCUITS = "SELECT state, count(*) AS n FROM webhook_endpoints GROUP BY state"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Another account's tasks beside ten silent receivers of webhooks")
    parser.add_argument("--batch", type=int, default=1_000, help="tasks of the account with the webhooks")
    parser.add_argument("--singles", type=int, default=80, help="tasks of the other account, in each part")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    with ExitStack() as closing:
        folder = closing.enter_context(tempfile.TemporaryDirectory())
        stack = closing.enter_context(installation(outbound_allow="127.0.0.1", csv_dir=folder))
        sink = Sink(stack.environment, *NAMES)
        closing.callback(sink.end)
        sink.start().wait_until_ready()
        receivers = [closing.enter_context(Receiver()) for _ in range(RECEIVERS)]
        figures = measure(stack, receivers, batch=options.batch, count=options.singles)
    print(json.dumps(figures) if options.json else "\n".join(f"{what}: {value}" for what, value in figures.items()))
    sys.exit(0 if figures["holds"] else 1)


def measure(stack: Stack, receivers: list[Receiver], *, batch: int, count: int) -> dict[str, Any]:
    """The milliseconds of the single tasks, idle and beside the batch."""
    ada, ben = make_person(stack.database_url), make_person(stack.database_url)
    singles(stack, ben, WARM_UP)
    idle = singles(stack, ben, count)
    for receiver in receivers:
        _post(stack, ada, "/webhooks", {"url": receiver.url})
    items = [{"type": "reverse_string", "payload": "x"}] * batch
    _post(stack, ada, "/tasks/batch", {"tasks": items})
    beside = singles(stack, ben, count)
    [standing] = stack.rows(STANDING)
    figures = {
        "idle p50 ms": _percentile(idle, 50),
        "idle p95 ms": _percentile(idle, 95),
        "beside p50 ms": _percentile(beside, 50),
        "beside p95 ms": _percentile(beside, 95),
        "beside worst ms": _percentile(beside, 100),
        "deliveries that wait": standing["held"],
        "deliveries on their way": standing["running"],
        "most connections of a receiver": max(each.most_at_once for each in receivers),
        "circuits": {row["state"]: row["n"] for row in stack.rows(CIRCUITS)},
    }
    return figures | {"holds": figures["beside p95 ms"] <= 2 * figures["idle p95 ms"]}


def singles(stack: Stack, person: Person, count: int) -> list[float]:
    """Milliseconds from the acceptance to the end of tasks that are submitted twice a second."""
    ids = []
    for _ in range(count):
        ids.append(_post(stack, person, "/tasks", {"type": "reverse_string", "payload": "mine"})["id"])
        time.sleep(PAUSE_SECONDS)
    stack.wait_until("COMPLETED", ids, timeout=120)
    return [1000 * row["seconds"] for row in stack.rows(TOOK, {"ids": ids})]


def _post(stack: Stack, person: Person, path: str, body: Any) -> dict[str, Any]:
    answer = stack.http.post(f"{stack.api.url}/api/v1{path}", json=body, headers=person.headers, timeout=60)
    answer.raise_for_status()
    return dict(answer.json())


def _percentile(values: list[float], percent: int) -> float:
    ordered = sorted(values)
    return round(ordered[max(0, -(-percent * len(ordered) // 100) - 1)], 1)


if __name__ == "__main__":
    main()
