"""Idempotency-Key: a creating request that is repeated creates nothing, and answers what the first one made."""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.errors import Refused

KEPT = timedelta(hours=24)

# The insert waits for a concurrent request with the same key; the select must then be a statement of its own, because
# only a new snapshot sees what that one committed.
_CLAIM = sa.text(
    "INSERT INTO idempotency_keys (owner, route, key, fingerprint, resource_id, created_at) "
    "VALUES (:owner, :route, :key, :fingerprint, :resource_id, :now) "
    "ON CONFLICT (owner, route, key) DO UPDATE SET fingerprint = excluded.fingerprint, "
    "resource_id = excluded.resource_id, created_at = excluded.created_at "
    "WHERE idempotency_keys.created_at < :expired RETURNING resource_id"
)
_FIND = sa.text(
    "SELECT fingerprint, resource_id FROM idempotency_keys WHERE owner = :owner AND route = :route AND key = :key"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """A key as it was sent: by whom, to what, with which body."""

    owner: str
    route: str
    value: str
    fingerprint: str


def fingerprint(body: Any) -> str:
    """Equal for bodies that mean the same JSON."""
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()


def taken(route: str, value: str, body: Any, *, owner: str = "") -> Key:
    """A key as it was sent with a body."""
    return Key(owner=owner, route=route, value=value, fingerprint=fingerprint(body))


def first_use(session: Session, key: Key, resource_id: UUID, *, now: datetime) -> UUID | None:
    """Take the key for a new resource: None when it is ours, else the id of what the first request made.

    In the transaction that creates the resource; a refusal rolls both back. Raises Refused when the body differs.
    """
    named = {"owner": key.owner, "route": key.route, "key": key.value}
    values = {**named, "fingerprint": key.fingerprint, "resource_id": resource_id, "now": now, "expired": now - KEPT}
    if session.scalar(_CLAIM, values) is not None:
        return None
    first = session.execute(_FIND, named).one()
    if first.fingerprint != key.fingerprint:
        message = "was used before with another body; use a new key for a new request"
        raise Refused({"Idempotency-Key": [message]}, code="idempotency_key_reused")
    made: UUID = first.resource_id
    return made
