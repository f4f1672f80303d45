"""Who runs tasks: workers that are alive or were lately, and types that wait although nobody knows them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.models import Status, Worker
from app.services.measuring.levels import Levels
from taskledger_sdk.registry import load_types

WORKERS = Worker.metadata.tables["workers"]
ALIVE_FOR = timedelta(seconds=15)  # since a worker's parent process last wrote its row, which it does each second
ALIVE, STOPPED, LOST = "alive", "stopped", "lost"
MAX_GONE = 50  # of those that stopped or were lost, the newest


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerSeen:
    """One life of a worker."""

    id: str
    node: str
    host: str
    pid: int
    concurrency: int
    queues: Sequence[str]
    types: Mapping[str, str]
    version: str
    runtime: Mapping[str, Any]
    started_at: datetime
    last_seen_at: datetime
    stopped_at: datetime | None
    running: int = 0
    """Tasks that it holds a lease of."""

    def state(self, now: datetime) -> str:
        """alive, stopped (in order), or lost: not seen for 15 seconds."""
        if self.stopped_at is not None:
            return STOPPED
        return ALIVE if now - self.last_seen_at <= ALIVE_FOR else LOST

    def is_alive(self, now: datetime) -> bool:
        """Whether it was seen a moment ago."""
        return self.state(now) == ALIVE

    def other_schemas(self) -> list[str]:
        """The types whose payload schema there differs from the one known here: an older or newer release."""
        known = load_types()
        return sorted(name for name, found in self.types.items() if name in known and known[name].schema_hash != found)


_COLUMNS = [WORKERS.c[name] for name in WorkerSeen.__slots__ if name != "running"]
_GONE = sa.or_(WORKERS.c.stopped_at.is_not(None), WORKERS.c.last_seen_at <= sa.bindparam("since"))
_ALIVE = sa.select(*_COLUMNS).where(~_GONE).order_by(WORKERS.c.node, WORKERS.c.id)
_NEWEST_GONE = sa.select(*_COLUMNS).where(_GONE).order_by(WORKERS.c.last_seen_at.desc()).limit(MAX_GONE)
_ONE = sa.select(*_COLUMNS).where(WORKERS.c.id == sa.bindparam("id"))
_UNSEEN = sa.text("""
    SELECT id, stopped_at IS NOT NULL AS has_stopped
    FROM workers
    WHERE last_seen_at > :remembered AND (last_seen_at < :silent OR stopped_at IS NOT NULL)
""")
_RUNNING = sa.text(
    "SELECT leased_by, count(*) AS running FROM tasks WHERE due_at IS NOT NULL AND status = 'PROCESSING' GROUP BY 1"
)


def alive(session: Session, *, now: datetime) -> list[WorkerSeen]:
    """Those that were seen in the last seconds."""
    return [WorkerSeen(**row) for row in session.execute(_ALIVE, {"since": now - ALIVE_FOR}).mappings()]


def one(session: Session, worker_id: str) -> WorkerSeen | None:
    """A worker by its id, alive or not; None when it was forgotten."""
    row = session.execute(_ONE, {"id": worker_id}).mappings().first()
    return None if row is None else WorkerSeen(**row)


def everyone(session: Session, *, now: datetime) -> list[WorkerSeen]:
    """All that are alive, each with what it runs, and the newest of those that are gone."""
    running = {row.leased_by: row.running for row in session.execute(_RUNNING)}
    rows = [*session.execute(_ALIVE, {"since": now - ALIVE_FOR}).mappings()]
    rows += session.execute(_NEWEST_GONE, {"since": now - ALIVE_FOR}).mappings()
    return [WorkerSeen(**row, running=running.get(row["id"], 0)) for row in rows]


def unseen(session: Session, *, silent: datetime, remembered: datetime) -> dict[str, bool]:
    """Workers that stopped, or were not seen since `silent`, by id: whether they stopped in order.

    Those that were last seen before `remembered` are left out.
    """
    rows = session.execute(_UNSEEN, {"remembered": remembered, "silent": silent})
    return {row.id: row.has_stopped for row in rows}


def seen(session: Session, life: Mapping[str, Any], *, stopped: bool, now: datetime) -> None:
    """Note that a worker lives, or that it stopped; `life` are the columns that stay as they are while it lives."""
    changing: dict[str, Any] = {"last_seen_at": now, "stopped_at": now if stopped else None}
    statement = insert(Worker).values(**life, **changing)
    # By the server's clock: a moment that was taken before the database stalled would be old when it is written.
    changing["last_seen_at"] = sa.func.clock_timestamp()
    session.execute(statement.on_conflict_do_update(index_elements=[Worker.id], set_=changing))


@dataclass(frozen=True, kw_only=True, slots=True)
class Orphan:
    """A type of which tasks wait in a queue, and which no live worker of that queue knows."""

    type: str
    queue: str
    waiting: int
    known_here: bool
    """Whether the API knows it: if not, the release that had it is gone."""


def orphans(snapshot: Levels, live: Sequence[WorkerSeen]) -> list[Orphan]:
    """What nobody would run; empty while no worker is alive at all, which is another trouble. Pure."""
    if not live:
        return []
    waiting: dict[tuple[str, str], int] = {}
    for level in snapshot.levels:
        if level.status in (Status.PENDING, Status.RETRYING, Status.SCHEDULED):
            waiting[level.queue, level.type] = waiting.get((level.queue, level.type), 0) + level.tasks
    known = load_types()
    return [
        Orphan(type=type_, queue=queue, waiting=tasks, known_here=type_ in known)
        for (queue, type_), tasks in sorted(waiting.items())
        if not any(queue in each.queues and type_ in each.types for each in live)
    ]
