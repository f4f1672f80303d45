"""What is paused, which requests were answered, what was suppressed."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the three tables."""
    op.create_table(
        "pauses",
        sa.Column("kind", sa.Text(), nullable=False, comment="queue or type"),
        sa.Column("name", sa.Text(), nullable=False, comment="Which queue or type"),
        sa.Column("paused_at", sa.DateTime(timezone=True), nullable=False, comment="Since when"),
        sa.Column("paused_by", sa.Text(), nullable=True, comment="Who paused it"),
        sa.Column("reason", sa.Text(), nullable=True, comment="Why, in their words"),
        sa.Column(
            "resumed_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="Resumed; the row goes once all its tasks are released",
        ),
        sa.CheckConstraint("kind IN ('queue', 'type')", name="ck_pauses_kind_known"),
        sa.PrimaryKeyConstraint("kind", "name", name="pk_pauses"),
        comment="Queues and task types that are paused; every worker honours it within 3 seconds",
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("owner", sa.Text(), nullable=False, comment="Account that sent it; empty where there is none"),
        sa.Column("route", sa.Text(), nullable=False, comment="What it was sent to"),
        sa.Column("key", sa.Text(), nullable=False, comment="The header's value"),
        sa.Column("fingerprint", sa.Text(), nullable=False, comment="SHA-256 of the request's body in canonical form"),
        sa.Column("resource_id", sa.Uuid(), nullable=False, comment="What the first request made"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, comment="When; kept for 24 hours"),
        sa.PrimaryKeyConstraint("owner", "route", "key", name="pk_idempotency_keys"),
        comment="Answered creating requests, so that a repeated one creates nothing",
    )
    op.create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"], unique=False)
    op.create_table(
        "counters",
        sa.Column("name", sa.Text(), nullable=False, comment="What: duplicates_suppressed, outcomes_dropped, ..."),
        sa.Column("value", sa.BigInteger(), nullable=False, comment="How often"),
        sa.PrimaryKeyConstraint("name", name="pk_counters"),
        comment="What the ledger suppressed, dropped and rescued",
    )


def downgrade() -> None:
    """Drop them."""
    for table in ("counters", "idempotency_keys", "pauses"):
        op.drop_table(table)
