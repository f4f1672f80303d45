"""Writing the audit log, and reading it."""

import hmac
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.database import Session
from app.models import AuditEntry, AuditRecord
from app.models.page import Page, page_of

LOG = AuditEntry.metadata.tables["audit_log"]
SHOWN = tuple(LOG.c[field.name] for field in fields(AuditRecord))


@dataclass(frozen=True, kw_only=True, slots=True)
class Actor:
    """Who does something, with what, and from where; all None: the command line."""

    user_id: UUID | None = None
    key_id: UUID | None = None
    address: str | None = None
    request_id: str | None = None


COMMAND_LINE = Actor()


def record(
    session: Session, action: str, actor: Actor, /, *, now: datetime, subject: str | None = None, **detail: Any
) -> None:
    """Add an entry in the transaction of what it tells of: both are kept, or neither. `detail` holds no secret."""
    values = {
        "at": now,
        "action": action,
        "actor_id": actor.user_id,
        "key_id": actor.key_id,
        "subject": subject,
        "address": actor.address,
        "request_id": actor.request_id,
        "detail": detail,
    }
    session.execute(sa.insert(LOG).values(values))


def digest_of(email: str, *, secret_key: str) -> str:
    """An address of a log-in, keyed: entries about one are alike, whatever its case; nobody can read it. Hex."""
    key = hmac.digest(secret_key.encode(), b"taskledger audit log address 1", "sha256")
    return hmac.digest(key, email.strip().lower().encode(errors="surrogatepass"), "sha256").hex()


def find(
    session: Session, *, action: str | None, actor_id: UUID | None, before: int | None, limit: int
) -> Page[AuditRecord]:
    """A page of entries, newest first."""
    query = sa.select(*SHOWN).order_by(LOG.c.id.desc()).limit(limit + 1)
    if before is not None:
        query = query.where(LOG.c.id < before)
    if action is not None:
        query = query.where(LOG.c.action == action)
    if actor_id is not None:
        query = query.where(LOG.c.actor_id == actor_id)
    records = [AuditRecord(**row) for row in session.execute(query).mappings()]
    return page_of(records, limit)
