"""Queues and pauses: which queues there are, and what is not worked on for now."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import sqlalchemy as sa

from app.database import Session
from app.errors import NotFound
from app.models import Pause
from taskledger_sdk.registry import known_types

Kind = Literal["queue", "type"]
PAUSES = Pause.metadata.tables["pauses"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Paused:
    """A queue or type that is paused."""

    kind: str
    name: str
    paused_at: datetime
    paused_by: str | None
    reason: str | None


def known_queues() -> set[str]:
    """The default queue and those that types name."""
    return {"tasks", *homes().values()}


def homes() -> dict[str, str]:
    """The queue that each type names."""
    return {name: task_type.queue for name, task_type in known_types().items()}


def pauses(session: Session) -> list[Paused]:
    """What is paused."""
    query = sa.select(*(PAUSES.c[name] for name in Paused.__slots__)).where(PAUSES.c.resumed_at.is_(None))
    rows = session.execute(query.order_by(PAUSES.c.kind, PAUSES.c.name)).mappings()
    return [Paused(**row) for row in rows]


_PAUSE = sa.text("""
    INSERT INTO pauses (kind, name, paused_at, paused_by, reason)
    VALUES (:kind, :name, :now, :by, :reason)
    ON CONFLICT (kind, name) DO UPDATE SET resumed_at = NULL, paused_at = excluded.paused_at,
        paused_by = excluded.paused_by, reason = excluded.reason
    WHERE pauses.resumed_at IS NOT NULL
""")
_RESUME = sa.text(
    "UPDATE pauses SET resumed_at = :now WHERE kind = :kind AND name = :name AND resumed_at IS NULL RETURNING name"
)


def pause(session: Session, kind: Kind, name: str, *, by: str | None, reason: str | None, now: datetime) -> Paused:
    """Pause a queue or a type; pausing what is paused keeps the first pause. Raises NotFound for an unknown name."""
    _check(kind, name)
    session.execute(_PAUSE, {"kind": kind, "name": name, "now": now, "by": by, "reason": reason})
    return next(each for each in pauses(session) if (each.kind, each.name) == (kind, name))


def resume(session: Session, kind: Kind, name: str, *, now: datetime) -> bool:
    """Lift a pause; False when there was none. Raises NotFound for an unknown name.

    Tasks that are on hold because their type was paused are released by a duty, in batches.
    """
    # PostgreSQL could not compare a NUL with anything.
    if "\x00" not in name and session.scalar(_RESUME, {"kind": kind, "name": name, "now": now}) is not None:
        return True  # also one whose type or queue is gone since
    _check(kind, name)
    return False


_RESUMED = sa.text("SELECT count(*) FROM pauses WHERE resumed_at IS NOT NULL")
_FORGET = sa.text("DELETE FROM pauses WHERE resumed_at < :before")


def any_resumed(session: Session) -> bool:
    """Whether a pause was lifted whose tasks may still be on hold."""
    return bool(session.scalar(_RESUMED))


def forget_resumed(session: Session, *, before: datetime) -> None:
    """All tasks of these pauses are released."""
    session.execute(_FORGET, {"before": before})


def _check(kind: Kind, name: str) -> None:
    known = known_queues() if kind == "queue" else set(known_types())
    if name not in known:
        raise NotFound(f"There is no {kind} called {name!r}; there are: {', '.join(sorted(known))}.")
