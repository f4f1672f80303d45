"""Limits, the admission of tasks under them, order by key, and unique tasks."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009b"
branch_labels = None
depends_on = None

NOBODY = "00000000-0000-0000-0000-000000000000"

GATE_TASK = f"""
CREATE FUNCTION taskledger.gate_task() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    is_hard boolean;
    most integer;
    whose uuid := coalesce(NEW.owner_id, '{NOBODY}');
    place text;
BEGIN
    SELECT bool_or(max_running IS NOT NULL OR rate_count IS NOT NULL), min(max_hints) INTO is_hard, most
    FROM public.limits
    WHERE kind = 'all' OR (kind = 'queue' AND name = NEW.queue) OR (kind = 'type' AND name = NEW.type)
       OR (kind = 'owner' AND name = NEW.owner_id::text)
       OR (kind = 'key' AND (name = NEW.concurrency_key
                             OR (right(name, 1) = '*' AND starts_with(NEW.concurrency_key, left(name, -1)))));
    IF NOT coalesce(is_hard, false) AND most IS NULL AND NEW.ordering_key IS NULL THEN
        RETURN NEW;
    END IF;
    NEW.gated := true;
    IF NEW.status = 'PENDING' THEN
        IF NEW.ordering_key IS NOT NULL AND EXISTS
            (SELECT FROM public.admissions WHERE owner_id = whose AND ordering_key = NEW.ordering_key) THEN
            place := 'queued';
        ELSIF NOT coalesce(is_hard, false) AND NEW.ordering_key IS NULL AND NEW.dispatched_at IS NOT NULL
            AND NOT EXISTS (SELECT FROM public.admissions
                            WHERE state = 'held' AND owner_id = whose AND type = NEW.type)
            AND (SELECT count(*) FROM (SELECT FROM public.admissions
                                       WHERE state IN ('out', 'running') AND owner_id = whose AND type = NEW.type
                                       LIMIT most) AS active) < most THEN
            place := 'out';  -- below its share: its hint may be published at once
        ELSE
            place := 'held';
        END IF;
        IF place <> 'out' THEN
            NEW.dispatched_at := NULL;
            NEW.due_at := '9000-01-01 00:00:00+00';
        END IF;
    ELSE
        place := 'waiting';
    END IF;
    INSERT INTO public.admissions (task_id, state, rank, owner_id, type, queue, key, ordering_key)
    VALUES (NEW.id, place, taskledger.priority_rank(NEW.priority), whose, NEW.type, NEW.queue,
            coalesce(NEW.concurrency_key, ''), coalesce(NEW.ordering_key, ''));
    RETURN NEW;
END $$;
COMMENT ON FUNCTION taskledger.gate_task() IS 'Holds a new task that a limit or an ordering key concerns';
CREATE TRIGGER gate_task BEFORE INSERT ON tasks FOR EACH ROW EXECUTE FUNCTION taskledger.gate_task();
"""

PRIORITY_RANK = """
CREATE FUNCTION taskledger.priority_rank(priority text) RETURNS smallint LANGUAGE sql IMMUTABLE
    RETURN CASE priority WHEN 'high' THEN 0 WHEN 'normal' THEN 1 ELSE 2 END;
COMMENT ON FUNCTION taskledger.priority_rank(text) IS '0 high, 1 normal, 2 low';
"""

FOLLOW_ADMISSION = f"""
CREATE FUNCTION taskledger.release_next(whose uuid, lane text) RETURNS void LANGUAGE sql AS $$
    UPDATE public.admissions SET state = 'held', since = clock_timestamp()
    WHERE state = 'queued' AND task_id = (SELECT task_id FROM public.admissions
                                          WHERE owner_id = whose AND ordering_key = lane ORDER BY seq LIMIT 1);
