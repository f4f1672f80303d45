"""Accounts as admins see them: list, read, change role, close, set a quota."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.database import Session
from app.errors import Conflict, NotFound
from app.models import Role, UserRecord
from app.models.page import Page, page_of
from app.services.accounts import addresses
from app.services.accounts.registration import RECORD_COLUMNS, USERS
from app.services.accounts.sessions import end_all
from app.services.sql import folding

CHANGEABLE = (
    "name", "role", "max_waiting_tasks", "max_stored_bytes", "allowed_types", "allowed_queues", "may_reach_outside",
)  # fmt: skip
ADMINS = 7_461_736_002  # any constant that is ours alone: two admins do not demote each other at the same moment


def read(session: Session, user_id: UUID) -> UserRecord:
    """One account. Raises NotFound."""
    row = session.execute(sa.select(*RECORD_COLUMNS).where(USERS.c.id == user_id)).mappings().first()
    if row is None:
        raise NotFound(f"There is no account {user_id}: GET /api/v1/users lists them.")
    return UserRecord(**row)


def by_email(session: Session, email: str) -> UserRecord | None:
    """The account of an e-mail address, whatever its case."""
    query = sa.select(*RECORD_COLUMNS).where(addresses.is_of(email))
    row = session.execute(query).mappings().first()
    return None if row is None else UserRecord(**row)


def password_hash(session: Session, user_id: UUID) -> str | None:
    """The hash of an open account's password, locked until the transaction ends; None for a closed one and for none."""
    query = sa.select(USERS.c.password_hash).where(USERS.c.id == user_id, USERS.c.disabled_at.is_(None))
    digest: str | None = session.scalar(query.with_for_update())
    return digest


def emails(session: Session, ids: Collection[UUID]) -> dict[UUID, str]:
    """E-mail addresses by account; an unknown id is left out."""
    query = sa.select(USERS.c.id, USERS.c.email).where(USERS.c.id.in_(ids))
    return {row.id: row.email for row in session.execute(query)}


def find(session: Session, *, text: str | None, before: UUID | None, limit: int) -> Page[UserRecord]:
    """A page of accounts, newest first, whose name or e-mail address holds the text."""
    query = sa.select(*RECORD_COLUMNS).order_by(USERS.c.id.desc()).limit(limit + 1)
    if before is not None:
        query = query.where(USERS.c.id < before)
    if text:
        places = (USERS.c.name, USERS.c.email)
        query = query.where(folding.holds(session, text, places))
    records = [UserRecord(**row) for row in session.execute(query).mappings()]
    return page_of(records, limit)


def change(session: Session, user_id: UUID, fields: Mapping[str, Any], *, now: datetime) -> UserRecord:
    """Change role, name, is_disabled, quotas or rights; what is left out stays. Raises NotFound or Conflict.

    A new role or a closed account ends every log-in of it at once. The last admin stays one.
    """
    session.execute(sa.select(sa.func.pg_advisory_xact_lock(ADMINS)))
    old = read(session, user_id)
    values = {name: fields[name] for name in CHANGEABLE if name in fields}
    if "is_disabled" in fields and fields["is_disabled"] != (old.disabled_at is not None):
        values["disabled_at"] = now if fields["is_disabled"] else None
    if _was_admin(old) and (values.get("role", Role.ADMIN) != Role.ADMIN or values.get("disabled_at")):
        _check_not_last_admin(session, user_id)
    if values:
        session.execute(sa.update(USERS).where(USERS.c.id == user_id).values(**values, updated_at=now))
    if values.get("role", old.role) != old.role or values.get("disabled_at"):
        end_all(session, user_id, now=now)
    return read(session, user_id)


def _was_admin(user: UserRecord) -> bool:
    return user.role == Role.ADMIN and user.disabled_at is None


def _check_not_last_admin(session: Session, user_id: UUID) -> None:
    others = sa.select(USERS.c.id).where(
        USERS.c.role == Role.ADMIN.value, USERS.c.disabled_at.is_(None), USERS.c.id != user_id
    )
    if session.execute(others.limit(1)).first() is None:
        raise Conflict("This is the last open admin account: make another one an admin first.")
