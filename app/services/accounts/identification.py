"""From a credential to the account behind it: one indexed read for a key or a token."""

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from app.database import Session
from app.services.accounts import rights
from app.services.accounts.principals import Principal, scopes_of_login
from app.services.accounts.secrets import digest
from app.services.accounts.tokens import Claims

NOTE_USE_AFTER = timedelta(minutes=1)

_BY_KEY = sa.text("""
    SELECT k.id, k.user_id, k.scopes, k.expires_at, k.last_used_at, u.role, u.max_waiting_tasks, u.allowed_types,
        u.allowed_queues, u.may_reach_outside, k.allowed_types AS key_types, k.allowed_queues AS key_queues
    FROM api_keys k
    JOIN users u ON u.id = k.user_id
    WHERE k.digest = :digest
        AND k.revoked_at IS NULL
        AND (k.expires_at IS NULL OR k.expires_at > :now)
        AND u.disabled_at IS NULL
""")
_NOTE_USE = sa.text(
    "UPDATE api_keys SET last_used_at = :now WHERE id = :id AND (last_used_at IS NULL OR last_used_at <= :before)"
)
# A log-in lives as long as its family has a token that may still be used.
_BY_TOKEN = sa.text("""
    SELECT u.id, u.role, u.max_waiting_tasks, u.allowed_types, u.allowed_queues, u.may_reach_outside
    FROM users u
    WHERE u.id = :user_id
        AND u.token_version = :version
        AND u.disabled_at IS NULL
        AND EXISTS (
            SELECT FROM refresh_tokens r
            WHERE r.family = :family
                AND r.user_id = u.id
                AND r.used_at IS NULL
                AND r.revoked_at IS NULL
                AND r.expires_at > :now
        )
""")


def by_key(session: Session, key: str, *, now: datetime, outside: bool) -> Principal | None:
    """The principal of an API key, None if it is unknown, revoked, expired or its account closed.

    Notes the use, at most once a minute. `outside`, here and below: whether accounts that no admin has decided about
    may reach outside.
    """
    row = session.connection().execute(_BY_KEY, {"digest": digest(key), "now": now}).mappings().first()
    if row is None:
        return None
    if row["last_used_at"] is None or row["last_used_at"] <= now - NOTE_USE_AFTER:
        session.connection().execute(_NOTE_USE, {"id": row["id"], "now": now, "before": now - NOTE_USE_AFTER})
    return _of_key(dict(row), outside=outside)


def _of_key(row: dict[str, Any], *, outside: bool) -> Principal:
    limited = rights.of_key(row["key_types"], row["key_queues"])
    return Principal(
        user_id=row["user_id"],
        role=row["role"],
        scopes=frozenset(row["scopes"]),
        key_id=row["id"],
        expires_at=row["expires_at"],
        max_waiting_tasks=row["max_waiting_tasks"],
        rights=(rights.of_row(row, outside=outside), *((limited,) if limited else ())),
    )


def by_claims(session: Session, claims: Claims, *, now: datetime, outside: bool) -> Principal | None:
    """The principal of an access token, None if the account, its token version or the log-in do not hold any more."""
    parameters = {"user_id": claims.user_id, "version": claims.version, "family": claims.family, "now": now}
    row = session.connection().execute(_BY_TOKEN, parameters).mappings().first()
    if row is None:
        return None
    return Principal(
        user_id=row["id"],
        role=row["role"],
        scopes=scopes_of_login(row["role"]),
        family=claims.family,
        max_waiting_tasks=row["max_waiting_tasks"],
        rights=(rights.of_row(row, outside=outside),),
    )