$$;
COMMENT ON FUNCTION taskledger.release_next(uuid, text) IS 'Lets the first of an ordering key be admitted';
CREATE FUNCTION taskledger.follow_admission() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    whose uuid := coalesce(OLD.owner_id, '{NOBODY}');
    place text;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        place := CASE
            WHEN NEW.status = 'PROCESSING' THEN 'running'
            WHEN NEW.status = 'PENDING' THEN CASE WHEN NEW.dispatched_at IS NULL THEN 'held' ELSE 'out' END
            WHEN NEW.status IN ('SCHEDULED', 'RETRYING') THEN 'waiting'
            WHEN NEW.status = 'FAILED' AND NEW.ordering_key IS NOT NULL
                AND NEW.after_failure IS DISTINCT FROM 'release' THEN 'blocking' END;
    END IF;
    IF place IS NOT NULL THEN
        INSERT INTO public.admissions (task_id, state, rank, owner_id, type, queue, key, ordering_key)
        VALUES (NEW.id, place, taskledger.priority_rank(NEW.priority), whose, NEW.type, NEW.queue,
                coalesce(NEW.concurrency_key, ''), coalesce(NEW.ordering_key, ''))
        ON CONFLICT (task_id) DO UPDATE
        SET state = excluded.state, rank = excluded.rank, since = clock_timestamp()
        WHERE admissions.state <> excluded.state OR admissions.rank <> excluded.rank;
        RETURN NULL;
    END IF;
    DELETE FROM public.admissions WHERE task_id = OLD.id;
    IF OLD.ordering_key IS NOT NULL THEN
        PERFORM taskledger.release_next(whose, OLD.ordering_key);
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION taskledger.follow_admission() IS 'Keeps admissions in step with tasks, whoever writes the row';
CREATE TRIGGER follow_admission AFTER UPDATE OF status, dispatched_at, gated, priority ON tasks
    FOR EACH ROW WHEN (NEW.gated) EXECUTE FUNCTION taskledger.follow_admission();
CREATE TRIGGER forget_admission AFTER DELETE ON tasks
    FOR EACH ROW WHEN (OLD.gated) EXECUTE FUNCTION taskledger.follow_admission();
