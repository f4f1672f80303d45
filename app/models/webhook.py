"""Webhooks: where an account wants to be told of events, and what was delivered."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from app.database import Base, Mapped, mapped_column
from app.models.ids import new_id


class Webhook(Base):
    """One endpoint of one account."""

    __tablename__ = "webhooks"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id, comment="UUIDv7")
    owner_id: Mapped[UUID] = mapped_column(comment="users.id of whose tasks it hears")
    url: Mapped[str] = mapped_column(comment="Where events are sent")
    events: Mapped[list[str]] = mapped_column(ARRAY(sa.Text), comment="Which: task.completed, task.failed, ...")
    types: Mapped[list[str]] = mapped_column(ARRAY(sa.Text), comment="Only of these task types; empty: of all")
    description: Mapped[str | None] = mapped_column(comment="What it is for, in its owner's words")
    secret: Mapped[Any] = mapped_column(JSONB, comment="Signs what is sent; encrypted where PAYLOAD_KEYS is set")
    previous_secret: Mapped[Any | None] = mapped_column(
        JSONB(none_as_null=True), comment="The one before the last rotation; signs, too, until it ends"
    )
    previous_secret_until: Mapped[datetime | None] = mapped_column(comment="When the previous secret ends")
    enabled: Mapped[bool] = mapped_column(comment="Whether events are sent")
    failing_since: Mapped[datetime | None] = mapped_column(
        comment="First failed attempt since the last success; null: the last one succeeded"
    )
    disabled_at: Mapped[datetime | None] = mapped_column(comment="When it was disabled; null: it is enabled")
    disabled_reason: Mapped[str | None] = mapped_column(comment="Why, where the service disabled it")
    created_at: Mapped[datetime] = mapped_column(comment="When it was made; older events are not sent")
    updated_at: Mapped[datetime] = mapped_column(comment="Last change by somebody")

    __table_args__ = (
        # Serves the lists of an account, and finding who hears an event.
        sa.Index("ix_webhooks_owner_id_id", "owner_id", "id"),
        sa.CheckConstraint("cardinality(events) > 0", name="some_events"),
        sa.CheckConstraint("enabled = (disabled_at IS NULL)", name="disabled_since"),
        {"comment": "Where accounts want to be told of events"},
    )


class WebhookSecret(Base):
    """The secret that signs what is sent to the callback_url of an account's tasks."""

    __tablename__ = "webhook_secrets"

    owner_id: Mapped[UUID] = mapped_column(primary_key=True, comment="users.id")
    secret: Mapped[Any] = mapped_column(JSONB, comment="Signs what is sent; encrypted where PAYLOAD_KEYS is set")
    previous_secret: Mapped[Any | None] = mapped_column(
        JSONB(none_as_null=True), comment="The one before the last rotation; signs, too, until it ends"
    )
    previous_secret_until: Mapped[datetime | None] = mapped_column(comment="When the previous secret ends")
    updated_at: Mapped[datetime] = mapped_column(comment="When it was last rotated")

    __table_args__ = ({"comment": "One secret an account, for the callbacks of its tasks"},)


class WebhookEndpoint(Base):
    """A receiver that an attempt to deliver has failed at, and the state of its circuit."""

    __tablename__ = "webhook_endpoints"

    key: Mapped[str] = mapped_column(primary_key=True, comment="The concurrency_key of the tasks that deliver there")
    owner_id: Mapped[UUID | None] = mapped_column(comment="users.id of who is told; null: the service")
    webhook_id: Mapped[UUID | None] = mapped_column(
        sa.ForeignKey("webhooks.id", ondelete="CASCADE"), index=True, comment="The webhook; null: callbacks to origin"
    )
    origin: Mapped[str | None] = mapped_column(comment="Scheme, host and port of callbacks; null: a webhook")
    state: Mapped[str] = mapped_column(comment="closed (deliveries are made), open, or half_open")
    since: Mapped[datetime] = mapped_column(comment="When it came into this state")
    failures: Mapped[int] = mapped_column(comment="Attempts that failed since the last success")
    openings: Mapped[int] = mapped_column(comment="How often it opened since the last success")
    failed_at: Mapped[datetime | None] = mapped_column(comment="When an attempt last failed")
    retry_at: Mapped[datetime | None] = mapped_column(comment="When one delivery tries again")
    reason: Mapped[str | None] = mapped_column(comment="What the last failed attempt met")

    __table_args__ = (
        sa.CheckConstraint("state IN ('closed', 'open', 'half_open')", name="state_known"),
        # Serves the list of an account's callbacks.
        sa.Index("ix_webhook_endpoints_owner_id", "owner_id"),
        {"comment": "Receivers that an attempt to deliver has failed at, and the state of their circuit"},
    )


