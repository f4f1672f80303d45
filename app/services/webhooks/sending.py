"""What the task that delivers needs to know, and what becomes of its attempts."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.config import get_settings
from app.database import Session, to_json
from app.services import circuits
from app.services.accounts.rights import check_outside, of_account
from app.services.encryption import ciphertexts
from app.services.webhooks import secrets
from app.services.webhooks.deliveries import receiver_of

MAX_ERROR = 500
KEPT_ATTEMPTS = 50

_DELIVERY = sa.text("""
    SELECT d.id, d.webhook_id, d.owner_id, d.body, d.task_id, d.url AS callback_url, w.url, w.enabled, w.secret,
        w.disabled_reason, w.previous_secret, w.previous_secret_until
    FROM webhook_deliveries AS d
    LEFT JOIN webhooks AS w ON w.id = d.webhook_id
    WHERE d.id = :id
""")
_NOTE = sa.text("""
    UPDATE webhook_deliveries
    SET delivered_at = CASE WHEN :accepted THEN coalesce(delivered_at, :now) ELSE delivered_at END, attempts = CASE
        WHEN jsonb_array_length(attempts) < :most THEN attempts || CAST(:attempt AS jsonb)
        ELSE (attempts - 0) || CAST(:attempt AS jsonb) END
    WHERE id = :id
    RETURNING webhook_id, owner_id, url
""")
_WELL = sa.text("UPDATE webhooks SET failing_since = NULL WHERE id = :id AND failing_since IS NOT NULL")
_FAILING = sa.text("UPDATE webhooks SET failing_since = :now WHERE id = :id AND failing_since IS NULL")
_DISABLE = sa.text("""
    UPDATE webhooks
    SET enabled = false, disabled_at = :now, disabled_reason = :reason
    WHERE id = :id AND enabled AND (:at_once OR failing_since <= :before)
    RETURNING id
""")


class NotDeliverable(Exception):
    """There is nothing to send any more: the endpoint is gone or disabled, or the task is not the one that sends."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outgoing:
    """One delivery as it is sent; without secrets it is sent unsigned."""

    id: UUID
    url: str
    body: bytes
    secrets: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Noted:
    """What became of an endpoint by an attempt; `retry_at`: its circuit has opened until then."""

    receiver: str | None = None
    disabled: bool = False
    retry_at: datetime | None = None


def outgoing(session: Session, delivery_id: UUID, *, task_id: UUID, keys: ciphertexts.Keys, now: datetime) -> Outgoing:
    """What the task is to send. Raises NotDeliverable, or TypeNotAllowed for an account that may not reach outside."""
    row = session.execute(_DELIVERY, {"id": delivery_id}).first()
    if row is None:
        raise NotDeliverable("the webhook was deleted, or the delivery is no longer kept")
    if row.task_id != task_id:
        raise NotDeliverable("another task makes this delivery")
    check_outside(of_account(session, row.owner_id, settings=get_settings()))
    body = to_json(row.body).encode()
    if row.webhook_id is None:
        signing = secrets.of_account(session, row.owner_id, keys=keys, now=now)
        return Outgoing(id=row.id, url=row.callback_url, body=body, secrets=signing)
    if not row.enabled:
        raise NotDeliverable(f"the webhook is disabled ({row.disabled_reason})")
    signing = secrets.in_force(row, row.owner_id, keys=keys, now=now)
    return Outgoing(id=row.id, url=row.url, body=body, secrets=signing)


def note_attempt(
    session: Session,
    delivery_id: UUID,
    attempt: dict[str, Any],
    *,
    accepted: bool,
    gone: bool,
    disable_after: timedelta | None,
    now: datetime,
) -> Noted:
    """Add an attempt to the log, and to its receiver's circuit; says what that has changed.

    An endpoint is disabled when it says that it is gone, or when no attempt has succeeded for `disable_after`.
    """
    values = {"id": delivery_id, "accepted": accepted, "now": now, "attempt": to_json([attempt]), "most": KEPT_ATTEMPTS}
    row = session.execute(_NOTE, values).mappings().first()
    if row is None:
        return Noted()
    to, webhook_id = receiver_of(row), row["webhook_id"]
    if accepted:
        session.execute(_WELL, {"id": webhook_id})
        circuits.succeeded(session, to.key, now=now)
        return Noted(receiver=to.key)
    session.execute(_FAILING, {"id": webhook_id, "now": now})
    if _disable(session, webhook_id, gone=gone, disable_after=disable_after, now=now):
        circuits.forget(session, to.key)
        return Noted(receiver=to.key, disabled=True)
    failed = circuits.failed(session, to, attempt.get("error") or f"it answered {attempt.get('status')}", now=now)
    return Noted(receiver=to.key, retry_at=failed.retry_at if failed.has_opened else None)


def _disable(
    session: Session, webhook_id: UUID | None, *, gone: bool, disable_after: timedelta | None, now: datetime
) -> bool:
    if disable_after is None and not gone:
        return False
    before = now - (disable_after or timedelta(0))
    reason = "it answered 410 Gone" if gone else f"every attempt failed for {disable_after}"
    named = {"id": webhook_id, "now": now, "reason": reason, "at_once": gone, "before": before}
    return session.scalar(_DISABLE, named) is not None
