"""Fairness: one owner's flood and another's single tasks, a limit over several workers, keys in order, and the price.

    python -m benchmarks.fairness [flood] [limit] [order] [price] [--scale 1.0] [--json]

flood: an owner submits 100,000 tasks, then another one a second; the waiting times of the latter against those on an
idle system. limit: 10,000 tasks under a limit of 5 over 4 workers that are killed now and then. order: 50 keys of 200
tasks with failures and kills. price: submissions with the tables of limits empty, and with a limit of another type.
Servers as in benchmarks.latency. Prints what was found; exits with 1 when a promise does not hold.
"""

import argparse
import json
import random
import statistics
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from typing import Any

from benchmarks.latency import installation
from tests.support.people import make_person
from tests.support.servers.programs import Worker
from tests.support.servers.stack import Stack

FLOOD, SINGLES, WINDOW = 100_000, 40, 4
LIMITED, LIMIT, SECONDS_EACH = 10_000, 5, 0.2
KEYS, EACH = 50, 200
SUBMISSIONS, ROUNDS = 400, 7

Figures = dict[str, Any]

FILL = """
INSERT INTO tasks (id, type, status, payload, priority, queue, max_retries, created_at, due_at, owner_id, ordering_key)
SELECT gen_random_uuid(), %(type)s, 'PENDING', %(payload)s::jsonb, 'normal', 'tasks', 50, now(), now(),
       %(owner)s::uuid, CASE WHEN %(keys)s > 0 THEN 'key-' || n %% greatest(%(keys)s, 1) END
FROM generate_series(1, %(count)s) AS n
"""
WAITED = """
SELECT extract(epoch FROM started_at - created_at)::float8 AS waited FROM tasks
WHERE id = ANY(%(ids)s::uuid[])
"""
AT_ONCE = """
SELECT max(running)::int AS most, (sum(running * seconds) / sum(seconds))::float8 AS mean FROM (
    SELECT sum(step) OVER (ORDER BY at, id) AS running,
           extract(epoch FROM lead(at) OVER (ORDER BY at, id) - at) AS seconds, at
    FROM (SELECT id, at, CASE WHEN status = 'PROCESSING' THEN 1 ELSE -1 END AS step FROM task_events
          WHERE status = 'PROCESSING' OR previous_status = 'PROCESSING') AS steps) AS moments
WHERE at <= (SELECT max(at) FROM task_events WHERE status = 'PROCESSING')
"""
KEEP_ORDER = """
CREATE TABLE kept (task_id uuid PRIMARY KEY, seq bigint);
CREATE FUNCTION keep_order() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO kept VALUES (NEW.task_id, NEW.seq); RETURN NULL; END $$;
CREATE TRIGGER keep_order AFTER INSERT ON admissions FOR EACH ROW EXECUTE FUNCTION keep_order();
"""
IN_ORDER = """
SELECT tasks.ordering_key, kept.seq, task_events.task_id::text, task_events.status FROM task_events
JOIN tasks ON tasks.id = task_events.task_id JOIN kept ON kept.task_id = tasks.id
WHERE task_events.status = 'PROCESSING' OR previous_status = 'PROCESSING' ORDER BY at, task_events.id
"""


def flood(stack: Stack, scale: float) -> Figures:
    """Waiting times of one owner's single tasks, idle and beside a flood of another's."""
    ada, ben = make_person(stack.database_url), make_person(stack.database_url)
    _limit(stack, "all/all", max_hints=WINDOW)
    idle = _singles(stack, ben)
    flooded = int(FLOOD * scale)
    stack.rows(FILL, {"type": "reverse_string", "payload": '"x"', "owner": str(ada.id), "keys": 0, "count": flooded})
    time.sleep(1)
    beside = _singles(stack, ben)
    [left] = stack.rows("SELECT count(*) AS n FROM tasks WHERE finished_at IS NULL")
    figures = {
        "idle p50 ms": _percentile(idle, 50),
        "idle p95 ms": _percentile(idle, 95),
        "beside the flood p50 ms": _percentile(beside, 50),
        "beside the flood p95 ms": _percentile(beside, 95),
        "flood": flooded,
        "left of the flood": left["n"],
    }
    return figures | {"holds": left["n"] > 0 and figures["beside the flood p95 ms"] < 2 * figures["idle p95 ms"]}


def limit(stack: Stack, scale: float) -> Figures:
    """How many ran at once under a limit of 5, with kills."""
    _limit(stack, "type/fail_sometimes", max_running=LIMIT)
    payload = json.dumps({"seconds": SECONDS_EACH, "percent": 0})
    with _killed_workers(stack, 4) as kills:
        _fill_and_wait(stack, payload, int(LIMITED * scale), keys=0)
    [found] = stack.rows(AT_ONCE)
    return {
        "tasks": int(LIMITED * scale),
        "workers killed": len(kills),
        "most at once": found["most"],
        "mean at once": round(found["mean"], 2),
        "holds": found["most"] <= LIMIT and found["mean"] >= LIMIT - 1,
    }


