"""Runs that are steps of other runs: which task started them, and which one waits for their end."""

import sqlalchemy as sa
from alembic import op

from app.migrations import resources

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

contracts = "The version before starts no run with a parent, and leaves the new columns null."


def upgrade() -> None:
    """Let a task wait for a run."""
    op.add_column(
        "workflow_runs",
        sa.Column(
            "parent_id",
            sa.Uuid(),
            nullable=True,
            comment="The task that started it, a step of another run (no foreign key: it may be deleted); "
            "null: somebody",
        ),
    )
    op.add_column(
        "workflow_runs",
        sa.Column(
            "tells_id",
            sa.Uuid(),
            nullable=True,
            comment="The task that waits for its end: the one above, or the one that undoes it; a trigger tells it",
        ),
    )
    op.create_index(
        "ix_workflow_runs_parent_id", "workflow_runs", ["parent_id"], postgresql_where=sa.text("parent_id IS NOT NULL")
    )
    resources.run("0034_tell_parent.sql")


def downgrade() -> None:
    """Forget which runs are steps of others; they go on as runs of their own."""
    op.execute("DROP TRIGGER tell_waiting_task ON workflow_runs")
    op.execute("DROP FUNCTION taskledger.tell_waiting_task()")
    op.drop_index("ix_workflow_runs_parent_id", "workflow_runs")
    op.drop_column("workflow_runs", "tells_id")
    op.drop_column("workflow_runs", "parent_id")
