"""Signing secrets as the Standard Webhooks specification wants them: made, kept, rotated with an overlap."""

import base64
import secrets
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from app.database import Session
from app.models import WebhookSecret
from app.services.encryption import ciphertexts

PREFIX = "whsec_"
SECRET_BYTES = 24
OVERLAP = timedelta(hours=24)
SECRETS = WebhookSecret.metadata.tables["webhook_secrets"]


def new_secret() -> str:
    """whsec_ and 24 random bytes in base64."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def kept(secret: str, owner_id: UUID, *, keys: ciphertexts.Keys) -> Any:
    """As it is stored: encrypted where there is a key for that."""
    return ciphertexts.encrypted(secret, owner_id, "webhook", keys=keys) if keys else secret


def readable(stored: Any, owner_id: UUID, *, keys: ciphertexts.Keys) -> str:
    """The secret again. Raises CannotDecrypt."""
    return str(ciphertexts.decrypted(stored, owner_id, "webhook", keys=keys))


def in_force(row: Any, owner_id: UUID, *, keys: ciphertexts.Keys, now: datetime) -> tuple[str, ...]:
    """The secrets that sign now, the newest first: after a rotation the old one does, too, for a while."""
    stored = [row.secret]
    if row.previous_secret is not None and row.previous_secret_until is not None and now < row.previous_secret_until:
        stored.append(row.previous_secret)
    return tuple(readable(each, owner_id, keys=keys) for each in stored)


def rotate_account(
    session: Session, owner_id: UUID, *, keys: ciphertexts.Keys, now: datetime
) -> tuple[str, datetime | None]:
    """Make or rotate the secret for an account's callbacks; the new one, and until when the old one signs, too."""
    secret = new_secret()
    first = {"owner_id": owner_id, "secret": kept(secret, owner_id, keys=keys), "updated_at": now}
    # Two who make the first one at once: the second waits here for the first, and then rotates.
    first_secret = postgresql.insert(SECRETS).values(first).on_conflict_do_nothing().returning(SECRETS.c.owner_id)
    if session.scalar(first_secret) is not None:
        return secret, None
    row = session.execute(sa.select(SECRETS.c.secret).where(SECRETS.c.owner_id == owner_id).with_for_update()).one()
    until = now + OVERLAP
    values = {
        "secret": kept(secret, owner_id, keys=keys),
        "previous_secret": row.secret,
        "previous_secret_until": until,
        "updated_at": now,
    }
    session.execute(sa.update(SECRETS).where(SECRETS.c.owner_id == owner_id).values(values))
    return secret, until


def of_account(session: Session, owner_id: UUID | None, *, keys: ciphertexts.Keys, now: datetime) -> tuple[str, ...]:
    """The secrets that sign an account's callbacks; empty while it has made none."""
    if owner_id is None:
        return ()
    row = session.execute(sa.select(SECRETS).where(SECRETS.c.owner_id == owner_id)).first()
    return () if row is None else in_force(row, owner_id, keys=keys, now=now)
