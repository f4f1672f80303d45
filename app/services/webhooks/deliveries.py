"""Deliveries: one for an event and endpoint, each sent by a task of its own; the log of them; sending again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.database import Session, array
from app.errors import Conflict, NotFound
from app.models import FINISHED, DeliveryRecord, Priority, Task, TaskRecord, WebhookDelivery, new_id
from app.models.page import Page, page_of
from app.models.task import RECORD_COLUMNS
from app.services import circuits
from app.services.circuits import DELIVERY_TYPE, Receiver
from app.services.events import Numbered
from app.services.lifecycle.transitions import UNREPLAYED
from app.services.retention import BATCH, first_id_at
from app.services.submission import Submission, draft_unchecked, store
from app.services.webhooks.endpoints import FINISHED_EVENTS
from app.services.webhooks.endpoints import read as read_webhook
from app.services.webhooks.sending import body_of, event_name, test_body

DELIVERIES = WebhookDelivery.metadata.tables["webhook_deliveries"]
TASKS = Task.metadata.tables["tasks"]
_LISTENING = sa.text("""
    SELECT id, owner_id, events, types, created_at
    FROM webhooks
    WHERE enabled AND owner_id = ANY(CAST(:owners AS uuid[]))
""")
_CALLED_BACK = sa.text(
    "SELECT id, callback_url FROM tasks WHERE id = ANY(CAST(:ids AS uuid[])) AND callback_url IS NOT NULL"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Addressed:
    """An event and who is to hear of it: an account by its endpoint, or the task's owner by the task's callback URL."""

    event: Numbered
    owner_id: UUID | None = None
    webhook_id: UUID | None = None
    url: str | None = None


def fan_out(session: Session, events: Sequence[Numbered], *, now: datetime) -> int:
    """Make the deliveries of these events, and the tasks that send them; returns how many.

    Exactly one for an event and endpoint, in the transaction of the caller. Deliveries themselves cause none.
    """
    # A replay that was undone is no failure: of that, everybody was told when it happened.
    relevant = [
        event
        for event in events
        if event.type != DELIVERY_TYPE and not UNREPLAYED.joins(event.previous_status, event.status)
    ]
    addressed = [*_for_webhooks(session, relevant), *_for_callbacks(session, relevant)]
    if not addressed:
        return 0
    tasks = _tasks(session, {each.event.task_id for each in addressed})
    rows = [
        _row(each, tasks[each.event.task_id], now)
        for each in sorted(addressed, key=lambda each: each.event.position)
        # Whose it is the task's row says, whatever the event was told.
        if each.event.task_id in tasks and each.owner_id in (None, tasks[each.event.task_id].owner_id)
    ]
    if rows:
        _store(session, rows, now)
    return len(rows)


def _for_webhooks(session: Session, events: Sequence[Numbered]) -> list[_Addressed]:
    owners = {event.owner_id for event in events if event.owner_id is not None}
    if not owners:
        return []
    listening: dict[UUID | None, list[Any]] = {}
    for webhook in session.execute(_LISTENING, {"owners": list(owners)}):
        listening.setdefault(webhook.owner_id, []).append(webhook)
    return [
        _Addressed(event=event, owner_id=webhook.owner_id, webhook_id=webhook.id)
        for event in events
        for webhook in listening.get(event.owner_id, ())
        if _hears(webhook, event)
    ]


def _hears(webhook: Any, event: Numbered) -> bool:
    return (
        event_name(event.status) in webhook.events
        and (not webhook.types or event.type in webhook.types)
        and event.at >= webhook.created_at
    )


def _for_callbacks(session: Session, events: Sequence[Numbered]) -> list[_Addressed]:
    finished = [event for event in events if event_name(event.status) in FINISHED_EVENTS]
    if not finished:
        return []
    rows = session.execute(_CALLED_BACK, {"ids": array({event.task_id for event in finished})})
    urls = {row.id: row.callback_url for row in rows}
    return [_Addressed(event=event, url=urls[event.task_id]) for event in finished if event.task_id in urls]


def _tasks(session: Session, ids: set[UUID]) -> dict[UUID, TaskRecord]:
    rows = session.execute(
        sa.select(*RECORD_COLUMNS).where(TASKS.c.id == sa.any_(sa.literal(list(ids), sa.ARRAY(sa.Uuid))))
    )
    return {row["id"]: TaskRecord(**row) for row in rows.mappings()}


def _row(to: _Addressed, task: TaskRecord, now: datetime) -> dict[str, Any]:
    return {
        "id": new_id(),
        "webhook_id": to.webhook_id,
        "owner_id": task.owner_id,
        "position": to.event.position,
        "source_task_id": to.event.task_id,
        "event": event_name(to.event.status),
        "url": to.url,
        "body": body_of(to.event, task),
        "task_id": new_id(),
        "created_at": now,
    }


def _store(
    session: Session, rows: Sequence[Mapping[str, Any]], now: datetime, *, priority: str = Priority.NORMAL
) -> None:
    session.execute(sa.insert(DELIVERIES), list(rows))
    senders = [_sender(row["id"], row["task_id"], circuits.of_delivery(row), now, priority=priority) for row in rows]
    store(session, senders, is_urgent=False)


def _sender(
    delivery_id: UUID, task_id: UUID, to: Receiver, now: datetime, *, priority: str = Priority.NORMAL
) -> TaskRecord:
    submission = Submission(
        type=DELIVERY_TYPE, payload={"delivery_id": str(delivery_id)}, concurrency_key=to.key, priority=priority
    )
    return draft_unchecked(submission, owner_id=to.owner_id, now=now, task_id=task_id)


def send_test(session: Session, webhook_id: UUID, *, owner: UUID | None, now: datetime) -> DeliveryRecord:
    """Send a test to an endpoint, before all that waits for it and whatever its circuit says.

    Raises NotFound, and Conflict for one that is disabled.
    """
    webhook = read_webhook(session, webhook_id, owner=owner)
    _check_enabled(webhook.enabled)
    delivery_id = new_id()
    row = {
        "id": delivery_id,
        "webhook_id": webhook_id,
        "owner_id": webhook.owner_id,
        "position": None,
        "source_task_id": None,
        "event": "webhook.test",
        "url": None,
        "body": test_body(str(webhook_id), now),
        "task_id": new_id(),
        "created_at": now,
    }
    circuits.try_now(session, circuits.of_webhook(webhook_id, webhook.owner_id).key, now=now)
    _store(session, [row], now, priority=Priority.HIGH)
    return read(session, delivery_id, webhook_id=webhook_id)


def send_again(
    session: Session, webhook_id: UUID, delivery_id: UUID, *, owner: UUID | None, now: datetime
) -> DeliveryRecord:
    """Send a delivery once more, with the same id and body. Raises NotFound, and Conflict while it is under way."""
    webhook = read_webhook(session, webhook_id, owner=owner, lock=True)
    _check_enabled(webhook.enabled)
    delivery = read(session, delivery_id, webhook_id=webhook_id)
    if delivery.status not in (*FINISHED, "DELETED"):
        raise Conflict(f"The delivery is {delivery.status}: it is still under way by itself.")
    task_id = new_id()
    session.execute(sa.update(DELIVERIES).where(DELIVERIES.c.id == delivery_id).values(task_id=task_id))
    to = circuits.of_webhook(webhook_id, webhook.owner_id)
    store(session, [_sender(delivery_id, task_id, to, now)], is_urgent=False)
    return read(session, delivery_id, webhook_id=webhook_id)


def _check_enabled(enabled: bool) -> None:
    if not enabled:
        raise Conflict("The webhook is disabled: enable it first (PATCH with enabled true).")


_TAKEN = {field.name for field in fields(DeliveryRecord)} - {"status", "next_attempt_at"}
_LOG = sa.select(
    *(DELIVERIES.c[name] for name in sorted(_TAKEN)),
    sa.func.coalesce(TASKS.c.status, "DELETED").label("status"),
    sa.case((TASKS.c.status == "RETRYING", TASKS.c.due_at)).label("next_attempt_at"),
).select_from(DELIVERIES.outerjoin(TASKS, TASKS.c.id == DELIVERIES.c.task_id))


def read(session: Session, delivery_id: UUID, *, webhook_id: UUID) -> DeliveryRecord:
    """One delivery of an endpoint. Raises NotFound."""
    query = _LOG.where(DELIVERIES.c.id == delivery_id, DELIVERIES.c.webhook_id == webhook_id)
    row = session.execute(query).mappings().first()
    if row is None:
        raise NotFound(f"There is no delivery {delivery_id} of this webhook; old ones are deleted.")
    return DeliveryRecord(**row)


def find(
    session: Session, webhook_id: UUID, *, owner: UUID | None, before: UUID | None, limit: int
) -> Page[DeliveryRecord]:
    """A page of deliveries, newest first. Raises NotFound."""
    read_webhook(session, webhook_id, owner=owner)
    query = _LOG.where(DELIVERIES.c.webhook_id == webhook_id).order_by(DELIVERIES.c.id.desc()).limit(limit + 1)
    if before is not None:
        query = query.where(DELIVERIES.c.id < before)
    records = [DeliveryRecord(**row) for row in session.execute(query).mappings()]
    return page_of(records, limit)


def prune(session: Session, *, before: datetime) -> int:
    """Forget a batch of deliveries that are too old; returns how many."""
    statement = sa.text("""
        DELETE FROM webhook_deliveries
        WHERE id = ANY(ARRAY(SELECT id FROM webhook_deliveries WHERE id < :first ORDER BY id LIMIT :limit))
            AND created_at < :before
        RETURNING 1
    """)
    parameters = {"first": first_id_at(before), "before": before, "limit": BATCH}
    return len(session.execute(statement, parameters).all())