"""


def upgrade() -> None:
    """Add the columns, the four tables and the triggers that keep them in step."""
    for column in _task_columns():
        op.add_column("tasks", column)
    op.create_check_constraint(
        op.f("ck_tasks_after_failure_known"), "tasks", "after_failure IN ('block', 'release')"
    )
    _make_limits()
    _make_admissions()
    _make_unique_tasks()
    for statement in (PRIORITY_RANK, GATE_TASK, FOLLOW_ADMISSION):
        op.execute(statement)


def _task_columns() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column(
            "gated",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="A limit or an ordering key concerns it: its hints go out when it is admitted",
        ),
        sa.Column(
            "concurrency_key",
            sa.Text(),
            nullable=True,
            comment="What it uses that limits may be set for, such as host:example.com",
        ),
        sa.Column(
            "ordering_key",
            sa.Text(),
            nullable=True,
            comment="Tasks of one owner with the same key run one at a time, in the order of their submission",
        ),
        sa.Column(
            "after_failure",
            sa.Text(),
            nullable=True,
            comment="What its failure does to the tasks behind it with the same ordering key: block (null, too) or release",
        ),
    )


def _make_limits() -> None:
    op.create_table(
        "limits",
        sa.Column("kind", sa.Text(), nullable=False, comment="all, queue, type, owner or key: what is limited"),
        sa.Column("name", sa.Text(), nullable=False, comment="Which one; a key may end in * to stand for each of many"),
        sa.Column("max_running", sa.Integer(), nullable=True, comment="At most so many at once, over all workers"),
        sa.Column("rate_count", sa.Integer(), nullable=True, comment="At most so many starts in rate_seconds"),
        sa.Column("rate_seconds", sa.Float(), nullable=True, comment="The period of the rate"),
        sa.Column("rate_burst", sa.Integer(), nullable=True, comment="So many may start at once after a quiet time"),
        sa.Column(
            "max_hints", sa.Integer(), nullable=True, comment="At most so many of each owner and type on their way to workers"
        ),
        sa.Column("weight", sa.Integer(), nullable=True, comment="An owner's share where owners compete; null: 1"),
        sa.Column("reason", sa.Text(), nullable=True, comment="Why, in the words of who set it"),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now(), comment="Last change"),
        sa.Column("changed_by", sa.Text(), nullable=True, comment="Who changed it last"),
        sa.CheckConstraint("kind IN ('all', 'key', 'owner', 'queue', 'type')", name=op.f("ck_limits_kind_known")),
        sa.CheckConstraint("max_running >= 0 AND max_hints >= 1 AND weight BETWEEN 1 AND 1000", name=op.f("ck_limits_in_range")),
        sa.CheckConstraint(
            "(rate_count IS NULL) = (rate_seconds IS NULL) AND rate_count >= 1 AND rate_seconds > 0 AND rate_burst >= 1",
            name=op.f("ck_limits_rate_whole"),
        ),
        sa.PrimaryKeyConstraint("kind", "name", name=op.f("pk_limits")),
        comment="Limits in force: edit them here or by /api/v1/limits; they hold within seconds",
    )
    op.create_table(
        "rate_buckets",
        sa.Column("kind", sa.Text(), nullable=False, comment="As in limits"),
        sa.Column("name", sa.Text(), nullable=False, comment="The queue, type, owner or key"),
        sa.Column("tokens", sa.Float(), nullable=False, comment="Starts that were left at that moment"),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, comment="When it was last counted"),
        sa.PrimaryKeyConstraint("kind", "name", name=op.f("pk_rate_buckets")),
        comment="What is left of each rate limit",
    )


def _make_admissions() -> None:
    op.create_table(
        "admissions",
        sa.Column("task_id", sa.Uuid(), nullable=False, comment="The task (tasks.id); its row goes when the task ends"),
        sa.Column(
            "state",
            sa.Text(),
            nullable=False,
            comment="waiting (not due), queued (behind another of its ordering key), held, out (hint published), running, "
            "blocking (failed, and holds its ordering key)",
        ),
        sa.Column("seq", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Order of submission"),
        sa.Column("rank", sa.SmallInteger(), nullable=False, comment="Priority: 0 high, 1 normal, 2 low"),
        sa.Column("owner_id", sa.Uuid(), nullable=False, comment="Its owner; all zeros for the service itself"),
        sa.Column("type", sa.Text(), nullable=False, comment="Its type"),
        sa.Column("queue", sa.Text(), nullable=False, comment="Its queue"),
        sa.Column("key", sa.Text(), nullable=False, comment="Its concurrency key; empty: none"),
        sa.Column("ordering_key", sa.Text(), nullable=False, comment="Its ordering key; empty: none"),
        sa.Column(
            "since",
            sa.DateTime(timezone=True),
            nullable=False,
            server_default=sa.func.clock_timestamp(),
            comment="When it came into this state",
        ),
        sa.CheckConstraint(
            "state IN ('blocking', 'held', 'out', 'queued', 'running', 'waiting')", name=op.f("ck_admissions_state_known")
        ),
        sa.PrimaryKeyConstraint("task_id", name=op.f("pk_admissions")),
        comment="Unfinished tasks under a limit or with an ordering key; kept by triggers on tasks",
        postgresql_with={"fillfactor": "70", "autovacuum_vacuum_scale_factor": "0.01"},
    )
    op.create_index(
        "ix_admissions_held",
        "admissions",
        ["rank", "owner_id", "type", "queue", "key", "ordering_key", "seq"],
        postgresql_where=sa.text("state = 'held'"),
    )
    op.create_index(
        "ix_admissions_active", "admissions", ["owner_id", "type"], postgresql_where=sa.text("state IN ('out', 'running')")
    )
    op.create_index(
        "ix_admissions_ordering_key",
        "admissions",
        ["owner_id", "ordering_key", "seq"],
        postgresql_where=sa.text("ordering_key <> ''"),
    )


def _make_unique_tasks() -> None:
    op.create_table(
        "unique_tasks",
        sa.Column("owner_id", sa.Uuid(), nullable=False, comment="Whose tasks; all zeros for the service itself"),
        sa.Column("fingerprint", sa.Text(), nullable=False, comment="SHA-256 of what must be unique, and of its values"),
        sa.Column("task_id", sa.Uuid(), nullable=False, comment="The task that holds the place"),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True, comment="Until when; null: without end"),
        sa.PrimaryKeyConstraint("owner_id", "fingerprint", name=op.f("pk_unique_tasks")),
        comment="Tasks of which no second is accepted for now",
    )
    op.create_index("ix_unique_tasks_task_id", "unique_tasks", ["task_id"])


def downgrade() -> None:
    """Take all of it away; held tasks are dispatched by the next look."""
    op.execute("DROP TRIGGER forget_admission ON tasks")
    op.execute("DROP TRIGGER follow_admission ON tasks")
    op.execute("DROP TRIGGER gate_task ON tasks")
    op.execute("DROP FUNCTION taskledger.follow_admission(), taskledger.gate_task()")
    op.execute("DROP FUNCTION taskledger.release_next(uuid, text), taskledger.priority_rank(text)")
    op.execute("UPDATE tasks SET due_at = now() WHERE gated AND status = 'PENDING' AND dispatched_at IS NULL")
    for table in ("unique_tasks", "admissions", "rate_buckets", "limits"):
        op.drop_table(table)
    for column in ("after_failure", "ordering_key", "concurrency_key", "gated"):
        op.drop_column("tasks", column)
