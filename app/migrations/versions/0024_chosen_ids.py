"""Callers may choose the id of a task: a digest tells whether it is the same submission, and the gate waits for it."""

import sqlalchemy as sa
from alembic import op

from app.migrations import resources

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

GATE = "taskledger.gate_task()"
# The trigger fires before it is known that the id is taken, and the row is dropped then: what it writes elsewhere
# would stay, and hold a place in the order for ever.
CHANGES = (
    (
        "    NEW.gated := true;\n",
        "    NEW.gated := true;\n"
        "    IF NEW.submission_digest IS NOT NULL AND EXISTS (SELECT FROM public.tasks WHERE id = NEW.id) THEN\n"
        "        RETURN NEW;  -- sent again: ON CONFLICT drops this row, and the first one has its place\n"
        "    END IF;\n",
    ),
    (
        "coalesce(NEW.concurrency_key, ''), coalesce(NEW.ordering_key, ''));\n",
        "coalesce(NEW.concurrency_key, ''), coalesce(NEW.ordering_key, ''))\n    ON CONFLICT (task_id) DO NOTHING;\n",
    ),
)


def upgrade() -> None:
    """Add the column, and let the gate leave alone what is there already."""
    op.add_column(
        "tasks",
        sa.Column(
            "submission_digest",
            sa.LargeBinary(),
            nullable=True,
            comment="Digest of what was submitted, where the caller chose the id; null: the service chose it",
        ),
    )
    for before, after in CHANGES:
        resources.amend(GATE, before, after)


def downgrade() -> None:
    """Take both away again."""
    for before, after in reversed(CHANGES):
        resources.amend(GATE, after, before)
    op.drop_column("tasks", "submission_digest")
