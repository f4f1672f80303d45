"""Which request a task came from, what workers run on, and the levels and flows that answers are made of."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0008"
down_revision = "0007b"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns, and make the two small tables."""
    op.add_column(
        "tasks",
        sa.Column("request_id", sa.Text(), nullable=True, comment="X-Request-ID of the request that submitted it"),
    )
    op.add_column(
        "tasks",
        sa.Column("traceparent", sa.Text(), nullable=True, comment="W3C trace context in which it was submitted"),
    )
    op.add_column(
        "workers",
        sa.Column(
            "runtime",
            JSONB(),
            server_default="{}",
            nullable=False,
            comment="Pool, prefetch, and the versions of python, celery and kombu",
        ),
    )
    op.create_table(
        "measurements",
        sa.Column("name", sa.Text(), nullable=False, comment="What was measured: levels"),
        sa.Column("measured_at", sa.DateTime(timezone=True), nullable=False, comment="When"),
        sa.Column("value", JSONB(), nullable=False, comment="The newest measurement; the one before is forgotten"),
        sa.PrimaryKeyConstraint("name", name="pk_measurements"),
        comment="What the dispatcher measures every few seconds: what waits and runs where, and how fast",
    )


def downgrade() -> None:
    """Take them away again."""
    op.drop_table("measurements")
    op.drop_column("workers", "runtime")
    op.drop_column("tasks", "traceparent")
    op.drop_column("tasks", "request_id")
