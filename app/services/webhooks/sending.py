"""What a delivery sends: its body, and the secrets that sign it (Standard Webhooks); what becomes of its attempts."""

import base64
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from app.clock import rfc_3339
from app.config import get_settings
from app.database import Session, to_json
from app.models import Status, TaskRecord, WebhookSecret
from app.services import circuits
from app.services.accounts.rights import check_outside, of_account
from app.services.encryption import ciphertexts
from app.services.events import Numbered
from app.services.export.event_rows import is_sensitive, shown_result
from tasks.masking import MASKED, masked

MAX_BYTES = 65_536  # of a payload or a result; receivers refuse large requests, and the task can be read
KEPT_ATTEMPTS = 50
PREFIX = "whsec_"
SECRET_BYTES = 24
OVERLAP = timedelta(hours=24)  # so long after a rotation the secret before it signs, too
SECRETS = WebhookSecret.metadata.tables["webhook_secrets"]

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


def event_name(status: str) -> str:
    """COMPLETED is task.completed."""
    return f"task.{status.lower()}"


def body_of(event: Numbered, task: TaskRecord) -> dict[str, Any]:
    """{"type", "timestamp", "data": {task}}: secrets are masked, and nothing of a sensitive type is in it.

    A payload or result that is too large is null, and `omitted` names it.
    """
    data = {
        "id": str(task.id),
        "type": task.type,
        "name": task.name,
        "status": event.status,
        "previous_status": event.previous_status,
        "payload": _shown_payload(task),
        "result": shown_result(task.type, task.result),
        "error": task.error and {"type": task.error.get("type"), "message": task.error.get("message")},
        "priority": task.priority,
        "queue": task.queue,
        "attempt": event.attempt,
        "max_retries": task.max_retries,
        "labels": task.labels,
        "waits_for": task.waits_for if event.status == Status.WAITING else None,
        "owner": task.owner_id and str(task.owner_id),
        "created_at": moment(task.created_at),
        "scheduled_at": moment(task.scheduled_at),
        "started_at": moment(task.started_at),
        "finished_at": moment(task.finished_at),
        "links": {"self": f"/api/v1/tasks/{task.id}"},
    }
    omitted = [name for name in ("payload", "result") if len(to_json(data[name]).encode()) > MAX_BYTES]
    data |= dict.fromkeys(omitted)
    return {
        "type": event_name(event.status),
        "timestamp": moment(event.at),
        "data": {**data, "omitted": omitted},
    }


def test_body(webhook_id: str, now: datetime) -> dict[str, Any]:
    """What a test sends."""
    return {"type": "webhook.test", "timestamp": moment(now), "data": {"webhook_id": webhook_id}}


def moment(at: datetime | None) -> str | None:
    """RFC 3339 in UTC."""
    return None if at is None else rfc_3339(at)


def _shown_payload(task: TaskRecord) -> Any:
    if is_sensitive(task.type) or ciphertexts.is_encrypted(task.payload):
        return MASKED
    return masked(task.type, task.payload)


def new_secret() -> str:
    """whsec_ and 24 random bytes in base64."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def kept_secret(secret: str, owner_id: UUID, *, keys: ciphertexts.Keys) -> Any:
    """As it is stored: encrypted where there is a key for that."""
    return ciphertexts.encrypted(secret, owner_id, "webhook", keys=keys) if keys else secret


def _readable(stored: Any, owner_id: UUID, *, keys: ciphertexts.Keys) -> str:
    """The secret again. Raises CannotDecrypt."""
    return str(ciphertexts.decrypted(stored, owner_id, "webhook", keys=keys))


def secrets_in_force(row: Any, owner_id: UUID, *, keys: ciphertexts.Keys, now: datetime) -> tuple[str, ...]:
    """The secrets that sign now, the newest first: after a rotation the old one does, too, for a while."""
    stored = [row.secret]
    if row.previous_secret is not None and row.previous_secret_until is not None and now < row.previous_secret_until:
        stored.append(row.previous_secret)
    return tuple(_readable(each, owner_id, keys=keys) for each in stored)


def rotate_account(
    session: Session, owner_id: UUID, *, keys: ciphertexts.Keys, now: datetime
) -> tuple[str, datetime | None]:
    """Make or rotate the secret for an account's callbacks; the new one, and until when the old one signs, too."""
    secret = new_secret()
    first = {"owner_id": owner_id, "secret": kept_secret(secret, owner_id, keys=keys), "updated_at": now}
    # Two who make the first one at once: the second waits here for the first, and then rotates.
    first_secret = postgresql.insert(SECRETS).values(first).on_conflict_do_nothing().returning(SECRETS.c.owner_id)
    if session.scalar(first_secret) is not None:
        return secret, None
    row = session.execute(sa.select(SECRETS.c.secret).where(SECRETS.c.owner_id == owner_id).with_for_update()).one()
    until = now + OVERLAP
    values = {
        "secret": kept_secret(secret, owner_id, keys=keys),
        "previous_secret": row.secret,
        "previous_secret_until": until,
        "updated_at": now,
    }
    session.execute(sa.update(SECRETS).where(SECRETS.c.owner_id == owner_id).values(values))
    return secret, until


def secrets_of_account(
    session: Session, owner_id: UUID | None, *, keys: ciphertexts.Keys, now: datetime
) -> tuple[str, ...]:
    """The secrets that sign an account's callbacks; empty while it has made none."""
    if owner_id is None:
        return ()
    row = session.execute(sa.select(SECRETS).where(SECRETS.c.owner_id == owner_id)).first()
    return () if row is None else secrets_in_force(row, owner_id, keys=keys, now=now)


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
        signing = secrets_of_account(session, row.owner_id, keys=keys, now=now)
        return Outgoing(id=row.id, url=row.callback_url, body=body, secrets=signing)
    if not row.enabled:
        raise NotDeliverable(f"the webhook is disabled ({row.disabled_reason})")
    signing = secrets_in_force(row, row.owner_id, keys=keys, now=now)
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
    to, webhook_id = circuits.of_delivery(row), row["webhook_id"]
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
