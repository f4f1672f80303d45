"""Schedules and their slots."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make both tables."""
    op.create_table(
        "schedules",
        sa.Column("id", sa.Uuid(), nullable=False, comment="UUIDv7: ids sort by creation"),
        sa.Column(
            "owner_id",
            sa.Uuid(),
            nullable=True,
            comment="The account it belongs to (no foreign key: a schedule may outlive it); null: the system",
        ),
        sa.Column("name", sa.Text(), nullable=True, comment="A name for people; not unique"),
        sa.Column("cron", sa.Text(), nullable=True, comment="Five fields or an alias, in local time; null: a one-off"),
        sa.Column(
            "run_at", sa.DateTime(timezone=True), nullable=True, comment="The only slot of a one-off; null: recurring"
        ),
        sa.Column(
            "time_zone", sa.Text(), nullable=False, comment="IANA name; cron is read in it, by the zone data of the day"
        ),
        sa.Column("target", JSONB(), nullable=False, comment="What a slot submits: {task: a submission without times}"),
        sa.Column("misfire", sa.Text(), nullable=False, comment="Slots noticed late: skip, run_once or run_all"),
        sa.Column(
            "misfire_cap", sa.Integer(), nullable=False, comment="run_all fires the newest so many of the late slots"
        ),
        sa.Column(
            "overlap", sa.Text(), nullable=False, comment="While the last task is unfinished: allow, skip or queue_one"
        ),
        sa.Column(
            "jitter_seconds", sa.Integer(), nullable=False, comment="A task starts up to so many seconds after its slot"
        ),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=True, comment="No slot before"),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=True, comment="No slot then or later"),
        sa.Column("enabled", sa.Boolean(), nullable=False, comment="Whether it has slots now"),
        sa.Column(
            "accounted_until",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="Every slot up to here has its row (or waits in queued_slot_at); the next is computed from here",
        ),
        sa.Column(
            "next_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="The next slot, or when to look again; null: disabled, or none will come",
        ),
        sa.Column(
            "queued_slot_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="A slot that waits for the last task to finish (overlap queue_one); it has no row yet",
        ),
        sa.Column("last_slot_at", sa.DateTime(timezone=True), nullable=True, comment="The newest slot that fired"),
        sa.Column("last_task_id", sa.Uuid(), nullable=True, comment="Its task; overlap looks at this one"),
        sa.Column("problem", sa.Text(), nullable=True, comment="Why the next slot cannot be computed; null: it can"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, comment="When it was made"),
        sa.Column(
            "updated_at", sa.DateTime(timezone=True), nullable=False, comment="When it was last changed by somebody"
        ),
        sa.CheckConstraint("(cron IS NULL) <> (run_at IS NULL)", name="ck_schedules_cron_or_run_at"),
        sa.CheckConstraint(
            "enabled OR (next_at IS NULL AND queued_slot_at IS NULL)", name="ck_schedules_disabled_has_no_next"
        ),
        sa.CheckConstraint("misfire IN ('run_all', 'run_once', 'skip')", name="ck_schedules_misfire_known"),
        sa.CheckConstraint("misfire_cap > 0 AND jitter_seconds >= 0", name="ck_schedules_numbers_in_range"),
        sa.CheckConstraint("overlap IN ('allow', 'queue_one', 'skip')", name="ck_schedules_overlap_known"),
        sa.CheckConstraint("jsonb_typeof(target) = 'object'", name="ck_schedules_target_object"),
        sa.PrimaryKeyConstraint("id", name="pk_schedules"),
        comment="Rules that submit tasks, once or by cron",
        postgresql_with={"autovacuum_vacuum_scale_factor": "0.01"},
    )
    op.create_index(
        "ix_schedules_next_at", "schedules", ["next_at"], unique=False, postgresql_where=sa.text("next_at IS NOT NULL")
    )
    op.create_index("ix_schedules_owner_id_id", "schedules", ["owner_id", "id"], unique=False)
    op.create_index(
        "ix_schedules_queued",
        "schedules",
        ["last_task_id"],
        unique=False,
        postgresql_where=sa.text("queued_slot_at IS NOT NULL"),
    )
    op.create_table(
        "schedule_slots",
        sa.Column("schedule_id", sa.Uuid(), nullable=False, comment="The schedule"),
        sa.Column(
            "slot_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="Its moment; the key makes any number of dispatchers fire it once",
        ),
        sa.Column("state", sa.Text(), nullable=False, comment="fired, skipped or missed"),
        sa.Column(
            "task_id",
            sa.Uuid(),
            nullable=True,
            comment="The task it submitted (no foreign key: a finished task may be deleted)",
        ),
        sa.Column("reason", sa.Text(), nullable=True, comment="Why it was skipped or missed, or fired out of turn"),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False, comment="When that was decided"),
        sa.CheckConstraint("(state = 'fired') = (task_id IS NOT NULL)", name="ck_schedule_slots_fired_has_a_task"),
        sa.CheckConstraint("state IN ('fired', 'missed', 'skipped')", name="ck_schedule_slots_state_known"),
        sa.CheckConstraint("state = 'fired' OR reason IS NOT NULL", name="ck_schedule_slots_unfired_has_a_reason"),
        sa.ForeignKeyConstraint(
            ["schedule_id"], ["schedules.id"], name="fk_schedule_slots_schedule_id_schedules", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("schedule_id", "slot_at", name="pk_schedule_slots"),
        comment="What became of each slot of each schedule",
    )
    op.create_index("ix_schedule_slots_recorded_at", "schedule_slots", ["recorded_at"], unique=False)


def downgrade() -> None:
    """Drop both; tasks that schedules submitted stay."""
    op.drop_table("schedule_slots")
    op.drop_table("schedules")
