"""Which schema a payload was accepted under: with tasks, schedules and steps, so that releases can work side by side."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from app.migrations import resources

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

SUBMIT = "taskledger.submit(text, jsonb, text, text, timestamptz, integer, integer, jsonb, timestamptz, text)"
CHANGES = (
    (SUBMIT, "ordering_key, after_failure, concurrency_key)", "ordering_key, after_failure, concurrency_key, schema_hash)"),
    (SUBMIT, "submit.payload, 200, 'concurrency_key'));", "submit.payload, 200, 'concurrency_key'), kind.schema_hash);"),
    (
        "taskledger.follow_admission()",
        "CASE WHEN NEW.dispatched_at IS NULL THEN 'held' ELSE 'out' END",
        "CASE WHEN NEW.dispatched_at IS NOT NULL THEN 'out' WHEN starts_with(NEW.reason, 'held: needs a worker') "
        "THEN 'waiting' ELSE 'held' END",
    ),
)


def upgrade() -> None:
    """Add the columns, all of which may stay empty, and let the functions know of them."""
    op.add_column(
        "tasks",
        sa.Column("schema_hash", sa.Text(), nullable=True, comment="Schema that its payload was accepted under; null: not known"),
    )
    op.add_column(
        "tasks",
        sa.Column(
            "schema_refusals",
            ARRAY(sa.Text()),
            nullable=True,
            comment="Schemas of the workers that did not take its payload, once for each time; null: none",
        ),
    )
    op.add_column(
        "schedules",
        sa.Column(
            "schema_hash",
            sa.Text(),
            nullable=True,
            comment="Schema that the payload of its tasks was accepted under; null: not known, or it starts runs",
        ),
    )
    op.add_column(
        "workflow_versions",
        sa.Column(
            "schema_hashes",
            JSONB(),
            nullable=True,
            comment="Schemas that the payloads of its steps were accepted under, by task type; null: not known",
        ),
    )
    op.add_column(
        "workers",
        sa.Column(
            "upgrades",
            JSONB(),
            nullable=False,
            server_default="{}",
            comment="Hashes of earlier schemas whose payloads it upgrades, by task type",
        ),
    )
    op.add_column(
        "task_types",
        sa.Column(
            "earlier_hashes",
            ARRAY(sa.Text()),
            nullable=False,
            server_default="{}",
            comment="Hashes of its schemas before this one, the newest last: a worker that has one of them is older",
        ),
    )
    for function, before, after in CHANGES:
        resources.amend(function, before, after)


def downgrade() -> None:
    """Let go what is on hold, and drop the columns."""
    for function, before, after in CHANGES:
        resources.amend(function, after, before)
    op.execute("UPDATE tasks SET due_at = now() WHERE schema_refusals IS NOT NULL AND status = 'PENDING' AND dispatched_at IS NULL")
    op.drop_column("task_types", "earlier_hashes")
    op.drop_column("workers", "upgrades")
    op.drop_column("workflow_versions", "schema_hashes")
    op.drop_column("schedules", "schema_hash")
    op.drop_column("tasks", "schema_refusals")
    op.drop_column("tasks", "schema_hash")
