"""Durable tasks while everything is killed: what was recorded is never done again, and no child is lost or doubled.

100 tasks of ten steps, three sleeps, two signals and five children each; with CHAOS_FULL=1, 500.
"""

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import psycopg2
import pytest
import sqlalchemy as sa

from app.database import Session
from tests.chaos.evidence import assert_histories_hold, assert_one_outcome_each, attempts
from tests.chaos.faults import Faults, Restarter, strike
from tests.chaos.repetitions import repetitions
from tests.support.servers.programs import Worker
from tests.support.servers.waiting import wait_for
from tests.support.signals import send_signal

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]

SEED = 20_261_129
PAUSE_BETWEEN_STEPS_HIT = 0.7  # seconds
STEPS, SIGNALS, CHILDREN = 10, 2, 5
KILLS = ("worker_parent_killed", "worker_child_killed", "worker_child_killed", "dispatcher_killed")
FAULTS = (*KILLS, "broker_killed", *KILLS, "postgres_restarted", *KILLS, "postgres_killed", *KILLS)
RECORDED = """
SELECT task_id::text AS task, name, extract(epoch FROM ended_at)::float AS at, result
FROM task_steps WHERE task_id = ANY(%(ids)s::uuid[]) AND kind = 'once'
"""
OPEN = "SELECT count(*) AS n FROM task_steps WHERE child_id IS NOT NULL AND ended_at IS NULL"


def test_durable_tasks_in_a_storm_of_kills_repeat_nothing_that_was_recorded(
    make_stack, postgres, rabbitmq, ledger, tmp_path
):
    tasks, chance, trace = repetitions(short=100, full=500), random.Random(SEED), tmp_path / "steps"
    stack = make_stack(lease_seconds="6", shutdown_grace_seconds="2")
    with Worker(stack.environment, concurrency=4) as second:
        workers = [stack.worker, second]
        ids = [stack.submit("durable_zoo", {"path": str(trace)}) for _ in range(tasks)]
        faults = Faults(stack, workers, postgres, rabbitmq, accepted=lambda: tasks, chance=chance)
        with Restarter([*workers, stack.dispatcher], ledger) as restarter, signals(stack, ids, chance):
            wait_for(lambda: trace.exists(), timeout=60, what="some step was done")
            with steps_hit(trace, faults) as hit:
                strike(faults, FAULTS, ledger, pause_seconds=1.5)
            stack.reconnect()
            restarter.wait_until_all_are_ready()
            with ledger.timed("until all of them are COMPLETED"):
                stack.wait_until("COMPLETED", ids, timeout=600)

    ledger.note(f"attempts that the tasks needed: {dict(sorted(attempts(stack, ids).items()))}")
    again = steps_done_again(stack, ids, trace)
    ledger.note(f"{len(ids) * STEPS} steps; {len(hit)} were hit before the record, {again} were done again")
    assert again > 0, "the storm hit no step"
    children = stack.rows("SELECT id, parent_id, payload FROM tasks WHERE parent_id IS NOT NULL")
    assert Counter(str(child["parent_id"]) for child in children) == dict.fromkeys(ids, CHILDREN)
    # Two by `call`, three by `gather`, each numbered from zero.
    assert Counter(child["payload"] for child in children) == Counter(
        f"{id_} {number}" for id_ in ids for number in (0, 1, 0, 1, 2)
    )
    assert stack.rows(OPEN) == [{"n": 0}]
    assert stack.rows("SELECT count(*) AS n FROM signals WHERE taken_by IS NULL") == [{"n": 0}]
    assert_one_outcome_each(stack, [*ids, *(child["id"] for child in children)])
    assert_histories_hold(stack)


@contextmanager
def signals(stack, ids, chance) -> Iterator[None]:
    """Send each task its signals while the storm goes on: some early, some late, each until it is known to be kept."""
    wanted = [(task_id, number) for task_id in ids for number in range(SIGNALS)]
    chance.shuffle(wanted)
    engine = sa.create_engine(
        "postgresql+psycopg2://", creator=lambda: psycopg2.connect(stack.database_url), poolclass=sa.NullPool
    )

    def send() -> None:
        for task_id, number in wanted:
            while not _sent(engine, task_id, number):
                time.sleep(0.5)
            time.sleep(20 / len(wanted))

    thread = threading.Thread(target=send, name="signals", daemon=True)
    thread.start()
    yield
    thread.join(60)
    assert not thread.is_alive(), "not all signals were sent"


def _sent(engine: sa.Engine, task_id: str, number: int) -> bool:
    try:
        with Session(engine) as session, session.begin():
            now = session.scalar(sa.text("SELECT clock_timestamp()"))
            send_signal(session, UUID(task_id), "go", f"{task_id} {number}", key=str(number), now=now)
    except (sa.exc.OperationalError, sa.exc.InterfaceError, psycopg2.OperationalError):
        return False
    return True


@contextmanager
def steps_hit(trace, faults) -> Iterator[list[int]]:
    """Kill, again and again, a child that has just done a step and has not recorded it; yields the pids."""
    hit: list[int] = []
    ending = threading.Event()

    def hunt() -> None:
        with trace.open() as file:
            while not ending.wait(PAUSE_BETWEEN_STEPS_HIT):
                file.seek(0, os.SEEK_END)
                while not (line := file.readline()) and not ending.wait(0.002):
                    pass
                pid = int(line.split()[2]) if line.endswith("\n") else 0
                if pid in faults.child_pids():
                    os.kill(pid, signal.SIGKILL)
                    hit.append(pid)

    thread = threading.Thread(target=hunt, name="steps hit", daemon=True)
    thread.start()
    try:
        yield hit
    finally:
        ending.set()
        thread.join()


def steps_done_again(stack, ids, trace) -> int:
    """How many; each was done again before it was recorded, never after, and what is kept is one of those times."""
    done: dict[tuple[str, str], list[float]] = {}
    for line in trace.read_text().splitlines():
        task, number, _, at = line.split()
        done.setdefault((task, f"step {number}"), []).append(float(at))
    recorded = {(row["task"], row["name"]): row for row in stack.rows(RECORDED, {"ids": ids})}
    assert recorded.keys() == done.keys()
    assert len(recorded) == len(ids) * STEPS
    late = {key: (times, recorded[key]["at"]) for key, times in done.items() if max(times) > recorded[key]["at"]}
    assert late == {}, "done again after it was recorded"
    for key, times in done.items():
        assert float(recorded[key]["result"].split()[-1]) in times
    return sum(len(times) > 1 for times in done.values())
