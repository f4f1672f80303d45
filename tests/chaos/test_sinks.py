"""Sinks that are killed and started again at random, and one that is down for the whole run."""

import csv
import random
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.chaos.conftest import MakeStack
from tests.chaos.evidence import ARROWS
from tests.chaos.ledger import Ledger
from tests.services.programs import Sink
from tests.services.stack import Stack
from tests.services.waiting import wait_for

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(240)]

TASKS = 10_000
BATCH = 500
WORKS_SECONDS = (0.1, 1.5)
KILLS = 8
EVENTS = "SELECT count(*) AS n FROM task_events"
SUBMIT = """
INSERT INTO tasks (id, type, status, payload, priority, queue, max_retries, created_at, due_at)
SELECT gen_random_uuid(), 'reverse_string', 'PENDING', '"x"', 'normal', 'tasks', 3, now(), now()
FROM generate_series(1, %(count)s)
"""
BEHIND = (
    "SELECT count(*) AS n FROM event_outbox UNION ALL "
    "SELECT coalesce(max(last_position), 0) - (SELECT min(position) FROM sinks WHERE name = ANY(%(names)s)) "
    "FROM event_batches"
)


class Killer(threading.Thread):
    """kill -9 for a random sink at a random moment of its work, again and again; what was killed is started at once."""

    def __init__(self, sinks: list[Sink], seed: int) -> None:
        super().__init__(daemon=True)
        self._sinks = sinks
        self._random = random.Random(seed)
        self._stopping = threading.Event()
        self.kills: Counter[str] = Counter()

    def run(self) -> None:
        while not self._stopping.wait(self._random.uniform(*WORKS_SECONDS)):
            victim = self._random.choice(self._sinks)
            victim.kill()
            victim.start().wait_until_ready()  # a process that never begins its work cannot be killed at it
            self.kills[victim.name] += 1

    def end(self) -> None:
        self._stopping.set()
        self.join(60)
        assert not self.is_alive()


def lines(directory: Path) -> Iterator[dict[str, str]]:
    for path in sorted(directory.glob("events-*.csv")):
        with path.open(newline="") as stream:
            yield from csv.DictReader(stream)


def submit(stack: Stack, count: int, killer: Killer) -> None:
    """A load that lasts as long as the killing does."""
    batches = count // BATCH
    for number in range(batches):
        stack.rows(SUBMIT, {"count": BATCH})
        enough = KILLS * (number + 1) // batches
        wait_for(lambda enough=enough: killer.kills.total() >= enough, timeout=60, what="something was killed")


def caught_up(stack: Stack, *names: str) -> bool:
    unfinished = stack.rows("SELECT count(*) AS n FROM tasks WHERE due_at IS NOT NULL")[0]["n"]
    return not unfinished and all(row["n"] == 0 for row in stack.rows(BEHIND, {"names": list(names)}))


def test_ten_thousand_tasks_are_in_csv_and_stats_once_whatever_is_killed(
    make_stack: MakeStack, ledger: Ledger, tmp_path: Path
):
    stack = make_stack(csv_dir=str(tmp_path))
    sinks = [Sink(stack.environment, "csv"), Sink(stack.environment, "stats")]
    late = Sink(stack.environment, "webhooks")
    for sink in [*sinks, late]:
        sink.start()
    for sink in [*sinks, late]:
        sink.wait_until_ready()
    late.kill()  # down for the whole run
    killer = Killer(sinks, seed=8)
    try:
        killer.start()
        with ledger.timed(f"{TASKS} tasks, with the sinks killed at random"):
            submit(stack, TASKS, killer)
            wait_for(
                lambda: not stack.rows("SELECT FROM tasks WHERE due_at IS NOT NULL LIMIT 1"),
                timeout=90,
                what="all tasks are finished",
            )
        killer.end()
        with ledger.timed("catching up after the last kill"):
            wait_for(lambda: caught_up(stack, "csv", "stats"), timeout=60, what="csv and stats have caught up")
        with ledger.timed("the sink that was down catches up"):
            late.start()
            wait_for(lambda: caught_up(stack, "webhooks"), timeout=60, what="the late sink has caught up")
    finally:
        killer.end()
        for sink in [*sinks, late]:
            sink.end()
    ledger.note(f"kills: {dict(killer.kills)}")
    assert killer.kills.total() >= KILLS
    _check_csv(stack, tmp_path)
    _check_stats(stack)


def _check_csv(stack: Stack, directory: Path) -> None:
    positions: list[int] = []
    paths: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for line in lines(directory):
        positions.append(int(line["position"]))
        paths[line["task_id"]].append((line["previous_status"], line["status"]))
    [happened] = stack.rows(EVENTS)
    assert positions == list(range(1, happened["n"] + 1))  # each once, and in the order of publishing
    assert len(paths) >= TASKS
    for path in paths.values():
        assert path[0][0] == ""
        assert path[-1][1] in ("COMPLETED", "FAILED", "CANCELLED")
        assert all(after[0] == before[1] for before, after in pairwise(path))
        assert all(step in ARROWS for step in path[1:])


def _check_stats(stack: Stack) -> None:
    counted = "SELECT status, sum(n)::bigint AS n FROM task_stats GROUP BY status ORDER BY status"
    happened = "SELECT status, count(*) AS n FROM task_events GROUP BY status ORDER BY status"
    assert stack.rows(counted) == stack.rows(happened)
    totals = "SELECT status, sum(n)::bigint AS n FROM task_counts GROUP BY status ORDER BY status"
    assert stack.rows(totals) == stack.rows(happened)
