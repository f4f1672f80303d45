"""What a task has behind it, for its next attempt: checkpoints of long handlers."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "task_steps",
        sa.Column("task_id", sa.Uuid(), nullable=False, comment="The task"),
        sa.Column(
            "name",
            sa.Text(),
            nullable=False,
            comment="What its handler calls it; #checkpoint is what task.checkpoint() keeps",
        ),
        sa.Column(
            "seq", sa.Integer(), nullable=False, comment="Order in which the handler came to it; 0 of a checkpoint"
        ),
        sa.Column("kind", sa.Text(), nullable=False, comment="once, sleep, signal, call, run or checkpoint"),
        sa.Column("state", sa.Text(), nullable=False, comment="BEGUN, DONE, FAILED or UNDONE"),
        sa.Column(
            "digest", sa.Text(), nullable=True, comment="Of what was asked for, so that another question is noticed"
        ),
        sa.Column(
            "result", JSONB(), nullable=True, comment="What came of it; of a checkpoint the value that is kept"
        ),
        sa.Column("error", JSONB(), nullable=True, comment="What it failed with"),
        sa.Column("child_id", sa.Uuid(), nullable=True, comment="The task that does it"),
        sa.Column(
            "released_at", sa.DateTime(timezone=True), nullable=True, comment="When that task was let start"
        ),
        sa.Column(
            "ended_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When it ended; of a checkpoint when it was written",
        ),
        sa.Column("undo", JSONB(), nullable=True, comment="The task that takes it back"),
        sa.Column("until", sa.DateTime(timezone=True), nullable=True, comment="Until when is waited"),
        sa.CheckConstraint(
            "kind IN ('once', 'sleep', 'signal', 'call', 'run', 'checkpoint')", name=op.f("ck_task_steps_kind_known")
        ),
        sa.CheckConstraint("state IN ('BEGUN', 'DONE', 'FAILED', 'UNDONE')", name=op.f("ck_task_steps_state_known")),
        sa.ForeignKeyConstraint(
            ["task_id"], ["tasks.id"], name=op.f("fk_task_steps_task_id_tasks"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("task_id", "name", name=op.f("pk_task_steps")),
        comment="What tasks have behind them, for their next attempt: checkpoints of long handlers",
        postgresql_with={"fillfactor": "80"},
    )
    op.create_index(
        "ix_task_steps_open",
        "task_steps",
        ["task_id", "seq"],
        postgresql_where=sa.text("child_id IS NOT NULL AND ended_at IS NULL"),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("task_steps")
