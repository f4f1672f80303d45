"""API keys: made, listed, revoked."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from app.database import Session
from app.errors import NotFound, Refused
from app.models import ApiKey, ApiKeyRecord, Scope, new_id
from app.models.page import Page, page_of
from app.services import idempotency
from app.services.accounts.secrets import digest, new_api_key, shown
from app.services.owners import lock_owner_count

KEYS = ApiKey.metadata.tables["api_keys"]
MAX_KEYS = 100
RECORD_COLUMNS = [KEYS.c[name] for name in ApiKeyRecord.__slots__]


def create(
    session: Session,
    user_id: UUID,
    *,
    name: str,
    scopes: Collection[str],
    expires_at: datetime | None,
    now: datetime,
    is_admin: bool,
    allowed_types: Collection[str] | None = None,
    allowed_queues: Collection[str] | None = None,
    key: str | None = None,
    once: idempotency.Key | None = None,
) -> tuple[ApiKeyRecord, str | None]:
    """Make a key; it is returned here and never again. `key` is given where it was made elsewhere (the embedded mode).

    `allowed_types` and `allowed_queues` limit what may be submitted with it; None does not. The second use of an
    Idempotency-Key, `once`, returns the record that the first one made, without the key. Raises Refused for the scope
    `admin` without being one, an end in the past, and more keys than anybody can watch.
    """
    if Scope.ADMIN in scopes and not is_admin:
        raise Refused({"scopes": ["admin needs an admin's account"]})
    if Scope.WORK in scopes and not is_admin:
        raise Refused({"scopes": ["work needs an admin's account: its holder gets everybody's payloads of its types"]})
    if Scope.WORK in scopes and Scope.ADMIN not in scopes and allowed_types is None:
        raise Refused({"allowed_types": ["must name the types that a key with the scope work may work on"]})
    if expires_at is not None and expires_at <= now:
        raise Refused({"expires_at": ["must be in the future"]})
    key_id = new_id()
    first = None if once is None else idempotency.first_use(session, once, key_id, now=now)
    if first is not None:
        return _read(session, first), None
    lock_owner_count(session, "api_keys", user_id)
    count = sa.select(sa.func.count()).where(KEYS.c.user_id == user_id, KEYS.c.revoked_at.is_(None))
    if (session.scalar(count) or 0) >= MAX_KEYS:
        raise Refused({"name": [f"there are {MAX_KEYS} keys already; revoke one that is not used"]})
    secret = key or new_api_key()
    values = {
        "id": key_id,
        "user_id": user_id,
        "name": name,
        "prefix": shown(secret),
        "digest": digest(secret),
        "scopes": sorted(set(scopes)),
        "allowed_types": None if allowed_types is None else sorted(set(allowed_types)),
        "allowed_queues": None if allowed_queues is None else sorted(set(allowed_queues)),
        "created_at": now,
        "expires_at": expires_at,
    }
    row = session.execute(sa.insert(KEYS).values(values).returning(*RECORD_COLUMNS)).mappings().one()
    return ApiKeyRecord(**row), secret


def _read(session: Session, key_id: UUID) -> ApiKeyRecord:
    row = session.execute(sa.select(*RECORD_COLUMNS).where(KEYS.c.id == key_id)).mappings().one()
    return ApiKeyRecord(**row)


def find(session: Session, user_id: UUID, *, before: UUID | None, limit: int) -> Page[ApiKeyRecord]:
    """A page of an account's keys, newest first, revoked ones included."""
    query = sa.select(*RECORD_COLUMNS).where(KEYS.c.user_id == user_id).order_by(KEYS.c.id.desc()).limit(limit + 1)
    if before is not None:
        query = query.where(KEYS.c.id < before)
    records = [ApiKeyRecord(**row) for row in session.execute(query).mappings()]
    return page_of(records, limit)


def revoke(session: Session, key_id: UUID, *, owner: UUID | None, now: datetime) -> ApiKeyRecord:
    """Refuse a key from now on; again is no error. `owner` None: anybody's. Raises NotFound."""
    query = sa.update(KEYS).where(KEYS.c.id == key_id).values(revoked_at=sa.func.coalesce(KEYS.c.revoked_at, now))
    if owner is not None:
        query = query.where(KEYS.c.user_id == owner)
    row = session.execute(query.returning(*RECORD_COLUMNS)).mappings().first()
    if row is None:
        raise NotFound(f"There is no API key {key_id}: GET /api/v1/api-keys lists yours.")
    return ApiKeyRecord(**row)


def is_known(session: Session, key: str) -> bool:
    """Whether this very key was stored, revoked or not."""
    return session.scalar(sa.select(KEYS.c.id).where(KEYS.c.digest == digest(key))) is not None
