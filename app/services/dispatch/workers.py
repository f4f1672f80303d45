"""Who runs tasks: workers that are alive or were lately, and types that wait although nobody knows them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from app.database import Session
from app.models import NOT_PARKED, Status, Worker, worker
from app.services.measuring.levels import Levels
from taskledger_sdk.registry import known_types

WORKERS = Worker.metadata.tables["workers"]
ALIVE_FOR = worker.ALIVE_FOR
REMOTE_ALIVE_FOR = timedelta(seconds=60)  # of a remote worker, which is seen when it asks or tells something
CELERY, REMOTE = "celery", "remote"
ALIVE, STOPPED, LOST = "alive", "stopped", "lost"
KNOWS_WAITING = "knows_waiting"
"""In `workers.runtime`: its release knows the status WAITING."""
MAX_GONE = 50  # of those that stopped or were lost, the newest


def is_seen(kind: str, last_seen_at: datetime, *, now: datetime) -> bool:
    """Whether a worker that was last seen then counts as alive, if it has not stopped. Pure."""
    return now - last_seen_at <= (REMOTE_ALIVE_FOR if kind == REMOTE else ALIVE_FOR)


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
    upgrades: Mapping[str, Sequence[str]] = field(default_factory=dict)
    version: str
    runtime: Mapping[str, Any]
    started_at: datetime
    last_seen_at: datetime
    stopped_at: datetime | None
    kind: str = CELERY
    running: int = 0
    """Tasks that it holds a lease of."""

    def state(self, now: datetime) -> str:
        """alive, stopped (in order), or lost: not seen for 15 seconds, or a remote one for a minute."""
        if self.stopped_at is not None:
            return STOPPED
        return ALIVE if is_seen(self.kind, self.last_seen_at, now=now) else LOST

    @property
    def knows_waiting(self) -> bool:
        """Whether its release knows tasks that are WAITING: it may run durable types. Remote workers need not."""
        return self.kind != CELERY or bool(self.runtime.get(KNOWS_WAITING))

    @property
    def free(self) -> int | None:
        """Handlers that it could start now; with none it takes no hint from its queues. None: it does not tell."""
        found = self.runtime.get("free")
        return found if isinstance(found, int) else None

    @property
    def acknowledged_early(self) -> int | None:
        """Hints that it works on although they were acknowledged, as they take long. None: it does not tell."""
        found = self.runtime.get("acknowledged_early")
        return found if isinstance(found, int) else None

    def is_alive(self, now: datetime) -> bool:
        """Whether it was seen a moment ago."""
        return self.state(now) == ALIVE

    def takes(self, type_name: str, schema_hash: str | None) -> bool:
        """Whether it takes whatever payloads of a type were accepted under this schema."""
        return self.types.get(type_name) == schema_hash or schema_hash in self.upgrades.get(type_name, ())

    def other_schemas(self) -> list[str]:
        """The types whose payload schema there differs from the one known here: an older or newer release."""
        known = known_types()
        return sorted(name for name, found in self.types.items() if name in known and known[name].schema_hash != found)


_COLUMNS = [WORKERS.c[name] for name in WorkerSeen.__slots__ if name != "running"]
NOT_SEEN = """(
    last_seen_at <= CASE kind WHEN 'remote' THEN CAST(:remote_since AS timestamptz) ELSE :since END
)"""
_GONE = f"(stopped_at IS NOT NULL OR {NOT_SEEN})"
_ALIVE = sa.select(*_COLUMNS).where(sa.text(f"NOT {_GONE}")).order_by(WORKERS.c.node, WORKERS.c.id)
_NEWEST_GONE = sa.select(*_COLUMNS).where(sa.text(_GONE)).order_by(WORKERS.c.last_seen_at.desc()).limit(MAX_GONE)
_ONE = sa.select(*_COLUMNS).where(WORKERS.c.id == sa.bindparam("id"))
_UNSEEN = sa.text("""
    SELECT id, stopped_at IS NOT NULL AS has_stopped
    FROM workers
    WHERE kind = 'celery' AND last_seen_at > :remembered AND (last_seen_at < :silent OR stopped_at IS NOT NULL)
