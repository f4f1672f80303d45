"""Receivers of webhooks have a circuit, deliveries wait for their admission, and sinks say when they were lied to."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

GATE_TASK = "taskledger.gate_task()"
CHECK_ROOM = "taskledger.check_room(uuid)"

# A function is amended and not written anew, so that what else was changed in it, and is set for it, stays.
AMEND = """
DO $do$
DECLARE
    made text := pg_get_functiondef({function}::regprocedure);
BEGIN
    IF position({before} IN made) = 0 THEN
        RAISE EXCEPTION 'the function % is not what this migration expects', {function};
    END IF;
    EXECUTE replace(made, {before}, {after});
END $do$
"""
CHANGES = (
    (
        GATE_TASK,
        "    IF NEW.ordering_key IS NULL AND NOT EXISTS",
        "    IF NEW.type <> 'webhook_delivery' AND NEW.ordering_key IS NULL AND NOT EXISTS",
    ),
    (
        GATE_TASK,
        "    IF NOT coalesce(is_hard, false) AND most IS NULL",
        "    is_hard := coalesce(is_hard, false) OR NEW.type = 'webhook_delivery';\n"
        "    IF NOT coalesce(is_hard, false) AND most IS NULL",
    ),
    (
        CHECK_ROOM,
        "t.status IN ('SCHEDULED', 'PENDING', 'RETRYING')",
        "t.status IN ('SCHEDULED', 'PENDING', 'RETRYING') AND t.type <> 'webhook_delivery'",
    ),
)


def amend(function: str, before: str, after: str) -> None:
    """Replace a part of a function's text."""
    quoted = {"function": f"'{function}'", "before": f"$old${before}$old$", "after": f"$new${after}$new$"}
    op.get_bind().exec_driver_sql(AMEND.format(**quoted), execution_options={"no_parameters": True})


def upgrade() -> None:
    """Make the table, and hold new deliveries until they are admitted."""
    op.create_table(
        "webhook_endpoints",
        sa.Column("key", sa.Text(), nullable=False, comment="The concurrency_key of the tasks that deliver there"),
        sa.Column("owner_id", sa.Uuid(), nullable=True, comment="users.id of who is told; null: the service"),
        sa.Column("webhook_id", sa.Uuid(), nullable=True, comment="The webhook; null: callbacks to origin"),
        sa.Column("origin", sa.Text(), nullable=True, comment="Scheme, host and port of callbacks; null: a webhook"),
        sa.Column("state", sa.Text(), nullable=False, comment="closed (deliveries are made), open, or half_open"),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False, comment="When it came into this state"),
        sa.Column("failures", sa.Integer(), nullable=False, comment="Attempts that failed since the last success"),
        sa.Column("openings", sa.Integer(), nullable=False, comment="How often it opened since the last success"),
        sa.Column("failed_at", sa.DateTime(timezone=True), nullable=True, comment="When an attempt last failed"),
        sa.Column("retry_at", sa.DateTime(timezone=True), nullable=True, comment="When one delivery tries again"),
        sa.Column("reason", sa.Text(), nullable=True, comment="What the last failed attempt met"),
        sa.CheckConstraint(
            "state IN ('closed', 'open', 'half_open')", name=op.f("ck_webhook_endpoints_state_known")
        ),
        sa.ForeignKeyConstraint(
            ["webhook_id"],
            ["webhooks.id"],
            name=op.f("fk_webhook_endpoints_webhook_id_webhooks"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_webhook_endpoints")),
        comment="Receivers that an attempt to deliver has failed at, and the state of their circuit",
    )
    op.create_index("ix_webhook_endpoints_webhook_id", "webhook_endpoints", ["webhook_id"])
    op.create_index("ix_webhook_endpoints_owner_id", "webhook_endpoints", ["owner_id"])
    op.add_column("sinks", sa.Column("alarm", sa.Text(), nullable=True, comment="What was wrong with its position, or with what the broker said"))
    op.add_column("sinks", sa.Column("alarm_at", sa.DateTime(timezone=True), nullable=True, comment="When that was last seen"))
    for function, before, after in CHANGES:
        amend(function, before, after)


def downgrade() -> None:
    """Let deliveries go as any other task."""
    for function, before, after in reversed(CHANGES):
        amend(function, after, before)
    op.execute(
        "UPDATE tasks SET due_at = now() WHERE type = 'webhook_delivery' AND gated AND status = 'PENDING' "
        "AND dispatched_at IS NULL"
    )
    op.drop_column("sinks", "alarm_at")
    op.drop_column("sinks", "alarm")
    op.drop_table("webhook_endpoints")
