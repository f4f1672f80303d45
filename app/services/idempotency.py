"""Idempotency-Key: a creating request that is repeated creates nothing, and answers what the first one made."""

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import sqlalchemy as sa

from app.database import Session
from app.errors import Gone, NotFound, Refused
from app.models.ids import new_id

T = TypeVar("T")

KEPT = timedelta(hours=24)

# The insert waits for a concurrent request with the same key; the select must then be a statement of its own, because
# only a new snapshot sees what that one committed.
_CLAIM = sa.text("""
    INSERT INTO idempotency_keys (owner, route, key, fingerprint, resource_id, created_at)
    VALUES (:owner, :route, :key, :fingerprint, :resource_id, :now)
    ON CONFLICT (owner, route, key) DO UPDATE SET fingerprint = excluded.fingerprint,
        resource_id = excluded.resource_id, created_at = excluded.created_at
    WHERE idempotency_keys.created_at < :expired
    RETURNING resource_id
""")
_CLAIM_ALL = sa.text("""
    INSERT INTO idempotency_keys (owner, route, key, fingerprint, resource_id, created_at)
    SELECT owner, route, key, fingerprint, resource_id, :now
    FROM unnest(
        CAST(:owners AS text[]), CAST(:routes AS text[]), CAST(:keys AS text[]), CAST(:fingerprints AS text[]),
        CAST(:ids AS uuid[])
    ) AS taken (owner, route, key, fingerprint, resource_id)
    ORDER BY owner, route, key
    ON CONFLICT (owner, route, key) DO UPDATE SET fingerprint = excluded.fingerprint,
        resource_id = excluded.resource_id, created_at = excluded.created_at
    WHERE idempotency_keys.created_at < :expired
    RETURNING owner, route, key
""")
_FIND_ALL = sa.text("""
    SELECT found.owner, found.route, found.key, found.fingerprint, found.resource_id
    FROM idempotency_keys AS found
    JOIN unnest(CAST(:owners AS text[]), CAST(:routes AS text[]), CAST(:keys AS text[])) AS asked (owner, route, key)
        USING (owner, route, key)
""")
_FIND = sa.text(
    "SELECT fingerprint, resource_id FROM idempotency_keys WHERE owner = :owner AND route = :route AND key = :key"
)


_LEAD_TO = sa.text(
    "UPDATE idempotency_keys SET resource_id = :resource_id WHERE owner = :owner AND route = :route AND key = :key"
)


_GIVE_BACK = sa.text("""
    DELETE FROM idempotency_keys
    WHERE owner = :owner AND route = :route AND key = :key AND resource_id = :resource_id
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """A key as it was sent: by whom, to what, with which body."""

    owner: str
    route: str
    value: str
    fingerprint: str
    older: frozenset[str] = frozenset()
    """What the fingerprint of the same body was under keys that are on their way out."""

    def is_of(self, kept: str) -> bool:
        """Whether the body is the one that was kept of the first request."""
        return kept == self.fingerprint or kept in self.older


def fingerprint(body: Any, *, secret: str = "") -> str:
    """Equal for bodies that mean the same JSON; with a secret, nobody else can try out what a body may have said."""
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), default=str).encode()
    if secret:
        return hmac.digest(secret.encode(), b"taskledger idempotency " + canonical, "sha256").hex()
    return hashlib.sha256(canonical).hexdigest()


def taken(route: str, value: str, body: Any, *, owner: str = "", secrets: Sequence[str] = ()) -> Key:
    """A key as it was sent with a body; `secrets` are given where the body is nobody's to know.

    The first of them keys what is kept; the others may have keyed what was kept before.
    """
    newest, *others = secrets or ("",)
    older = frozenset(fingerprint(body, secret=each) for each in others)
    return Key(owner=owner, route=route, value=value, fingerprint=fingerprint(body, secret=newest), older=older)


def first_use(session: Session, key: Key, resource_id: UUID, *, now: datetime) -> UUID | None:
    """Take the key for a new resource: None when it is ours, else the id of what the first request made.

    In the transaction that creates the resource; a refusal rolls both back. Raises Refused when the body differs.
    """
    named = {"owner": key.owner, "route": key.route, "key": key.value}
    values = {**named, "fingerprint": key.fingerprint, "resource_id": resource_id, "now": now, "expired": now - KEPT}
    if session.scalar(_CLAIM, values) is not None:
        return None
    first = session.execute(_FIND, named).one()
    if not key.is_of(first.fingerprint):
        raise reused("Idempotency-Key")
    made: UUID = first.resource_id
    return made


def once(
    session: Session,
    key: Key | None,
    *,
    create: Callable[[UUID], T],
    find: Callable[[UUID], T | None],
    what: str,
    now: datetime,
    id_: UUID | None = None,
) -> tuple[T, bool]:
    """Create a thing, or find what the first request with this key created; and whether it is new.

    `create` gets the id of the new thing, which is `id_` where the caller chose it; `find` returns None, or raises
    NotFound, for one that is not there any more. Raises what else they raise, Refused for a key that was used with
    another body, and Gone for a thing that has been deleted.
    """
    new = new_id() if id_ is None else id_
    first = None if key is None else first_use(session, key, new, now=now)
    if first is None:
        return create(new), True
    try:
        existing = find(first)
    except NotFound:
        existing = None
    if existing is None:
        raise Gone(f"This Idempotency-Key made the {what} {first}, which has been deleted; use a new key.")
    return existing, False


def reused(field: str) -> Refused:
    """The refusal of a key that was used with another body; `field` is where it was sent."""
    message = "was used before with another body; use a new key for a new request"
    return Refused({field: [message]}, code="idempotency_key_reused")


@dataclass(frozen=True, kw_only=True, slots=True)
class FirstUse:
    """What a key was first used for."""

    resource_id: UUID
    fingerprint: str


def first_uses(session: Session, taken: Mapping[Key, UUID], *, now: datetime) -> dict[Key, FirstUse]:
    """Take several keys, each of its own value, for new resources; returns those that were used before, and for what.

    They are taken in the order of their values, so that two batches with the same keys do not wait for each other.
    """
    keys = list(taken)
    named = {
        "owners": [key.owner for key in keys],
        "routes": [key.route for key in keys],
        "keys": [key.value for key in keys],
    }
    values = {
        **named,
        "fingerprints": [key.fingerprint for key in keys],
        "ids": list(taken.values()),
        "now": now,
        "expired": now - KEPT,
    }
    claimed = {tuple(row) for row in session.execute(_CLAIM_ALL, values)}
    if len(claimed) == len(keys):
        return {}
    uses = {
        (row.owner, row.route, row.key): FirstUse(resource_id=row.resource_id, fingerprint=row.fingerprint)
        for row in session.execute(_FIND_ALL, named)
    }
    return {key: uses[place] for key in keys if (place := (key.owner, key.route, key.value)) not in claimed}


def lead_to(session: Session, key: Key, resource_id: UUID) -> None:
    """The request with this key, which is ours, made nothing: it was answered with what was there."""
    values = {"owner": key.owner, "route": key.route, "key": key.value, "resource_id": resource_id}
    session.execute(_LEAD_TO, values)


def give_back(session: Session, key: Key, resource_id: UUID) -> None:
    """The request with this key, which is ours, was refused after all: the key is free again."""
    named = {"owner": key.owner, "route": key.route, "key": key.value, "resource_id": resource_id}
    session.execute(_GIVE_BACK, named)
