"""Who works: workers with what they run now, and the duties of the dispatcher."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from app.database import Session
from app.models import NOT_PARKED
from app.services.dispatch.workers import is_seen

GONE_SHOWN = timedelta(hours=24)
MAX_WORKERS = 200

MAX_LEASES = 20_000

_WORKERS = sa.text(f"""
    SELECT workers.id, kind, node, host, pid, concurrency, queues, version, started_at, last_seen_at, stopped_at,
        (SELECT array_agg(name ORDER BY name) FROM jsonb_object_keys(types) AS name) AS types,
        coalesce(running, 0) AS running
    FROM workers
    LEFT JOIN (
        SELECT leased_by AS id, count(*) AS running
        FROM (SELECT leased_by FROM tasks WHERE {NOT_PARKED} LIMIT :leases) AS unfinished
        WHERE leased_by IS NOT NULL
        GROUP BY 1
    ) AS leases ON leases.id = workers.id
    WHERE last_seen_at > :since
    ORDER BY stopped_at IS NOT NULL, last_seen_at DESC
    LIMIT :most
""")
_DUTIES = sa.text("SELECT name, node, last_success_at, last_error FROM duties ORDER BY name")


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerState:
    """One life of a worker; `state` is live, stopped (it said so) or silent (it has not been seen for a while)."""

    id: str
    kind: str
    node: str
    host: str
    pid: int
    concurrency: int
    queues: list[str]
    types: list[str]
    version: str
    started_at: datetime
    last_seen_at: datetime
    stopped_at: datetime | None
    running: int
    state: str


@dataclass(frozen=True, kw_only=True, slots=True)
class DutyState:
    """One duty of the dispatcher, as seen by its last run anywhere."""

    name: str
    node: str
    last_success_at: datetime | None
    last_error: str | None
    is_late: bool


def workers(session: Session, *, now: datetime) -> list[WorkerState]:
    """Workers that were seen in the last day: live ones first."""
    rows: Any = session.execute(
        _WORKERS, {"since": now - GONE_SHOWN, "most": MAX_WORKERS, "leases": MAX_LEASES}
    ).mappings()
    return [WorkerState(**{**row, "types": row["types"] or []}, state=_state(row, now)) for row in rows]


def _state(row: Any, now: datetime) -> str:
    if row["stopped_at"] is not None:
        return "stopped"
    return "live" if is_seen(row["kind"], row["last_seen_at"], now=now) else "silent"


def duties(session: Session, *, now: datetime) -> list[DutyState]:
    """The duties of the dispatcher; one is late when it should have run long ago."""
    return [
        DutyState(
            name=row.name,
            node=row.node,
            last_success_at=row.last_success_at,
            last_error=row.last_error,
            is_late=row.last_success_at is None or now - row.last_success_at > timedelta(minutes=2),
        )
        for row in session.execute(_DUTIES)
    ]
