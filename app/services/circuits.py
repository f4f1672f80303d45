"""The circuit of each receiver of webhooks: closed, open after failures in a row, half-open while one delivery tries.

While it is open, deliveries wait where they are: none is lost, and none uses up an attempt.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import sqlalchemy as sa

from app.database import Session
from app.models.page import Page, page_of

DELIVERY_TYPE = "webhook_delivery"
DELIVERY_QUEUE = "webhooks"
OPENS_AFTER = 5  # attempts that failed one after another
FIRST_PAUSE, MAX_PAUSE = timedelta(seconds=30), timedelta(minutes=15)
FORGOTTEN_AFTER = timedelta(days=30)
MAX_REASON = 300
DEFAULT_PORTS = {"http": 80, "https": 443}


class State(StrEnum):
    """Of a circuit."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, kw_only=True, slots=True)
class Receiver:
    """Where deliveries go that share a circuit: a webhook, or one account's callbacks to one origin."""

    key: str
    owner_id: UUID | None
    webhook_id: UUID | None = None
    origin: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Circuit:
    """How it stands. `failures` in a row; `retry_at`: when one delivery tries again, while it is open."""

    key: str
    owner_id: UUID | None
    webhook_id: UUID | None
    origin: str | None
    state: str
    since: datetime
    failures: int
    openings: int
    failed_at: datetime | None
    retry_at: datetime | None
    reason: str | None

    def is_open(self, now: datetime) -> bool:
        """Whether no delivery may be made yet."""
        return self.state == State.OPEN and self.retry_at is not None and now < self.retry_at


def of_webhook(webhook_id: UUID, owner_id: UUID | None) -> Receiver:
    """The receiver behind a webhook. Two webhooks are two, also with one address: paths of a host differ."""
    return Receiver(key=f"webhook:{webhook_id}", owner_id=owner_id, webhook_id=webhook_id)


def of_callback(url: str, owner_id: UUID | None) -> Receiver:
    """The receiver behind a callback_url: its origin, as addresses of callbacks often differ for each task.

    One account's: what others do to a host that many use must not stop its deliveries.
    """
    origin = origin_of(url)
    return Receiver(key=f"callback:{owner_id or 'service'}:{origin}", owner_id=owner_id, origin=origin)


def of_delivery(delivery: Mapping[str, Any] | sa.RowMapping) -> Receiver:
    """Where a delivery goes, from a row of webhook_deliveries."""
    if delivery["webhook_id"] is not None:
        return of_webhook(delivery["webhook_id"], delivery["owner_id"])
    return of_callback(delivery["url"], delivery["owner_id"])


def origin_of(url: str) -> str:
    """Scheme, host and port in lower case; of what is no URL, as much of it as a key may have. Pure."""
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        return url[:200]
    scheme = parts.scheme.lower()
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}:{port or DEFAULT_PORTS.get(scheme, 0)}"


