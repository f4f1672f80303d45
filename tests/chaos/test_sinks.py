"""Sinks that are killed and started again at random, and one that is down for the whole run."""

import csv
import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.chaos.conftest import MakeStack
from tests.chaos.evidence import ARROWS
from tests.chaos.ledger import Ledger
from tests.support.servers.programs import Sink
from tests.support.servers.stack import Stack
from tests.support.servers.waiting import wait_for

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(240)]

TASKS = 10_000
BATCH = 500
WORKS_SECONDS = (0.1, 1.5)
KILLS = 10
UNFINISHED = "SELECT id FROM tasks WHERE due_at IS NOT NULL LIMIT 1"
EVENTS = "SELECT count(*) AS n FROM task_events"
SUBMIT = """
INSERT INTO tasks (id, type, status, payload, priority, queue, max_retries, created_at, due_at)
SELECT gen_random_uuid(), 'reverse_string', 'PENDING', '"x"', 'normal', 'tasks', 3, now(), now()
FROM generate_series(1, %(count)s)
"""


def lines(directory: Path) -> Iterator[dict[str, str]]:
    for path in sorted(directory.glob("events-*.csv")):
        with path.open(newline="") as stream:
            yield from csv.DictReader(stream)


def submit_and_kill(stack: Stack, sinks: list[Sink]) -> Counter[str]:
    """A load that lasts as long as the killing: kill -9 for a random sink at a random moment of its work, and start it.

    In this thread: a process dies with the thread that started it (PR_SET_PDEATHSIG).
    """
    kills: Counter[str] = Counter()
    chance = random.Random(8)
    for number in range(TASKS // BATCH):
        stack.rows(SUBMIT, {"count": BATCH})
        if number % (TASKS // BATCH // KILLS) == 0:
            time.sleep(chance.uniform(*WORKS_SECONDS))
            victim = sinks[kills.total() % 2] if kills.total() < 2 else chance.choice(sinks)
            victim.kill()
            victim.start().wait_until_ready()  # a process that never begins its work cannot be killed at it
            kills[victim.name] += 1
    return kills


def catch_up(stack: Stack, *names: str) -> None:
    """Wait until everything is passed on and taken. Raises AssertionError that says what is not."""
    state: dict[str, object] = {}

    def is_done() -> bool:
        state["unfinished"] = stack.rows("SELECT count(*) AS n FROM tasks WHERE due_at IS NOT NULL")[0]["n"]
        state["outbox"] = stack.rows("SELECT count(*) AS n FROM event_outbox")[0]["n"]
        state["newest"] = stack.rows("SELECT coalesce(max(last_position), 0) AS n FROM event_batches")[0]["n"]
        rows = stack.rows("SELECT name, position FROM sinks WHERE name = ANY(%(names)s)", {"names": list(names)})
        state["sinks"] = {row["name"]: row["position"] for row in rows}
        wanted = dict.fromkeys(names, state["newest"])
        return state == {"unfinished": 0, "outbox": 0, "newest": state["newest"], "sinks": wanted}

    try:
        wait_for(is_done, timeout=60)
    except AssertionError:
        raise AssertionError(f"not caught up within 60 s: {state}") from None


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
    try:
        with ledger.timed(f"{TASKS} tasks, with the sinks killed at random"):
            kills = submit_and_kill(stack, sinks)
            wait_for(lambda: not stack.rows(UNFINISHED), timeout=90, what="all tasks are finished")
        with ledger.timed("catching up after the last kill"):
            catch_up(stack, "csv", "stats")
        with ledger.timed("the sink that was down catches up"):
            late.start()
            catch_up(stack, "webhooks")
    finally:
        for sink in [*sinks, late]:
            sink.end()
    ledger.note(f"kills: {dict(kills)}")
    assert len(kills) == len(sinks)
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
