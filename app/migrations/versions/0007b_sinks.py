"""Sinks, per-minute statistics, webhooks and their deliveries, callbacks of tasks."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0007b"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "sinks",
        sa.Column("name", sa.Text(), nullable=False, comment="csv, stats or webhooks"),
        sa.Column(
            "position", sa.BigInteger(), nullable=False, comment="Publish-order number of the last event it has taken"
        ),
        sa.Column(
            "state",
            JSONB(none_as_null=True),
            nullable=True,
            comment="What belongs to that position outside of the database (csv: file and size)",
        ),
        sa.Column(
            "event_at", sa.DateTime(timezone=True), nullable=True, comment="When the last event it has taken happened"
        ),
        sa.Column("moved_at", sa.DateTime(timezone=True), nullable=True, comment="When it took that event"),
        sa.Column("node", sa.Text(), nullable=True, comment="Host and process id of the one that runs, or ran last"),
        sa.Column(
            "last_seen_at", sa.DateTime(timezone=True), nullable=True, comment="Written every two seconds while it runs"
        ),
        sa.Column("last_error", sa.Text(), nullable=True, comment="What stopped it last; null since it has moved on"),
        sa.PrimaryKeyConstraint("name", name="pk_sinks"),
        comment="Consumers of the events and how far each has come",
    )
    op.create_table(
        "task_stats",
        sa.Column(
            "minute", sa.DateTime(timezone=True), nullable=False, comment="The minute in which it happened (UTC)"
        ),
        sa.Column("owner_id", sa.Uuid(), nullable=True, comment="users.id of the tasks' owner; null: the service"),
        sa.Column("type", sa.Text(), nullable=False, comment="Task type"),
        sa.Column("status", sa.Text(), nullable=False, comment="The status that they went to"),
        sa.Column("n", sa.BigInteger(), nullable=False, comment="How many did"),
        sa.Column("ran", sa.BigInteger(), nullable=False, comment="How many of them came from PROCESSING"),
        sa.Column("run_seconds", sa.Double(), nullable=False, comment="How long their attempts had run, added up"),
        sa.Column("longest_run_seconds", sa.Double(), nullable=False, comment="The longest of these"),
        sa.Column(
            "waited", sa.BigInteger(), nullable=False, comment="How many of them were claimed (went to PROCESSING)"
        ),
        sa.Column("wait_seconds", sa.Double(), nullable=False, comment="How long those had been PENDING, added up"),
        sa.Column("longest_wait_seconds", sa.Double(), nullable=False, comment="The longest of these"),
        sa.UniqueConstraint(
            "minute",
            "owner_id",
            "type",
            "status",
            name="uq_task_stats_minute_owner_id_type_status",
            postgresql_nulls_not_distinct=True,
        ),
        comment="Changes of status by minute with run and waiting times; kept by the sink `stats`",
    )
    op.create_table(
        "webhook_secrets",
        sa.Column("owner_id", sa.Uuid(), nullable=False, comment="users.id"),
        sa.Column("secret", JSONB(), nullable=False, comment="Signs what is sent; encrypted where PAYLOAD_KEYS is set"),
        sa.Column(
            "previous_secret",
            JSONB(none_as_null=True),
            nullable=True,
            comment="The one before the last rotation; signs, too, until it ends",
        ),
        sa.Column(
            "previous_secret_until", sa.DateTime(timezone=True), nullable=True, comment="When the previous secret ends"
        ),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, comment="When it was last rotated"),
        sa.PrimaryKeyConstraint("owner_id", name="pk_webhook_secrets"),
        comment="One secret an account, for the callbacks of its tasks",
    )
    op.create_table(
        "webhooks",
        sa.Column("id", sa.Uuid(), nullable=False, comment="UUIDv7"),
        sa.Column("owner_id", sa.Uuid(), nullable=False, comment="users.id of whose tasks it hears"),
        sa.Column("url", sa.Text(), nullable=False, comment="Where events are sent"),
        sa.Column("events", sa.ARRAY(sa.Text()), nullable=False, comment="Which: task.completed, task.failed, ..."),
        sa.Column("types", sa.ARRAY(sa.Text()), nullable=False, comment="Only of these task types; empty: of all"),
        sa.Column("description", sa.Text(), nullable=True, comment="What it is for, in its owner's words"),
        sa.Column("secret", JSONB(), nullable=False, comment="Signs what is sent; encrypted where PAYLOAD_KEYS is set"),
        sa.Column(
            "previous_secret",
            JSONB(none_as_null=True),
            nullable=True,
            comment="The one before the last rotation; signs, too, until it ends",
        ),
        sa.Column(
            "previous_secret_until", sa.DateTime(timezone=True), nullable=True, comment="When the previous secret ends"
        ),
        sa.Column("enabled", sa.Boolean(), nullable=False, comment="Whether events are sent"),
        sa.Column(
            "failing_since",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="First failed attempt since the last success; null: the last one succeeded",
        ),
        sa.Column(
            "disabled_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When it was disabled; null: it is enabled",
        ),
        sa.Column("disabled_reason", sa.Text(), nullable=True, comment="Why, where the service disabled it"),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="When it was made; older events are not sent",
        ),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, comment="Last change by somebody"),
        sa.CheckConstraint("cardinality(events) > 0", name="ck_webhooks_some_events"),
        sa.CheckConstraint("enabled = (disabled_at IS NULL)", name="ck_webhooks_disabled_since"),
        sa.PrimaryKeyConstraint("id", name="pk_webhooks"),
        comment="Where accounts want to be told of events",
    )
    op.create_index("ix_webhooks_owner_id_id", "webhooks", ["owner_id", "id"], unique=False)
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", sa.Uuid(), nullable=False, comment="UUIDv7; sent as the header webhook-id"),
        sa.Column("webhook_id", sa.Uuid(), nullable=True, comment="The endpoint; null: the callback_url of a task"),
        sa.Column("owner_id", sa.Uuid(), nullable=True, comment="users.id of who is told"),
        sa.Column(
            "position", sa.BigInteger(), nullable=True, comment="Publish-order number of the event; null: a test"
        ),
        sa.Column("source_task_id", sa.Uuid(), nullable=True, comment="The task that it tells of; null: a test"),
        sa.Column("event", sa.Text(), nullable=False, comment="task.completed, webhook.test, ..."),
        sa.Column(
            "url", sa.Text(), nullable=True, comment="The callback_url; null: the endpoint's url at the time of sending"
        ),
        sa.Column("body", JSONB(), nullable=False, comment="What is sent: the task as it was, without its secrets"),
        sa.Column(
            "task_id", sa.Uuid(), nullable=False, comment="The task that delivers it, the last one after a redelivery"
        ),
        sa.Column(
            "attempts",
            JSONB(),
            server_default="[]",
            nullable=False,
            comment="Each try: at, status or error, elapsed_ms",
        ),
        sa.Column(
            "delivered_at", sa.DateTime(timezone=True), nullable=True, comment="When the receiver first accepted it"
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, comment="When it was made"),
        sa.ForeignKeyConstraint(
            ["webhook_id"], ["webhooks.id"], name="fk_webhook_deliveries_webhook_id_webhooks", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_webhook_deliveries"),
        comment="What was sent, or is to be sent, to webhooks and callback URLs",
    )
    op.create_index("ix_webhook_deliveries_source_task_id", "webhook_deliveries", ["source_task_id"], unique=False)
    op.create_index("ix_webhook_deliveries_webhook_id_id", "webhook_deliveries", ["webhook_id", "id"], unique=False)
    op.create_index(
        "uq_webhook_deliveries_callback_position",
        "webhook_deliveries",
        ["position"],
        unique=True,
        postgresql_where=sa.text("webhook_id IS NULL AND position IS NOT NULL"),
    )
    op.create_index(
        "uq_webhook_deliveries_webhook_id_position",
        "webhook_deliveries",
        ["webhook_id", "position"],
        unique=True,
        postgresql_where=sa.text("webhook_id IS NOT NULL AND position IS NOT NULL"),
    )
    op.add_column(
        "tasks",
        sa.Column(
            "callback_url", sa.Text(), nullable=True, comment="Told when the task is finished; null: nobody asked"
        ),
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_column("tasks", "callback_url")
    op.drop_table("webhook_deliveries")
    op.drop_table("webhooks")
    op.drop_table("webhook_secrets")
    op.drop_table("task_stats")
    op.drop_table("sinks")
