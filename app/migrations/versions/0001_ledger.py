"""Tables of the ledger: tasks, their history, and who is alive."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

KEEP_TASK_WHOLE = """
CREATE FUNCTION taskledger.keep_task_whole() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := greatest(clock_timestamp(), NEW.created_at);
    IF TG_OP = 'UPDATE' AND NEW.status <> OLD.status THEN
        IF NEW.reason IS NOT DISTINCT FROM OLD.reason THEN
            NEW.reason := NULL;
        END IF;
        IF OLD.finished_at IS NOT NULL AND NEW.status NOT IN ('COMPLETED', 'FAILED', 'CANCELLED') THEN
            -- A finished task starts over, by replay or by hand: fresh retries, nothing left of the last ending.
            NEW.attempt_base := OLD.attempt;
            NEW.result := NULL;
            NEW.cancel_requested_at := NULL;
            NEW.cancel_receipt := NULL;
            NEW.progress := NULL;
            IF NEW.expires_at <= NEW.updated_at THEN
                NEW.expires_at := NULL;
            END IF;
            IF NEW.dispatched_at IS NOT DISTINCT FROM OLD.dispatched_at THEN
                NEW.dispatched_at := NULL;
            END IF;
        END IF;
    END IF;
    IF NEW.status IN ('COMPLETED', 'FAILED', 'CANCELLED') THEN
        NEW.due_at := NULL;
        NEW.finished_at := coalesce(NEW.finished_at, NEW.updated_at);
    ELSE
        NEW.due_at := coalesce(NEW.due_at, NEW.updated_at);
        NEW.finished_at := NULL;
        IF NEW.status <> 'PROCESSING' AND NEW.attempt = NEW.attempt_base AND NEW.expires_at < NEW.due_at THEN
            NEW.due_at := NEW.expires_at;  -- the dispatcher looks at it then, and cancels it
        END IF;
    END IF;
    IF NEW.status <> 'PROCESSING' THEN
        NEW.lease := NULL;
        NEW.leased_by := NULL;
        NEW.leased_pid := NULL;
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION taskledger.keep_task_whole() IS 'Keeps due_at, lease and finished_at true, whoever writes the row';
CREATE TRIGGER keep_task_whole BEFORE INSERT OR UPDATE ON tasks
    FOR EACH ROW EXECUTE FUNCTION taskledger.keep_task_whole();
"""

RECORD_EVENT = """
CREATE FUNCTION taskledger.record_task_event() RETURNS trigger LANGUAGE plpgsql AS $$
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
CREATE TRIGGER record_submission AFTER INSERT ON tasks
    FOR EACH ROW EXECUTE FUNCTION taskledger.record_task_event();
CREATE TRIGGER record_change AFTER UPDATE OF status ON tasks
    FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION taskledger.record_task_event();
