"""The endpoints of an account: making, changing, reading, rotating, disabling."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.database import Session
from app.errors import Gone, NotFound, Refused
from app.models import Status, Webhook, WebhookRecord, new_id
from app.models.page import Page, page_of
from app.services import circuits, idempotency
from app.services.circuits import Circuit
from app.services.encryption import ciphertexts
from app.services.idempotency import Key
from app.services.owners import lock_owner_count
from app.services.webhooks.sending import OVERLAP, kept_secret, new_secret

MAX_PER_ACCOUNT = 50
EVENTS = tuple(f"task.{status.value.lower()}" for status in Status)
FINISHED_EVENTS = ("task.completed", "task.failed", "task.cancelled")
WEBHOOKS = Webhook.metadata.tables["webhooks"]
COLUMNS = tuple(WEBHOOKS.c[field.name] for field in fields(WebhookRecord))


@dataclass(frozen=True, kw_only=True, slots=True)
class NewWebhook:
    """What a caller asks for; no `types` means all."""

    url: str
    events: tuple[str, ...] = FINISHED_EVENTS
    types: tuple[str, ...] = ()
    description: str | None = None


def create(
    session: Session, new: NewWebhook, *, owner_id: UUID, key: Key | None, keys: ciphertexts.Keys, now: datetime
) -> tuple[WebhookRecord, str | None]:
    """Store an endpoint; returns it and its secret, which is shown this once.

    The second use of an Idempotency-Key returns the first endpoint, without the secret. Raises Refused, and
    Gone for an endpoint that has been deleted since.
    """
    webhook_id = new_id()
    first = None if key is None else idempotency.first_use(session, key, webhook_id, now=now)
    if first is not None:
        return _first(session, first, owner_id), None
    lock_owner_count(session, "webhooks", owner_id)
    count = session.scalar(sa.select(sa.func.count()).select_from(WEBHOOKS).where(WEBHOOKS.c.owner_id == owner_id))
    if (count or 0) >= MAX_PER_ACCOUNT:
        raise Refused({"url": [f"an account has at most {MAX_PER_ACCOUNT} webhooks; delete one first"]})
    secret = new_secret()
    values = {
        "id": webhook_id,
        "owner_id": owner_id,
        "url": new.url,
        "events": list(new.events),
        "types": list(new.types),
        "description": new.description,
        "secret": kept_secret(secret, owner_id, keys=keys),
        "enabled": True,
        "created_at": now,
        "updated_at": now,
    }
    session.execute(sa.insert(WEBHOOKS).values(values))
    return read(session, webhook_id, owner=owner_id), secret


def _first(session: Session, webhook_id: UUID, owner_id: UUID) -> WebhookRecord:
    try:
        return read(session, webhook_id, owner=owner_id)
    except NotFound:
        raise Gone(
            f"This Idempotency-Key made the webhook {webhook_id}, which has been deleted; use a new key."
        ) from None


def read(session: Session, webhook_id: UUID, *, owner: UUID | None, lock: bool = False) -> WebhookRecord:
    """One endpoint; `owner` None sees everybody's. Raises NotFound."""
    query = sa.select(*COLUMNS).where(WEBHOOKS.c.id == webhook_id)
    row = session.execute(query.with_for_update() if lock else query).mappings().first()
    if row is None or (owner is not None and row["owner_id"] != owner):
        raise NotFound(f"There is no webhook {webhook_id}: check the id; it may also have been deleted.")
    return WebhookRecord(**row)


def circuits_of(session: Session, webhooks: Iterable[WebhookRecord]) -> dict[UUID, Circuit]:
    """How the circuits of endpoints stand, by endpoint; none for those that no attempt has ever failed at."""
    keys = {circuits.of_webhook(each.id, each.owner_id).key: each.id for each in webhooks}
    return {keys[key]: circuit for key, circuit in circuits.read(session, keys).items()}


def find(session: Session, *, owner: UUID | None, before: UUID | None, limit: int) -> Page[WebhookRecord]:
    """A page of webhooks, newest first."""
    query = sa.select(*COLUMNS).order_by(WEBHOOKS.c.id.desc()).limit(limit + 1)
    if owner is not None:
        query = query.where(WEBHOOKS.c.owner_id == owner)
    if before is not None:
        query = query.where(WEBHOOKS.c.id < before)
    records = [WebhookRecord(**row) for row in session.execute(query).mappings()]
    return page_of(records, limit)


def change(
    session: Session, webhook_id: UUID, changes: Mapping[str, Any], *, owner: UUID | None, now: datetime
) -> WebhookRecord:
    """Change url, events, types, description or enabled; what is left out stays. Raises NotFound.

    Enabling forgets past failures. What was not sent while it was disabled is not sent later.
    """
    read(session, webhook_id, owner=owner, lock=True)
    values: dict[str, Any] = {**changes, "updated_at": now}
    if changes.get("enabled") is True:
        values |= {"disabled_at": None, "disabled_reason": None, "failing_since": None}
    elif changes.get("enabled") is False:
        values |= {"disabled_at": now, "disabled_reason": "disabled by its owner"}
    session.execute(sa.update(WEBHOOKS).where(WEBHOOKS.c.id == webhook_id).values(values))
    if "url" in changes or "enabled" in changes:
        # Another address has done nothing yet; and what waits for one that is disabled shall end, not wait.
        circuits.forget(session, circuits.of_webhook(webhook_id, None).key)
    return read(session, webhook_id, owner=owner)


def delete(session: Session, webhook_id: UUID, *, owner: UUID | None) -> None:
    """Forget an endpoint and its delivery log; deliveries that wait are not made. Raises NotFound."""
    read(session, webhook_id, owner=owner, lock=True)
    session.execute(sa.delete(WEBHOOKS).where(WEBHOOKS.c.id == webhook_id))


def rotate(
    session: Session, webhook_id: UUID, *, owner: UUID | None, keys: ciphertexts.Keys, now: datetime
) -> tuple[WebhookRecord, str]:
    """Give an endpoint a new secret; the one before signs, too, for a day. Raises NotFound."""
    record = read(session, webhook_id, owner=owner, lock=True)
    secret = new_secret()
    values = {
        "previous_secret": WEBHOOKS.c.secret,
        "previous_secret_until": now + OVERLAP,
        "secret": kept_secret(secret, record.owner_id, keys=keys),
        "updated_at": now,
    }
    session.execute(sa.update(WEBHOOKS).where(WEBHOOKS.c.id == webhook_id).values(values))
    return read(session, webhook_id, owner=owner), secret