""")
_RUNNING = sa.text(
    f"SELECT leased_by, count(*) AS running FROM tasks WHERE {NOT_PARKED} AND status = 'PROCESSING' GROUP BY 1"
)


def seen_since(now: datetime) -> dict[str, datetime]:
    """The parameters of `NOT_SEEN`."""
    return {"since": now - ALIVE_FOR, "remote_since": now - REMOTE_ALIVE_FOR}


def alive(session: Session, *, now: datetime) -> list[WorkerSeen]:
    """Those that were seen in the last seconds."""
    return [WorkerSeen(**row) for row in session.execute(_ALIVE, seen_since(now)).mappings()]


Releases: TypeAlias = Mapping[str, frozenset[tuple[str, ...]]]
"""By type, what its live workers take: of each release the hash of its schema, and those that it upgrades."""
_RELEASES = sa.text("""
    SELECT DISTINCT types, upgrades
    FROM workers
    WHERE kind = 'celery' AND stopped_at IS NULL AND last_seen_at > :since
""")


def releases(session: Session, *, now: datetime) -> Releases:
    """What the live workers take."""
    found: dict[str, set[tuple[str, ...]]] = {}
    for types, upgrades in session.execute(_RELEASES, {"since": now - ALIVE_FOR}):
        for name, schema_hash in types.items():
            found.setdefault(name, set()).add((schema_hash, *sorted(upgrades.get(name, ()))))
    return {name: frozenset(each) for name, each in found.items()}


def one(session: Session, worker_id: str) -> WorkerSeen | None:
    """A worker by its id, alive or not; None when it was forgotten."""
    row = session.execute(_ONE, {"id": worker_id}).mappings().first()
    return None if row is None else WorkerSeen(**row)


def everyone(session: Session, *, now: datetime) -> list[WorkerSeen]:
    """All that are alive, each with what it runs, and the newest of those that are gone."""
    running = {row.leased_by: row.running for row in session.execute(_RUNNING)}
    rows = [*session.execute(_ALIVE, seen_since(now)).mappings()]
    rows += session.execute(_NEWEST_GONE, seen_since(now)).mappings()
    return [WorkerSeen(**row, running=running.get(row["id"], 0)) for row in rows]


def unseen(session: Session, *, silent: datetime, remembered: datetime) -> dict[str, bool]:
    """Workers that stopped, or were not seen since `silent`, by id: whether they stopped in order.

    Those that were last seen before `remembered` are left out, and remote ones: they may be silent for long.
    """
    rows = session.execute(_UNSEEN, {"remembered": remembered, "silent": silent})
    return {row.id: row.has_stopped for row in rows}


def seen(
    session: Session, life: Mapping[str, Any], changed: Mapping[str, Any], *, stopped: bool, now: datetime
) -> None:
    """Note that a worker lives, or that it stopped; `life` are all of its columns, `changed` those to write anew."""
    changing: dict[str, Any] = {**changed, "last_seen_at": now, "stopped_at": now if stopped else None}
    statement = insert(WORKERS).values({**life, **changing})
    # By the server's clock: a moment that was taken before the database stalled would be old when it is written.
    changing["last_seen_at"] = sa.func.clock_timestamp()
    session.execute(statement.on_conflict_do_update(index_elements=[WORKERS.c.id], set_=changing))


# In the order of their ids, as several may be written by several at once.
_TOUCH = sa.text("""
    WITH told AS (SELECT id FROM workers WHERE id = ANY(CAST(:ids AS text[])) ORDER BY id FOR NO KEY UPDATE)
    UPDATE workers
    SET last_seen_at = clock_timestamp(), stopped_at = NULL
    FROM told
    WHERE workers.id = told.id
""")
_STOP = sa.text("UPDATE workers SET stopped_at = :now WHERE id = :id AND stopped_at IS NULL")


def touch(session: Session, worker_ids: Sequence[str]) -> None:
    """Note that workers live whose rows are there."""
    session.execute(_TOUCH, {"ids": list(worker_ids)})


def stop(session: Session, worker_id: str, *, now: datetime) -> None:
    """Note that a worker stopped."""
    session.execute(_STOP, {"id": worker_id, "now": now})


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
    known = known_types()
    return [
        Orphan(type=type_, queue=queue, waiting=tasks, known_here=type_ in known)
        for (queue, type_), tasks in sorted(waiting.items())
        if not any(queue in each.queues and type_ in each.types for each in live)
    ]