"""

EVENT_PARTITIONS = """
CREATE FUNCTION taskledger.make_event_partitions(first_day date, days integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    day date;
    partition text;
    made integer := 0;
BEGIN
    FOR day IN SELECT first_day + n FROM generate_series(0, days - 1) AS n LOOP
        partition := 'task_events_p' || to_char(day, 'YYYYMMDD');
        CONTINUE WHEN to_regclass('public.' || partition) IS NOT NULL;
        -- Rows of a day that had no partition sit in the default one; that day stays there.
        CONTINUE WHEN EXISTS (SELECT FROM task_events_default
                              WHERE at >= day::timestamp AT TIME ZONE 'UTC'
                                AND at < (day + 1)::timestamp AT TIME ZONE 'UTC');
        EXECUTE format('CREATE TABLE public.%I (LIKE public.task_events INCLUDING COMMENTS)', partition);
        EXECUTE format('ALTER TABLE public.task_events ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
                       partition, day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
        made := made + 1;
    END LOOP;
    RETURN made;
END $$;
COMMENT ON FUNCTION taskledger.make_event_partitions(date, integer)
    IS 'Makes the daily partitions of task_events that are missing';
CREATE TABLE task_events_default PARTITION OF task_events DEFAULT;
COMMENT ON TABLE task_events_default IS 'Events of days that have no partition of their own';
SELECT taskledger.make_event_partitions((now() AT TIME ZONE 'UTC')::date, 7);
"""


def upgrade() -> None:
    """Make the schema, the tables, and the triggers that keep them true."""
    op.execute("CREATE SCHEMA taskledger")
    op.execute("COMMENT ON SCHEMA taskledger IS 'Functions of the ledger; its tables are in public'")
    op.create_table(
        "duties",
        sa.Column("name", sa.Text(), nullable=False, comment="dispatch, lost_hints, rescue, ..."),
        sa.Column("node", sa.Text(), nullable=False, comment="The dispatcher that ran it last"),
        sa.Column("last_success_at", sa.DateTime(timezone=True), nullable=True, comment="When a run last succeeded"),
        sa.Column(
            "last_error", sa.Text(), nullable=True, comment="What the last run failed with; null after a success"
        ),
        sa.PrimaryKeyConstraint("name", name="pk_duties"),
        comment="When each duty of the dispatcher last succeeded",
    )
    op.create_table(
        "queue_positions",
        sa.Column("queue", sa.Text(), nullable=False, comment="Broker queue"),
        sa.Column("priority", sa.Text(), nullable=False, comment="Priority of the hints"),
        sa.Column(
            "passed_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="The newest dispatched_at that a worker has claimed",
        ),
        sa.PrimaryKeyConstraint("queue", "priority", name="pk_queue_positions"),
        comment="Newest hint claimed from each queue and priority",
    )
    op.create_table(
        "task_events",
        sa.Column(
            "id",
            sa.BigInteger(),
            sa.Identity(always=True),
            nullable=False,
            comment="Drawn under the task's row lock: a task's events are in the order of their ids",
        ),
        sa.Column(
            "at", sa.DateTime(timezone=True), nullable=False, comment="When the change was made; partitions are by day"
        ),
        sa.Column("task_id", sa.Uuid(), nullable=False, comment="The task"),
        sa.Column("type", sa.Text(), nullable=False, comment="Its type"),
        sa.Column("status", sa.Text(), nullable=False, comment="Its status from here on"),
        sa.Column("previous_status", sa.Text(), nullable=True, comment="Its status before; null: it was submitted"),
        sa.Column("attempt", sa.Integer(), nullable=False, comment="Number of the attempt it had reached"),
        sa.Column("worker", sa.Text(), nullable=True, comment="The worker that claimed or ran the attempt"),
        sa.Column(
            "detail", JSONB(), nullable=True, comment="The failure (error), the reason, a payload that was replaced"
        ),
        sa.PrimaryKeyConstraint("id", "at", name="pk_task_events"),
        comment="History of every task's status, by day",
        postgresql_partition_by="RANGE (at)",
    )
    op.create_index("ix_task_events_task_id_id", "task_events", ["task_id", "id"], unique=False)
    op.create_table(
        "tasks",
        sa.Column("id", sa.Uuid(), nullable=False, comment="UUIDv7: ids sort by creation"),
        sa.Column("type", sa.Text(), nullable=False, comment="Task type: which handler runs it"),
        sa.Column("name", sa.Text(), nullable=True, comment="A name for people; not unique"),
        sa.Column("status", sa.Text(), nullable=False, comment="Where the task stands; docs/reference/statuses.md"),
        sa.Column(
            "payload", JSONB(), nullable=False, comment="What the handler is given; its shape is the type's schema"
        ),
        sa.Column("result", JSONB(), nullable=True, comment="What the handler returned"),
        sa.Column(
            "error",
            JSONB(),
            nullable=True,
            comment="Last failure: type, message, traceback; null once the task has completed",
        ),
        sa.Column("error_fingerprint", sa.Text(), nullable=True, comment="Same for failures with the same cause"),
        sa.Column(
            "reason", sa.Text(), nullable=True, comment="Why the status is what it is, where that is not obvious"
        ),
        sa.Column("priority", sa.Text(), nullable=False, comment="high, normal or low"),
        sa.Column("queue", sa.Text(), nullable=False, comment="Broker queue that carries its hints"),
        sa.Column(
            "solo",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="Runs alone in its hint, never in a chunk (after a lost chunk, say)",
        ),
        sa.Column(
            "attempt",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="Number of the latest attempt; 0 before the first",
        ),
        sa.Column(
            "attempt_base",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="Attempts made before the last replay; the retry budget counts from here",
        ),
        sa.Column(
            "max_retries",
            sa.Integer(),
            nullable=False,
            comment="Retries after the first attempt before the task is FAILED",
        ),
        sa.Column(
            "timeout_seconds", sa.Integer(), nullable=True, comment="Soft time limit of its own; null: the type's"
        ),
        sa.Column("labels", JSONB(), server_default="{}", nullable=False, comment="Strings by name, to filter by"),
        sa.Column(
            "progress", JSONB(), nullable=True, comment="What the handler last reported: fraction 0..1 and message"
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, comment="When the submission was accepted"),
        sa.Column("scheduled_at", sa.DateTime(timezone=True), nullable=True, comment="Not before this moment"),
        sa.Column(
            "expires_at", sa.DateTime(timezone=True), nullable=True, comment="Cancelled when not started by then"
        ),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True, comment="When the latest attempt started"),
        sa.Column(
            "finished_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When it was COMPLETED, FAILED or CANCELLED",
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="Last change of the row",
        ),
        sa.Column(
            "due_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When the dispatcher looks at the row again: start, retry, lost hint or lease end; null once finished",
        ),
        sa.Column(
            "dispatched_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When its last hint was published; null: held by the ledger, no hint is out",
        ),
        sa.Column(
            "aged",
            sa.SmallInteger(),
            server_default="0",
            nullable=False,
            comment="Extra hints it got at a higher priority because it waited so long",
        ),
        sa.Column(
            "lease", sa.Uuid(), nullable=True, comment="The right to record this attempt's outcome; new at every claim"
        ),
        sa.Column("leased_by", sa.Text(), nullable=True, comment="The worker (workers.id) that holds the lease"),
        sa.Column(
            "leased_pid", sa.Integer(), nullable=True, comment="Process on the worker's host that runs the handler"
        ),
        sa.Column(
            "cancel_requested_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When a running task was asked to stop",
        ),
        sa.Column(
            "cancel_receipt",
            sa.Text(),
            nullable=True,
            comment="What the cancellation found: never_started, stopped, killed or finished_first",
        ),
        sa.CheckConstraint(
            "(due_at IS NULL) = (status IN ('CANCELLED', 'COMPLETED', 'FAILED'))", name="ck_tasks_due_while_unfinished"
        ),
        sa.CheckConstraint(
            "(finished_at IS NOT NULL) = (status IN ('CANCELLED', 'COMPLETED', 'FAILED'))",
            name="ck_tasks_finished_at_when_finished",
        ),
        sa.CheckConstraint("(lease IS NOT NULL) = (status = 'PROCESSING')", name="ck_tasks_lease_while_processing"),
        sa.CheckConstraint("jsonb_typeof(labels) = 'object'", name="ck_tasks_labels_object"),
        sa.CheckConstraint("priority IN ('high', 'low', 'normal')", name="ck_tasks_priority_known"),
        sa.CheckConstraint(
            "status IN ('CANCELLED', 'COMPLETED', 'FAILED', 'PENDING', 'PROCESSING', 'RETRYING', 'SCHEDULED')",
            name="ck_tasks_status_known",
        ),
        sa.CheckConstraint("attempt >= attempt_base AND attempt_base >= 0", name="ck_tasks_attempts_count_up"),
        sa.CheckConstraint("max_retries >= 0", name="ck_tasks_max_retries_not_negative"),
        sa.CheckConstraint("timeout_seconds > 0", name="ck_tasks_timeout_positive"),
        sa.PrimaryKeyConstraint("id", name="pk_tasks"),
        comment="Every submitted task; the row is the truth, broker messages are hints",
        postgresql_with={"fillfactor": "80", "autovacuum_vacuum_scale_factor": "0.01"},
    )
    op.create_index(
        "ix_tasks_due_at", "tasks", ["due_at"], unique=False, postgresql_where=sa.text("due_at IS NOT NULL")
    )
    op.create_index(
        "ix_tasks_ended_badly",
        "tasks",
        ["status", "type", "id"],
        unique=False,
        postgresql_where=sa.text("status IN ('FAILED', 'CANCELLED')"),
    )
    op.create_table(
        "workers",
        sa.Column("id", sa.Text(), nullable=False, comment="node/incarnation: new at every start of the process"),
        sa.Column("node", sa.Text(), nullable=False, comment="Celery node name"),
        sa.Column("host", sa.Text(), nullable=False, comment="Host it runs on"),
        sa.Column("pid", sa.Integer(), nullable=False, comment="Process id of the parent"),
        sa.Column("concurrency", sa.Integer(), nullable=False, comment="How many handlers it runs at once"),
        sa.Column("queues", sa.ARRAY(sa.Text()), nullable=False, comment="Queues it takes hints from"),
        sa.Column(
            "types", JSONB(), nullable=False, comment="Task types it knows, with the hash of their payload schema"
        ),
        sa.Column("version", sa.Text(), nullable=False, comment="Version of the service it runs"),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False, comment="When it started"),
        sa.Column(
            "last_seen_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="Written every second while its parent process is alive",
        ),
        sa.Column("stopped_at", sa.DateTime(timezone=True), nullable=True, comment="When it stopped cleanly"),
        sa.PrimaryKeyConstraint("id", name="pk_workers"),
        comment="Workers, alive and recently gone",
    )
    # ### end Alembic commands ###
    op.create_table(
        "task_log",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Order of writing"),
        sa.Column("task_id", sa.Uuid(), nullable=False, comment="The task"),
        sa.Column("attempt", sa.Integer(), nullable=False, comment="The attempt that wrote it"),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, comment="When"),
        sa.Column("message", sa.Text(), nullable=False, comment="What"),
        sa.Column("fields", JSONB(), nullable=False, comment="Values by name"),
        sa.PrimaryKeyConstraint("id", name="pk_task_log"),
        comment="What handlers wrote with task.log(), at most 500 lines an attempt",
    )
    op.create_index("ix_task_log_task_id_id", "task_log", ["task_id", "id"], unique=False)
    op.execute(KEEP_TASK_WHOLE)
    op.execute(RECORD_EVENT)
    op.execute(EVENT_PARTITIONS)


def downgrade() -> None:
    """Drop all of it."""
    for table in ("task_log", "workers", "queue_positions", "duties", "task_events", "tasks"):
        op.drop_table(table)
    op.execute("DROP SCHEMA taskledger CASCADE")