_COLUMNS = ", ".join(Circuit.__slots__)
_READ = sa.text(f"SELECT {_COLUMNS} FROM webhook_endpoints WHERE key = ANY(CAST(:keys AS text[]))")
_FIND = sa.text(f"""
    SELECT {_COLUMNS}
    FROM webhook_endpoints
    WHERE webhook_id IS NULL
        AND (CAST(:owner AS uuid) IS NULL OR owner_id = :owner)
        AND (CAST(:after AS text) IS NULL OR key > :after)
    ORDER BY key
    LIMIT :limit
""")
_COUNT = sa.text("SELECT state, count(*) AS n FROM webhook_endpoints GROUP BY state")
_WELL = sa.text("""
    UPDATE webhook_endpoints
    SET since = CASE WHEN state = 'closed' THEN since ELSE :now END, state = 'closed', failures = 0, openings = 0,
        failed_at = NULL, retry_at = NULL, reason = NULL
    WHERE key = :key AND (failures > 0 OR state <> 'closed')
    RETURNING key
""")
_FORGET_CALLBACK = sa.text("DELETE FROM webhook_endpoints WHERE key = :key AND webhook_id IS NULL")
# An attempt that began before the circuit opened changes nothing but the count: the pause is not for each of them.
_OPENS = "(held.state = 'half_open' OR (held.state = 'closed' AND held.failures + 1 >= :opens_after))"
_FAILED = sa.text(f"""
    INSERT INTO webhook_endpoints AS held (
        key, owner_id, webhook_id, origin, state, since, failures, openings, failed_at, reason
    )
    VALUES (:key, :owner_id, :webhook_id, :origin, 'closed', :now, 1, 0, :now, :reason)
    ON CONFLICT (key) DO UPDATE SET failures = held.failures + 1, failed_at = :now, reason = :reason,
        state = CASE WHEN {_OPENS} THEN 'open' ELSE held.state END,
        since = CASE WHEN {_OPENS} THEN :now ELSE held.since END,
        openings = held.openings + CASE WHEN {_OPENS} THEN 1 ELSE 0 END,
        retry_at = CASE
            WHEN {_OPENS} THEN CAST(:now AS timestamptz)
                + least(:longest, :first * power(2, least(held.openings, 20))) * interval '1 second'
            ELSE held.retry_at
        END
    RETURNING state, since = :now AND state = 'open' AS has_opened, failures, retry_at
""")
_PROBE = sa.text("""
    UPDATE webhook_endpoints
    SET state = 'half_open', since = :now
    WHERE key = ANY(CAST(:keys AS text[])) AND state = 'open'
""")
_TRY_NOW = sa.text("UPDATE webhook_endpoints SET retry_at = :now WHERE key = :key AND state = 'open'")
_FORGET = sa.text("DELETE FROM webhook_endpoints WHERE key = :key")
_PRUNE = sa.text("""
    DELETE FROM webhook_endpoints
    WHERE key = ANY(
        ARRAY(SELECT key FROM webhook_endpoints WHERE webhook_id IS NULL AND failed_at < :before LIMIT :limit)
    )
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class Failed:
    """What a failed attempt did to the circuit."""

    has_opened: bool
    failures: int
    retry_at: datetime | None


def read(session: Session, keys: Collection[str]) -> dict[str, Circuit]:
    """The circuits of these receivers, by key; those that never failed have none."""
    if not keys:
        return {}
    return {row["key"]: Circuit(**row) for row in session.execute(_READ, {"keys": list(keys)}).mappings()}


def of_callbacks(session: Session, *, owner: UUID | None, after: str | None, limit: int) -> Page[Circuit]:
    """A page of the circuits of callbacks, ordered by key."""
    rows = session.execute(_FIND, {"owner": owner, "after": after, "limit": limit + 1}).mappings()
    circuits = [Circuit(**row) for row in rows]
    return page_of(circuits, limit, lambda circuit: circuit.key)


def counts(session: Session) -> dict[str, int]:
    """How many circuits are in which state; of receivers that never failed, nothing."""
    return {row.state: row.n for row in session.execute(_COUNT)}


def succeeded(session: Session, key: str, *, now: datetime) -> None:
    """A delivery was made: the circuit is closed."""
    if session.scalar(_WELL, {"key": key, "now": now}) is not None:
        session.execute(_FORGET_CALLBACK, {"key": key})  # there may be any number of origins


def failed(session: Session, to: Receiver, reason: str, *, now: datetime) -> Failed:
    """An attempt to deliver failed."""
    values: dict[str, Any] = {name: getattr(to, name) for name in Receiver.__slots__}
    row = session.execute(
        _FAILED,
        {
            **values,
            "reason": reason[:MAX_REASON],
            "now": now,
            "opens_after": OPENS_AFTER,
            "first": FIRST_PAUSE.total_seconds(),
            "longest": MAX_PAUSE.total_seconds(),
        },
    ).one()
    return Failed(has_opened=row.has_opened, failures=row.failures, retry_at=row.retry_at)


def probe(session: Session, keys: Collection[str], *, now: datetime) -> None:
    """One delivery is on its way to each of these: they are half-open."""
    if keys:
        session.execute(_PROBE, {"keys": list(keys), "now": now})


def try_now(session: Session, key: str, *, now: datetime) -> None:
    """Let a delivery try at once where the circuit is open."""
    session.execute(_TRY_NOW, {"key": key, "now": now})


def forget(session: Session, key: str) -> None:
    """Begin anew, as if no attempt had failed."""
    session.execute(_FORGET, {"key": key})


def prune(session: Session, *, now: datetime, limit: int) -> None:
    """Forget callbacks' circuits of which nothing was heard for long."""
    session.execute(_PRUNE, {"before": now - FORGOTTEN_AFTER, "limit": limit})