class WebhookDelivery(Base):
    """One event for one endpoint; a task of type webhook_delivery sends it."""

    __tablename__ = "webhook_deliveries"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id, comment="UUIDv7; sent as the header webhook-id")
    webhook_id: Mapped[UUID | None] = mapped_column(
        sa.ForeignKey("webhooks.id", ondelete="CASCADE"), comment="The endpoint; null: the callback_url of a task"
    )
    owner_id: Mapped[UUID | None] = mapped_column(comment="users.id of who is told")
    position: Mapped[int | None] = mapped_column(
        sa.BigInteger, comment="Publish-order number of the event; null: a test"
    )
    source_task_id: Mapped[UUID | None] = mapped_column(comment="The task that it tells of; null: a test")
    event: Mapped[str] = mapped_column(comment="task.completed, webhook.test, ...")
    url: Mapped[str | None] = mapped_column(comment="The callback_url; null: the endpoint's url at the time of sending")
    body: Mapped[dict[str, Any]] = mapped_column(comment="What is sent: the task as it was, without its secrets")
    task_id: Mapped[UUID] = mapped_column(comment="The task that delivers it, the last one after a redelivery")
    attempts: Mapped[list[Any]] = mapped_column(
        JSONB, server_default="[]", comment="Each try: at, status or error, elapsed_ms"
    )
    delivered_at: Mapped[datetime | None] = mapped_column(comment="When the receiver first accepted it")
    created_at: Mapped[datetime] = mapped_column(comment="When it was made")

    __table_args__ = (
        # One delivery for an event and endpoint, whoever asks; and the log of an endpoint in order.
        sa.Index(
            "uq_webhook_deliveries_webhook_id_position",
            "webhook_id",
            "position",
            unique=True,
            postgresql_where=sa.text("webhook_id IS NOT NULL AND position IS NOT NULL"),
        ),
        sa.Index(
            "uq_webhook_deliveries_callback_position",
            "position",
            unique=True,
            postgresql_where=sa.text("webhook_id IS NULL AND position IS NOT NULL"),
        ),
        # Serves the delivery log of an endpoint, newest first.
        sa.Index("ix_webhook_deliveries_webhook_id_id", "webhook_id", "id"),
        # Serves the delivery log of a task.
        sa.Index("ix_webhook_deliveries_source_task_id", "source_task_id"),
        {"comment": "What was sent, or is to be sent, to webhooks and callback URLs"},
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class WebhookRecord:
    """One endpoint as its owner sees it, without its secret."""

    id: UUID
    owner_id: UUID
    url: str
    events: list[str]
    types: list[str]
    description: str | None
    enabled: bool
    failing_since: datetime | None
    disabled_at: datetime | None
    disabled_reason: str | None
    previous_secret_until: datetime | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveryRecord:
    """One delivery, with where the task stands that makes it."""

    id: UUID
    webhook_id: UUID | None
    source_task_id: UUID | None
    event: str
    url: str | None
    body: dict[str, Any]
    task_id: UUID
    attempts: list[Any]
    delivered_at: datetime | None
    created_at: datetime
    status: str
    next_attempt_at: datetime | None