def order(stack: Stack, scale: float) -> Figures:
    """Whether tasks of a key ran one at a time and in order, with failures and kills."""
    stack.rows(KEEP_ORDER)
    each = max(2, int(EACH * scale))
    with _killed_workers(stack, 4) as kills:
        _fill_and_wait(stack, json.dumps({"percent": 5}), KEYS * each, keys=KEYS)
    running, started = defaultdict(set), defaultdict(list)
    doubled = 0
    for row in stack.rows(IN_ORDER):
        here = running[row["ordering_key"]]
        if row["status"] == "PROCESSING":
            here.add(row["task_id"])
            started[row["ordering_key"]].append(row["seq"])
        else:
            here.discard(row["task_id"])
        doubled += len(here) > 1
    out_of_order = sum(one > two for seqs in started.values() for one, two in pairwise(seqs))
    return {
        "tasks": KEYS * each,
        "attempts": sum(map(len, started.values())),
        "workers killed": len(kills),
        "two at once": doubled,
        "out of order": out_of_order,
        "holds": not doubled and not out_of_order and len(started) == KEYS,
    }


def price(stack: Stack, scale: float) -> Figures:
    """Submissions a second, in turns without the gate of new tasks and with it; nothing is limited."""
    count = int(SUBMISSIONS * scale)
    without, with_it = [], []
    for _ in range(ROUNDS):
        stack.rows("ALTER TABLE tasks DISABLE TRIGGER gate_task")
        without.append(_submissions_a_second(stack, count))
        stack.rows("ALTER TABLE tasks ENABLE TRIGGER gate_task")
        with_it.append(_submissions_a_second(stack, count))
    ratio = statistics.median(b / a for a, b in zip(without, with_it, strict=True))
    return {
        "without a second": round(statistics.median(without)),
        "with a second": round(statistics.median(with_it)),
        "ratio": round(ratio, 3),
        "holds": ratio >= 0.95,
    }


PARTS: dict[str, Callable[[Stack, float], Figures]] = {"flood": flood, "limit": limit, "order": order, "price": price}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Fairness under load and kills")
    parser.add_argument("parts", nargs="*", help="all unless named")
    parser.add_argument("--scale", type=float, default=1.0, help="a part of the numbers of tasks")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    found = {}
    for name in options.parts or PARTS:
        with installation() as stack:
            found[name] = PARTS[name](stack, options.scale)
        if not options.json:
            print(f"{name}: " + ", ".join(f"{what} {value}" for what, value in found[name].items()), flush=True)
    if options.json:
        print(json.dumps(found))
    sys.exit(0 if all(each["holds"] for each in found.values()) else 1)


def _limit(stack: Stack, place: str, **body: Any) -> None:
    stack.http.put(f"{stack.api.url}/api/v1/limits/{place}", json=body, timeout=10).raise_for_status()


def _singles(stack: Stack, person: Any) -> list[float]:
    """Milliseconds from the acceptance to the start of tasks that are submitted one a second."""
    ids = []
    for _ in range(SINGLES):
        answer = stack.http.post(
            f"{stack.api.url}/api/v1/tasks",
            json={"type": "reverse_string", "payload": "mine"},
            headers=person.headers,
            timeout=30,
        )
        answer.raise_for_status()
        ids.append(answer.json()["id"])
        time.sleep(1)
    stack.wait_until("COMPLETED", ids, timeout=60)
    return [1000 * row["waited"] for row in stack.rows(WAITED, {"ids": ids})]


def _percentile(values: Sequence[float], percent: int) -> float:
    ordered = sorted(values)
    return round(ordered[max(0, -(-percent * len(ordered) // 100) - 1)], 1)


def _fill_and_wait(stack: Stack, payload: str, count: int, *, keys: int) -> None:
    values = {"type": "fail_sometimes", "payload": payload, "owner": None, "keys": keys, "count": count}
    stack.rows(FILL, values)
    while stack.rows("SELECT EXISTS (SELECT FROM tasks WHERE finished_at IS NULL) AS unfinished")[0]["unfinished"]:
        time.sleep(0.5)


@contextmanager
def _killed_workers(stack: Stack, count: int) -> Iterator[list[int]]:
    """So many workers, one of which is killed every seven seconds and started again; the pids that were killed."""
    chance, stopping, killed = random.Random(7), threading.Event(), []
    others = [Worker(stack.environment) for _ in range(count - 1)]
    workers = [stack.worker, *others]

    def strike() -> None:
        while not stopping.wait(7):
            victim = chance.choice(workers)
            killed.append(victim.pid)
            victim.kill()
            victim.start()

    with ExitStack() as closing:
        for worker in others:
            closing.callback(worker.end)
            worker.start()
        for worker in others:
            worker.wait_until_ready()
        thread = threading.Thread(target=strike)
        thread.start()
        closing.callback(thread.join)
        closing.callback(stopping.set)
        yield killed


def _submissions_a_second(stack: Stack, count: int) -> float:
    began = time.perf_counter()
    for _ in range(count):
        stack.submit("reverse_string", "x")
    return count / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
