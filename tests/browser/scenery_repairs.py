"""A repair under way and one that stopped by itself, as rows: for screenshots, and for tests that only look."""

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg2
import psycopg2.extras

CAUSE = "a1b2c3d4e5f60718"
COUNT, REPLAYED_SECONDS, PER_SECOND = 5_000, 32, 100
PATCH = [{"op": "replace", "path": "/to", "value": "bob@example.org"}]
REPAIR = """
INSERT INTO repairs (id, owner_id, visible_to, type, token_hash, status, reason, spec, failed_before, tasks, remaining,
                     replayed, unended, well, failed, refused, settled, last_at, created_at, finished_at)
VALUES (%(id)s, %(owner)s, NULL, 'send_email', %(id)s, %(status)s, %(reason)s, %(spec)s, %(begun)s, %(count)s,
        %(count)s - %(replayed)s - %(refused)s, %(replayed)s, %(unended)s, %(well)s, %(failed)s, %(refused)s,
        %(settled)s, now(), %(begun)s, %(finished)s)
"""
ITEMS = """
INSERT INTO repair_items (repair_id, task_id, attempt, attempt_base, failed_at, replayed_at, ended_at, outcome, problem)
VALUES %s
"""


def paint(database_url: str, boss: UUID) -> dict[str, str]:
    """Insert them; returns names and paths of pages."""
    choice = random.Random(5)
    now = datetime.now(UTC)
    connection = psycopg2.connect(database_url)
    try:
        with connection, connection.cursor() as cursor:
            stopped = _repair(cursor, choice, boss, now - timedelta(hours=2), seconds=2, fails=0.4, status="STOPPED")
            running = _repair(
                cursor,
                choice,
                boss,
                now - timedelta(seconds=REPLAYED_SECONDS + 2),
                seconds=REPLAYED_SECONDS,
                fails=0.02,
            )
    finally:
        connection.close()
    return {
        "cause": f"/dead-letters/groups/{CAUSE}",
        "repairs": "/repairs",
        "repair": f"/repairs/{running}",
        "repair-stopped": f"/repairs/{stopped}",
        "repair-undo": f"/repairs/{running}/undo",
        "repair-new": f"/repairs/new?type=send_email&fingerprint={CAUSE}",
    }


def _repair(
    cursor: Any,
    choice: random.Random,
    boss: UUID,
    begun: datetime,
    *,
    seconds: int,
    fails: float,
    status: str = "RUNNING",
) -> UUID:
    id_ = uuid4()
    items = list(_items(choice, id_, begun, seconds, fails))
    counts = {name: sum(item[7] == name for item in items) for name in ("well", "failed", "refused")}
    replayed = sum(item[5] is not None for item in items)
    ended = counts["well"] + counts["failed"]
    is_stopped = status == "STOPPED"
    reason = (
        f"{counts['failed']} of {ended} first attempts have failed, which is more than stop_above_failure_ratio (0.1)"
    )
    spec = {
        "filter": {"type": "send_email", "fingerprint": CAUSE},
        "patch": PATCH,
        "canary": 20,
        "per_second": PER_SECOND,
        "stop_above_failure_ratio": 0.1,
    }
    cursor.execute(
        REPAIR,
        {
            "id": str(id_),
            "owner": str(boss),
            "status": status,
            "reason": reason if is_stopped else None,
            "spec": json.dumps(spec),
            "begun": begun,
            "count": COUNT,
            "replayed": replayed,
            "unended": replayed - ended,
            **counts,
            "settled": False,
            "finished": begun + timedelta(seconds=seconds) if is_stopped else None,
        },
    )
    psycopg2.extras.execute_values(cursor, ITEMS, items)
    return id_


def _items(choice: random.Random, id_: UUID, begun: datetime, seconds: int, fails: float) -> Any:
    for number in range(seconds * PER_SECOND):
        replayed = begun + timedelta(seconds=number / PER_SECOND)
        ended = replayed + timedelta(seconds=choice.uniform(0.3, 1.6))
        if choice.random() < 0.004:
            problem = "payload.to: is no mail address"
            yield str(id_), str(uuid4()), None, None, None, None, replayed, "refused", problem
        elif ended < begun + timedelta(seconds=seconds):
            outcome = "failed" if choice.random() < fails else "well"
            yield str(id_), str(uuid4()), 1, 0, begun, replayed, ended, outcome, None
        else:
            yield str(id_), str(uuid4()), 1, 0, begun, replayed, None, None, None
