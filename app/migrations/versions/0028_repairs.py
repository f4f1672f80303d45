"""Repairs: the tables of dead letters that are replayed together, and the arrow that undoes a replay."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from app.migrations import resources

revision = "0028"
down_revision = "0025"
branch_labels = None
depends_on = None

ACTIVE = "'CANARY', 'PAUSED', 'RUNNING', 'UNDOING'"
STATUSES = "'CANARY', 'RUNNING', 'PAUSED', 'STOPPED', 'COMPLETED', 'UNDOING', 'UNDONE'"
ACCOUNTED_FOR = (
    "remaining >= 0 AND unended >= 0 AND remaining + refused + passed_over + replayed = tasks "
    "AND unended + well + failed + cancelled + undone = replayed"
)
GUARD = "taskledger.refuse_unknown_change()"
BEFORE = "            WHEN 'PENDING>PROCESSING' THEN"
ARROW = """            WHEN 'PENDING>FAILED' THEN
                NEW.attempt_base < OLD.attempt_base AND NEW.attempt = OLD.attempt AND OLD.attempt = OLD.attempt_base AND
                coalesce(OLD.started_at <= NEW.finished_at, false)
"""


def upgrade() -> None:
    """Make the tables, and let the guard know the arrow."""
    _make_repairs()
    _make_items()
    resources.run("0028_repairs.sql")
    resources.amend(GUARD, BEFORE, ARROW + BEFORE)


def downgrade() -> None:
    """Forget all repairs; what they have replayed stays as it is."""
    resources.amend(GUARD, ARROW + BEFORE, BEFORE)
    op.execute("DROP TRIGGER forget_repaired_payloads ON tasks")
    op.execute("DROP FUNCTION taskledger.forget_repaired_payloads()")
    op.drop_table("repair_items")
    op.drop_table("repairs")


def _make_repairs() -> None:
    op.create_table(
        "repairs",
        sa.Column("id", sa.Uuid(), nullable=False, comment="UUIDv7: ids sort by creation"),
        sa.Column("owner_id", sa.Uuid(), nullable=True, comment="users.id of who started it"),
        sa.Column(
            "visible_to", sa.Uuid(), nullable=True, comment="users.id whose tasks it may have; null: everybody's"
        ),
        sa.Column("type", sa.Text(), nullable=False, comment="Task type of its tasks"),
        sa.Column(
            "token_hash",
            sa.Text(),
            nullable=False,
            comment="SHA-256 of the token of its dry run: each is good for one repair",
        ),
        sa.Column(
            "status",
            sa.Text(),
            nullable=False,
            comment="CANARY, RUNNING, PAUSED, STOPPED, COMPLETED, UNDOING or UNDONE",
        ),
        sa.Column("reason", sa.Text(), nullable=True, comment="Why it stands where it does, where that is not obvious"),
        sa.Column(
            "spec",
            JSONB(),
            nullable=False,
            comment="What was asked for: filter, patch, canary, per_second, stop_above_failure_ratio",
        ),
        sa.Column(
            "failed_before",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="When its dry run counted: what failed later is left out",
        ),
        sa.Column("tasks", sa.Integer(), nullable=False, comment="How many tasks it has"),
        sa.Column("remaining", sa.Integer(), nullable=False, comment="Of them: not replayed yet"),
        sa.Column("replayed", sa.Integer(), server_default="0", nullable=False, comment="Replayed so far"),
        sa.Column(
            "unended",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="Replayed, and their first attempt has not ended",
        ),
        sa.Column(
            "well",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="Replayed, and their first attempt ended well",
        ),
        sa.Column(
            "failed",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="Replayed, and their first attempt failed",
        ),
        sa.Column(
            "cancelled",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="Replayed, and cancelled or deleted since",
        ),
        sa.Column(
            "refused", sa.Integer(), server_default="0", nullable=False, comment="Not replayed: the patch does not fit"
        ),
        sa.Column(
            "passed_over",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="Not replayed: no such dead letter any more",
        ),
        sa.Column(
            "undone",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="Replayed, and made dead letters again unstarted",
        ),
        sa.Column(
            "credit",
            sa.Double(),
            server_default="1",
            nullable=False,
            comment="How many may be replayed now, by its rate",
        ),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=True, comment="When credit was last counted"),
        sa.Column(
            "canary_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="Since when the canary, wholly replayed, is waited for",
        ),
        sa.Column(
            "undone_after", sa.Uuid(), nullable=True, comment="While UNDOING: tasks up to this one have been looked at"
        ),
        sa.Column(
            "settled",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="Nothing of it has to be looked at any more",
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, comment="When it was started"),
        sa.Column(
            "finished_at", sa.DateTime(timezone=True), nullable=True, comment="When it was STOPPED, COMPLETED or UNDONE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_repairs")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_repairs_token_hash")),
        sa.CheckConstraint(f"status IN ({STATUSES})", name=op.f("ck_repairs_status_known")),
        sa.CheckConstraint(ACCOUNTED_FOR, name=op.f("ck_repairs_all_accounted_for")),
        comment="Dead letters that are replayed together",
        postgresql_with={"fillfactor": "50"},
    )
    op.create_index(
        "uq_repairs_active",
        "repairs",
        ["type", sa.text("coalesce(visible_to, '00000000-0000-0000-0000-000000000000'::uuid)")],
        unique=True,
        postgresql_where=sa.text(f"status IN ({ACTIVE})"),
    )
    op.create_index("ix_repairs_unsettled", "repairs", ["id"], postgresql_where=sa.text("NOT settled"))


def _make_items() -> None:
    op.create_table(
        "repair_items",
        sa.Column("repair_id", sa.Uuid(), nullable=False, comment="The repair"),
        sa.Column("task_id", sa.Uuid(), nullable=False, comment="The task"),
        sa.Column(
            "old_payload",
            JSONB(),
            nullable=True,
            comment="Its payload before the patch; null: there is no patch, or the task is deleted",
        ),
        sa.Column(
            "old_schema_hash",
            sa.Text(),
            nullable=True,
            comment="The schema under which that payload was accepted; null: there is no patch, or it is not known",
        ),
        sa.Column("attempt", sa.Integer(), nullable=True, comment="Its attempts when it was replayed"),
        sa.Column("attempt_base", sa.Integer(), nullable=True, comment="Its attempt_base before it was replayed"),
        sa.Column(
            "failed_at", sa.DateTime(timezone=True), nullable=True, comment="Its finished_at before it was replayed"
        ),
        sa.Column(
            "replayed_at", sa.DateTime(timezone=True), nullable=True, comment="When it was replayed; null: it was not"
        ),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True, comment="When its outcome was seen"),
        sa.Column(
            "outcome", sa.Text(), nullable=True, comment="well, failed, cancelled, refused, passed_over or undone"
        ),
        sa.Column("problem", sa.Text(), nullable=True, comment="Why it was refused or passed over"),
        sa.PrimaryKeyConstraint("repair_id", "task_id", name=op.f("pk_repair_items")),
        sa.CheckConstraint(
            "outcome IN ('well', 'failed', 'cancelled', 'refused', 'passed_over', 'undone')",
            name=op.f("ck_repair_items_outcome_known"),
        ),
        comment="The tasks of repairs, and what became of them",
        postgresql_with={"fillfactor": "70"},
    )
    for name, which in (("remaining", "replayed_at IS NULL"), ("unended", "replayed_at IS NOT NULL")):
        op.create_index(
            f"ix_repair_items_{name}",
            "repair_items",
            ["repair_id", "task_id"],
            postgresql_where=sa.text(f"{which} AND outcome IS NULL"),
        )
    op.create_index("ix_repair_items_task_id", "repair_items", ["task_id"])
