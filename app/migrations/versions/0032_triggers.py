"""Triggers: rules that start work when something happened elsewhere, the events that told of it, and what matched."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the tables."""
    _make_triggers()
    _make_events()
    _make_matches()


def downgrade() -> None:
    """Forget triggers and events; what they have started stays. An event that nobody applied starts nothing any more."""
    op.drop_table("trigger_matches")
    op.drop_table("outside_events")
    op.drop_table("triggers")


def _make_triggers() -> None:
    op.create_table(
        "triggers",
        sa.Column("id", sa.Uuid(), nullable=False, comment="UUIDv7: ids sort by creation"),
        sa.Column(
            "owner_id",
            sa.Uuid(),
            nullable=True,
            comment="The account it belongs to (no foreign key: a trigger may outlive it); null: the system",
        ),
        sa.Column("name", sa.Text(), nullable=True, comment="For people; null: it has none"),
        sa.Column("event", sa.Text(), nullable=False, comment="Name of the events that it listens for"),
        sa.Column("condition", JSONB(), nullable=True, comment="What must hold of an event; null: nothing"),
        sa.Column(
            "target",
            JSONB(),
            nullable=False,
            comment="What it starts: {task: a submission of templates} or {workflow: its name, an input of templates}",
        ),
        sa.Column(
            "schema_hash",
            sa.Text(),
            nullable=True,
            comment="Schema that its payload was accepted under; null: it starts runs",
        ),
        sa.Column("enabled", sa.Boolean(), nullable=False, comment="Whether it starts anything now"),
        sa.Column(
            "created_at", MOMENT, nullable=False, comment="When it was created: earlier events do not concern it"
        ),
        sa.Column("updated_at", MOMENT, nullable=False, comment="When it was last changed by somebody"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_triggers")),
        sa.CheckConstraint("jsonb_typeof(target) = 'object'", name=op.f("ck_triggers_target_object")),
        comment="Rules that start tasks and runs when something happened elsewhere",
    )
    op.create_index("ix_triggers_event", "triggers", ["event", "owner_id", "id"], postgresql_where=sa.text("enabled"))
    op.create_index("ix_triggers_owner_id_id", "triggers", ["owner_id", "id"])


def _make_events() -> None:
    op.create_table(
        "outside_events",
        sa.Column("id", sa.Uuid(), nullable=False, comment="UUIDv7: ids sort by their coming"),
        sa.Column(
            "owner_id", sa.Uuid(), nullable=True, comment="The account that told of it (users.id); null: the system"
        ),
        sa.Column("name", sa.Text(), nullable=False, comment="What happened: the triggers of this name are applied"),
        sa.Column("data", JSONB(), nullable=False, comment="What is known of it"),
        sa.Column("received_at", MOMENT, nullable=False, comment="When it was accepted"),
        sa.Column(
            "task_id",
            sa.Uuid(),
            nullable=False,
            comment="The task that applies the triggers (no foreign key: it may be deleted)",
        ),
        sa.Column(
            "applied_after",
            sa.Uuid(),
            nullable=True,
            comment="Triggers up to this one have been applied; moved with what they started",
        ),
        sa.Column("applied_at", MOMENT, nullable=True, comment="When all had been; null: not yet"),
        sa.Column(
            "unmatched",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="How many triggers listened and did not match",
        ),
        sa.Column(
            "unmatched_sample",
            JSONB(),
            server_default=sa.text("'[]'"),
            nullable=False,
            comment="The first of those: trigger_id, and the reason",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outside_events")),
        comment="What POST /events was told",
        postgresql_with={"fillfactor": "80", "autovacuum_vacuum_scale_factor": "0.01"},
    )
    op.create_index("ix_outside_events_owner_id_id", "outside_events", ["owner_id", "id"])


def _make_matches() -> None:
    op.create_table(
        "trigger_matches",
        sa.Column("event_id", sa.Uuid(), nullable=False, comment="The event"),
        sa.Column(
            "trigger_id",
            sa.Uuid(),
            nullable=False,
            comment="The trigger (no foreign key); the key makes each start its work once",
        ),
        sa.Column("state", sa.Text(), nullable=False, comment="started or refused"),
        sa.Column("task_id", sa.Uuid(), nullable=True, comment="The task that was submitted (no foreign key)"),
        sa.Column("run_id", sa.Uuid(), nullable=True, comment="The run that was started (no foreign key)"),
        sa.Column("reason", sa.Text(), nullable=True, comment="Why it was refused"),
        sa.Column("at", MOMENT, nullable=False, comment="When that was decided"),
        sa.PrimaryKeyConstraint("event_id", "trigger_id", name=op.f("pk_trigger_matches")),
        sa.ForeignKeyConstraint(
            ["event_id"],
            ["outside_events.id"],
            name=op.f("fk_trigger_matches_event_id_outside_events"),
            ondelete="CASCADE",
        ),
        sa.CheckConstraint("state IN ('refused', 'started')", name=op.f("ck_trigger_matches_state_known")),
        sa.CheckConstraint(
            "(state = 'started') = (num_nonnulls(task_id, run_id) = 1)",
            name=op.f("ck_trigger_matches_started_has_a_task"),
        ),
        sa.CheckConstraint(
            "state = 'started' OR reason IS NOT NULL", name=op.f("ck_trigger_matches_refused_has_a_reason")
        ),
        comment="What became of each trigger that matched an event",
    )
    op.create_index("ix_trigger_matches_trigger_id", "trigger_matches", ["trigger_id", "event_id"])
