"""Checkpoints: what a handler has told of how far it is, for the next attempt of its task to begin with."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.database import Session, from_json
from app.services.lifecycle import Claim

NAME = "#checkpoint"  # no handler's own name begins like this

# The lease is looked at under a lock: who takes it away waits, or has done so before.
_WRITE = """
    WITH given AS (
        SELECT *
        FROM unnest(CAST(:ids AS uuid[]), CAST(:leases AS uuid[]), CAST(:texts AS text[])) AS given (id, lease, text)
    ), held AS (
        SELECT tasks.id, given.text
        FROM tasks JOIN given USING (id, lease)
        ORDER BY tasks.id
        FOR SHARE OF tasks {skip}
    )
    INSERT INTO task_steps (task_id, name, seq, kind, state, result, ended_at)
    SELECT id, :name, 0, 'checkpoint', 'DONE', CAST(text AS jsonb), clock_timestamp()
    FROM held
    ON CONFLICT (task_id, name) DO UPDATE SET result = excluded.result, ended_at = excluded.ended_at
    RETURNING task_id
"""
WRITE = sa.text(_WRITE.format(skip=""))
WRITE_FREE = sa.text(_WRITE.format(skip="SKIP LOCKED"))
READ = sa.text("SELECT result::text AS text, ended_at FROM task_steps WHERE task_id = :id AND name = :name")
READ_ALL = sa.text(
    "SELECT task_id, result::text AS text FROM task_steps WHERE task_id = ANY(CAST(:ids AS uuid[])) AND name = :name"
)
TOLD = sa.text(
    "SELECT ended_at, octet_length(result::text) AS bytes FROM task_steps WHERE task_id = :id AND name = :name"
)
FORGET = sa.text("DELETE FROM task_steps WHERE task_id = ANY(CAST(:ids AS uuid[])) AND name = :name")


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """The newest checkpoint of a task, as its row has it."""

    value: Any
    at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What is told of a checkpoint to whoever asks why a task is where it is."""

    at: datetime
    bytes: int


def write(session: Session, kept: Sequence[tuple[Claim, str]], *, waits: bool) -> set[UUID]:
    """Keep these values (JSON text) in place of older ones, for claims that hold their lease; returns their tasks.

    Ids that are not returned have lost their lease or, unless it `waits`, are locked by somebody.
    """
    if not kept:
        return set()
    parameters = {
        "ids": [claim.id for claim, _ in kept],
        "leases": [claim.lease for claim, _ in kept],
        "texts": [text for _, text in kept],
        "name": NAME,
    }
    return set(session.scalars(WRITE if waits else WRITE_FREE, parameters))


def read(session: Session, task_id: UUID) -> Kept | None:
    """The newest checkpoint of a task; None where it has none."""
    row = session.execute(READ, {"id": task_id, "name": NAME}).first()
    return None if row is None else Kept(value=from_json(row.text), at=row.ended_at)


def read_all(session: Session, task_ids: Sequence[UUID]) -> dict[UUID, Any]:
    """The newest checkpoints of those of the tasks that have one."""
    rows = session.execute(READ_ALL, {"ids": list(task_ids), "name": NAME})
    return {row.task_id: from_json(row.text) for row in rows}


def told(session: Session, task_id: UUID) -> Told | None:
    """When it was written, and how long it is."""
    row = session.execute(TOLD, {"id": task_id, "name": NAME}).first()
    return None if row is None else Told(at=row.ended_at, bytes=row.bytes)


def forget(session: Session, task_ids: Sequence[UUID]) -> None:
    """The next attempts of these tasks begin from nothing, if there are any."""
    session.execute(FORGET, {"ids": list(task_ids), "name": NAME})
