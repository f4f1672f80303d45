"""How far the sinks have come: read when one starts, written with what it has done, shown at /sinks.

The positions of most are numbers of events; that of `audit`, which sends the audit log away, is an id of that log.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from app.database import Session, to_json

LIVE = timedelta(seconds=10)
ALARMED = timedelta(hours=1)
NAMES = ("csv", "stats", "webhooks")
AUDIT = "audit"


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a sink goes on: the last number it has taken, and what belongs to that outside of the database."""

    position: int
    state: dict[str, Any] | None


@dataclass(frozen=True, kw_only=True, slots=True)
class SinkStatus:
    """One sink as seen now; `lag_seconds` is how long ago its oldest untaken event happened, 0 when there is none.

    An event of the sink `audit` is an entry of the audit log.

    `lag_events` below zero: it stands beyond the newest event, which nothing that we do makes so.
    """

    name: str
    running: bool
    position: int
    newest_position: int
    lag_events: int
    lag_seconds: float
    last_seen_at: datetime | None
    moved_at: datetime | None
    node: str | None
    last_error: str | None
    alarm: str | None
    alarm_at: datetime | None
    is_alarmed: bool


_PLACE = sa.text("SELECT position, state FROM sinks WHERE name = :name")
_BEGIN = sa.text(
    "INSERT INTO sinks (name, position) VALUES (:name, :position) ON CONFLICT (name) DO NOTHING RETURNING position"
)
_ADVANCE = sa.text("""
    UPDATE sinks
    SET position = :position, state = CAST(:state AS jsonb), moved_at = :now, last_seen_at = :now, last_error = NULL,
        event_at = coalesce(:event_at, event_at)
    WHERE name = :name
""")
_SEEN = sa.text("UPDATE sinks SET node = :node, last_seen_at = :now WHERE name = :name")
_FAILED = sa.text("UPDATE sinks SET last_error = :error WHERE name = :name")
_ALARMED = sa.text("UPDATE sinks SET alarm = :text, alarm_at = :now WHERE name = :name")
_GO_BACK = sa.text("UPDATE sinks SET position = :position WHERE name = :name AND position > :position")
# The oldest event that a sink has not taken is the next number's; when it happened, its batch knows well enough.
_STATUS = sa.text("""
    SELECT sinks.*,
        CASE name WHEN 'audit' THEN (SELECT last_id FROM audit_chain) ELSE newest.position END AS newest_position,
        CASE name
            WHEN 'audit' THEN (SELECT at FROM audit_log WHERE id > sinks.position ORDER BY id LIMIT 1)
            ELSE (
                SELECT oldest_at FROM event_batches WHERE last_position > sinks.position ORDER BY last_position LIMIT 1
            )
        END AS waiting_since
    FROM sinks
    CROSS JOIN (SELECT coalesce(max(last_position), 0) AS position FROM event_batches) AS newest
    ORDER BY name
""")


def begin(session: Session, name: str, *, position: int) -> Place:
    """Where the sink goes on; one that never ran begins after `position`."""
    session.execute(_BEGIN, {"name": name, "position": position})
    row = session.execute(_PLACE, {"name": name}).one()
    return Place(position=row.position, state=row.state)


def advance(session: Session, name: str, place: Place, *, event_at: datetime | None, now: datetime) -> None:
    """Note what it has taken, in the transaction of what it wrote."""
    state = None if place.state is None else to_json(place.state)
    values = {"name": name, "position": place.position, "state": state, "event_at": event_at, "now": now}
    session.execute(_ADVANCE, values)


def seen(session: Session, name: str, *, node: str, now: datetime) -> None:
    """Note that it runs."""
    session.execute(_SEEN, {"name": name, "node": node, "now": now})


def failed(session: Session, name: str, error: str) -> None:
    """Note what stopped it."""
    session.execute(_FAILED, {"name": name, "error": error})


def alarm(session: Session, name: str, text: str, *, now: datetime) -> None:
    """Note that something is not as it can be without somebody's doing."""
    session.execute(_ALARMED, {"name": name, "text": text, "now": now})


def go_back(session: Session, name: str, *, position: int) -> None:
    """From beyond the ledger's newest number to that number."""
    session.execute(_GO_BACK, {"name": name, "position": position})


def known(session: Session) -> list[str]:
    """The names of all sinks that ever ran."""
    return list(session.scalars(sa.text("SELECT name FROM sinks ORDER BY name")))


def statuses(session: Session, *, now: datetime) -> list[SinkStatus]:
    """All sinks that ever ran, by name."""
    return [
        SinkStatus(
            name=row.name,
            running=row.last_seen_at is not None and now - row.last_seen_at < LIVE,
            position=row.position,
            newest_position=row.newest_position,
            lag_events=row.newest_position - row.position,
            lag_seconds=max(0.0, (now - row.waiting_since).total_seconds()) if row.waiting_since else 0.0,
            last_seen_at=row.last_seen_at,
            moved_at=row.moved_at,
            node=row.node,
            last_error=row.last_error,
            alarm=row.alarm,
            alarm_at=row.alarm_at,
            is_alarmed=row.position > row.newest_position or _is_fresh(row.alarm_at, now),
        )
        for row in session.execute(_STATUS, {})
    ]


def _is_fresh(alarm_at: datetime | None, now: datetime) -> bool:
    return alarm_at is not None and now - alarm_at < ALARMED
