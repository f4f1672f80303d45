"""What a task type says of all of its submissions holds for those through SQL, too."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from app.migrations import resources

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

SUBMIT = "taskledger.submit(text, jsonb, text, text, timestamptz, integer, integer, jsonb, timestamptz, text)"
CHANGES = (
    (
        "labels, created_at, scheduled_at, expires_at, due_at, dispatched_at)",
        "labels, created_at, scheduled_at, expires_at, due_at, dispatched_at,\n"
        "                              ordering_key, after_failure, concurrency_key)",
    ),
    (
        "            submit.labels, moment,",
        "            taskledger.default_labels(kind.defaults, submit.payload) || submit.labels, moment,",
    ),
    (
        "CASE WHEN is_later THEN submit.scheduled_at ELSE moment END, NULL);",
        "CASE WHEN is_later THEN submit.scheduled_at ELSE moment END, NULL,\n"
        "            taskledger.text_of(kind.defaults -> 'ordering_key', submit.payload, 200, 'ordering_key'),\n"
        "            CASE WHEN taskledger.text_of(kind.defaults -> 'ordering_key', submit.payload, 200, 'ordering_key')\n"
        "                IS NOT NULL THEN kind.defaults ->> 'after_failure' END,\n"
        "            taskledger.text_of(kind.defaults -> 'concurrency_key', submit.payload, 200, 'concurrency_key'));",
    ),
)


def upgrade() -> None:
    """Add the column, and let the function take keys and labels from the payload."""
    op.add_column(
        "task_types",
        sa.Column(
            "defaults",
            JSONB(),
            nullable=True,
            comment="Keys and labels that its tasks take from their payload, as texts and paths; null: none",
        ),
    )
    resources.run("0023_defaults.sql")
    for before, after in CHANGES:
        resources.amend(SUBMIT, before, after)


def downgrade() -> None:
    """Let the function write what it is given, and drop the column."""
    for before, after in CHANGES:
        resources.amend(SUBMIT, after, before)
    op.execute("DROP FUNCTION taskledger.default_labels(jsonb, jsonb)")
    op.execute("DROP FUNCTION taskledger.text_of(jsonb, jsonb, integer, text)")
    op.drop_column("task_types", "defaults")
