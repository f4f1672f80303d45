"""The way of events out of the ledger: outbox, numbered batches, and counts by hour."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0005"
branch_labels = None
depends_on = None

RECORD_EVENT = """
CREATE OR REPLACE FUNCTION taskledger.record_task_event() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    what jsonb;
BEGIN
    -- currval is the id that the line above it has just drawn; RETURNING it would take three times as long.
    IF TG_OP = 'INSERT' THEN
        INSERT INTO task_events (at, task_id, type, status, attempt, owner_id)
        VALUES (NEW.updated_at, NEW.id, NEW.type, NEW.status, NEW.attempt, NEW.owner_id);
        INSERT INTO event_outbox (event_id, at) VALUES (currval('public.task_events_id_seq'), NEW.updated_at);
        RETURN NULL;
    END IF;
    IF NEW.reason IS NOT NULL THEN
        what := jsonb_build_object('reason', NEW.reason);
    END IF;
    IF OLD.status = 'PROCESSING' AND NEW.error IS NOT NULL AND NEW.status <> 'PENDING' THEN
        what := coalesce(what, '{}') || jsonb_build_object('error', NEW.error);
    END IF;
    IF NEW.payload IS DISTINCT FROM OLD.payload THEN
        what := coalesce(what, '{}') || jsonb_build_object('replaced_payload', OLD.payload);
    END IF;
    INSERT INTO task_events (at, task_id, type, status, previous_status, attempt, worker, detail, owner_id)
    VALUES (NEW.updated_at, NEW.id, NEW.type, NEW.status, OLD.status, greatest(OLD.attempt, NEW.attempt),
            coalesce(NEW.leased_by, OLD.leased_by), what, NEW.owner_id);
    INSERT INTO event_outbox (event_id, at) VALUES (currval('public.task_events_id_seq'), NEW.updated_at);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION taskledger.record_task_event()
    IS 'Writes task_events on every change of a status, and event_outbox, from where events are passed on';
"""

FORMER_RECORD_EVENT = """
CREATE OR REPLACE FUNCTION taskledger.record_task_event() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    what jsonb;
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO task_events (at, task_id, type, status, attempt)
        VALUES (NEW.updated_at, NEW.id, NEW.type, NEW.status, NEW.attempt);
        RETURN NULL;
    END IF;
    IF NEW.reason IS NOT NULL THEN
        what := jsonb_build_object('reason', NEW.reason);
    END IF;
    IF OLD.status = 'PROCESSING' AND NEW.error IS NOT NULL AND NEW.status <> 'PENDING' THEN
        what := coalesce(what, '{}') || jsonb_build_object('error', NEW.error);
    END IF;
    IF NEW.payload IS DISTINCT FROM OLD.payload THEN
        what := coalesce(what, '{}') || jsonb_build_object('replaced_payload', OLD.payload);
    END IF;
    INSERT INTO task_events (at, task_id, type, status, previous_status, attempt, worker, detail)
    VALUES (NEW.updated_at, NEW.id, NEW.type, NEW.status, OLD.status, greatest(OLD.attempt, NEW.attempt),
            coalesce(NEW.leased_by, OLD.leased_by), what);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION taskledger.record_task_event() IS 'Writes task_events on every change of a status';
"""

# What happened before there was an outbox is passed on, too, so that counts begin with the first event.
CATCH_UP = """
UPDATE task_events SET owner_id = tasks.owner_id FROM tasks
WHERE tasks.id = task_events.task_id AND tasks.owner_id IS NOT NULL;
INSERT INTO event_outbox (event_id, at) SELECT id, at FROM task_events;
"""


def upgrade() -> None:
    """Make the tables and let the trigger fill the outbox."""
    op.add_column(
        "task_events",
        sa.Column("owner_id", sa.Uuid(), nullable=True, comment="users.id of the task's owner; null: the service"),
    )
    op.create_table(
        "event_outbox",
        sa.Column(
            "event_id", sa.BigInteger(), autoincrement=False, nullable=False, comment="task_events.id, not passed on yet"
        ),
        sa.Column(
            "at", sa.DateTime(timezone=True), nullable=False, comment="When; says in which partition the event is"
        ),
        sa.PrimaryKeyConstraint("event_id", name="pk_event_outbox"),
        comment="Events that were not passed on yet; the duty `events` deletes what the broker has confirmed",
        # A row lives for a tenth of a second: without vacuum, each look would walk over the dead ones.
        postgresql_with={"autovacuum_vacuum_scale_factor": "0", "autovacuum_vacuum_threshold": "5000"},
    )
    op.create_table(
        "event_batches",
        sa.Column(
            "first_position",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="Publish-order number of its first event; the others follow without a gap",
        ),
        sa.Column("last_position", sa.BigInteger(), nullable=False, comment="Number of its last event"),
        sa.Column(
            "event_ids", sa.ARRAY(sa.BigInteger()), nullable=False, comment="task_events.id, in the order of publishing"
        ),
        sa.Column(
            "oldest_at", sa.DateTime(timezone=True), nullable=False, comment="Earliest `at` of its events (partitions!)"
        ),
        sa.Column("newest_at", sa.DateTime(timezone=True), nullable=False, comment="Latest `at` of its events"),
        sa.Column(
            "published_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When the broker had confirmed all of it; null: it is being published, at most one is",
        ),
        sa.CheckConstraint(
            "last_position - first_position + 1 = cardinality(event_ids)", name="ck_event_batches_one_number_each"
        ),
        sa.PrimaryKeyConstraint("first_position", name="pk_event_batches"),
        comment="Events in publish order: each has the number `position`, which consumers go by",
    )
    op.create_index("ix_event_batches_last_position", "event_batches", ["last_position"], unique=True)
    op.create_table(
        "task_counts",
        sa.Column("hour", sa.DateTime(timezone=True), nullable=False, comment="The hour in which it happened (UTC)"),
        sa.Column("owner_id", sa.Uuid(), nullable=True, comment="users.id of the tasks' owner; null: the service"),
        sa.Column("type", sa.Text(), nullable=False, comment="Task type"),
        sa.Column("previous_status", sa.Text(), nullable=True, comment="Status before; null: submitted"),
        sa.Column("status", sa.Text(), nullable=False, comment="Status after"),
        sa.Column("n", sa.BigInteger(), nullable=False, comment="How often"),
        sa.UniqueConstraint(
            "hour",
            "owner_id",
            "type",
            "previous_status",
            "status",
            name="uq_task_counts_hour_owner_id_type_previous_status_status",
            postgresql_nulls_not_distinct=True,
        ),
        comment="Changes of status by hour; those still in event_outbox are not among them",
        postgresql_with={"fillfactor": "70"},
    )
    op.execute(RECORD_EVENT)
    op.execute(CATCH_UP)


def downgrade() -> None:
    """Drop them; the history stays."""
    op.execute(FORMER_RECORD_EVENT)
    for table in ("task_counts", "event_batches", "event_outbox"):
        op.drop_table(table)
    op.drop_column("task_events", "owner_id")
