"""Workflows: definitions and versions, runs and steps; notes of tasks."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


# 0005 gave it its name twice.
DROP_FIRED_HAS_A_TASK = """
ALTER TABLE schedule_slots DROP CONSTRAINT IF EXISTS ck_schedule_slots_ck_schedule_slots_fired_has_a_task,
    DROP CONSTRAINT IF EXISTS ck_schedule_slots_fired_has_a_task
"""
TELL_RUNS = """
CREATE FUNCTION taskledger.tell_run() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO workflow_news (run_id) VALUES (NEW.run_id);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION taskledger.tell_run() IS 'Notes that a task of a run has ended, whoever ended it';
CREATE TRIGGER tell_run AFTER UPDATE OF status ON tasks FOR EACH ROW
    WHEN (NEW.run_id IS NOT NULL AND NEW.finished_at IS NOT NULL AND OLD.finished_at IS NULL)
    EXECUTE FUNCTION taskledger.tell_run();
CREATE FUNCTION taskledger.record_run_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO workflow_run_events (run_id, at, status, previous_status, reason)
    VALUES (NEW.id, clock_timestamp(), NEW.status, CASE WHEN TG_OP = 'UPDATE' THEN OLD.status END, NEW.reason);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION taskledger.record_run_event() IS 'Writes workflow_run_events on every change of a status';
CREATE TRIGGER record_run_start AFTER INSERT ON workflow_runs
    FOR EACH ROW EXECUTE FUNCTION taskledger.record_run_event();
CREATE TRIGGER record_run_change AFTER UPDATE OF status ON workflow_runs FOR EACH ROW
    WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION taskledger.record_run_event();
"""


def upgrade() -> None:
    """Make the tables, the columns that tie tasks and schedules to runs, and two triggers."""
    op.create_table(
        "workflow_news",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Row"),
        sa.Column("run_id", sa.Uuid(), nullable=False, comment="The run (no foreign key: it would lock the run)"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workflow_news")),
        comment="Runs of which a task has ended; a trigger writes it, whoever moves the run on deletes it",
        postgresql_with={"autovacuum_vacuum_scale_factor": "0.01"},
    )
    op.create_index("ix_workflow_news_run_id", "workflow_news", ["run_id"], unique=False)
    op.create_table(
        "workflows",
        sa.Column("id", sa.Uuid(), nullable=False, comment="UUIDv7: ids sort by creation"),
        sa.Column(
            "owner_id",
            sa.Uuid(),
            nullable=True,
            comment="The account it belongs to (users.id); null: the service itself, for everybody",
        ),
        sa.Column("name", sa.Text(), nullable=False, comment="Its name in paths; one of each owner"),
        sa.Column("description", sa.Text(), nullable=False, comment="For people"),
        sa.Column("active", sa.Boolean(), nullable=False, comment="Whether runs may be started"),
        sa.Column("version", sa.Integer(), nullable=False, comment="Number of the newest version, which new runs take"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, comment="When it was made"),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, comment="When it was last changed"),
        sa.CheckConstraint("version > 0", name=op.f("ck_workflows_version_from_one")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workflows")),
        sa.UniqueConstraint(
            "owner_id", "name", name=op.f("uq_workflows_owner_id_name"), postgresql_nulls_not_distinct=True
        ),
        comment="Workflows by name",
    )
    op.create_index("ix_workflows_owner_id_id", "workflows", ["owner_id", "id"], unique=False)
    op.create_table(
        "task_notes",
        sa.Column("task_id", sa.Uuid(), nullable=False, comment="The task"),
        sa.Column("key", sa.Text(), nullable=False, comment="What has happened, in the handler's words"),
        sa.Column("value", JSONB(), nullable=False, comment="What is known of it"),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, comment="When it was noted"),
        sa.ForeignKeyConstraint(
            ["task_id"], ["tasks.id"], name=op.f("fk_task_notes_task_id_tasks"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("task_id", "key", name=op.f("pk_task_notes")),
        comment="What handlers keep between attempts: effects that must not be repeated",
    )
    op.create_table(
        "workflow_versions",
        sa.Column("id", sa.Uuid(), nullable=False, comment="UUIDv7"),
        sa.Column("workflow_id", sa.Uuid(), nullable=True, comment="Of which workflow; null: deleted, runs remain"),
        sa.Column("number", sa.Integer(), nullable=False, comment="From 1"),
        sa.Column("definition", sa.JSON(), nullable=False, comment="The full form: steps by key"),
        sa.Column("digest", sa.Text(), nullable=False, comment="SHA-256 of the definition: equal for equal ones"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, comment="When it was stored"),
        sa.ForeignKeyConstraint(
            ["workflow_id"],
            ["workflows.id"],
            name=op.f("fk_workflow_versions_workflow_id_workflows"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workflow_versions")),
        sa.UniqueConstraint("workflow_id", "number", name=op.f("uq_workflow_versions_workflow_id_number")),
        comment="Versions of workflows",
    )
    op.create_table(
        "workflow_runs",
        sa.Column("id", sa.Uuid(), nullable=False, comment="UUIDv7: ids sort by creation"),
        sa.Column("workflow_name", sa.Text(), nullable=False, comment="Name of the workflow when it was started"),
        sa.Column("version_id", sa.Uuid(), nullable=False, comment="What it goes by"),
        sa.Column("version", sa.Integer(), nullable=False, comment="Number of that version"),
        sa.Column("owner_id", sa.Uuid(), nullable=True, comment="Whose it is (users.id); null: the service itself"),
        sa.Column("status", sa.Text(), nullable=False, comment="Where it stands; docs/reference/workflows.md"),
        sa.Column(
            "ending", sa.Text(), nullable=True, comment="Why no further step starts: failure, cancel; null: they do"
        ),
        sa.Column(
            "reason", sa.Text(), nullable=True, comment="Why the status is what it is, where that is not obvious"
        ),
        sa.Column("input", JSONB(), nullable=False, comment="What it was given"),
        sa.Column(
            "labels", JSONB(), nullable=False, comment="Strings by name, to find it by; its tasks carry them, too"
        ),
        sa.Column("priority", sa.Text(), nullable=False, comment="Of its tasks: high, normal or low"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, comment="When it was started"),
        sa.Column(
            "starts_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="No step begins before (a schedule's jitter, say)",
        ),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True, comment="When it ended, the last time"),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, comment="When its status last changed"),
        sa.CheckConstraint(
            "(finished_at IS NULL) = (status IN ('COMPENSATING', 'PAUSED', 'RUNNING'))",
            name=op.f("ck_workflow_runs_finished_at_when_finished"),
        ),
        sa.CheckConstraint("ending IN ('cancel', 'failure')", name=op.f("ck_workflow_runs_ending_known")),
        sa.CheckConstraint("priority IN ('high', 'low', 'normal')", name=op.f("ck_workflow_runs_priority_known")),
        sa.CheckConstraint(
            "status IN ('CANCELLED', 'COMPENSATED', 'COMPENSATING', 'COMPENSATION_FAILED', 'COMPLETED', 'FAILED', 'PAUSED', 'RUNNING')",
            name=op.f("ck_workflow_runs_status_known"),
        ),
        sa.ForeignKeyConstraint(
            ["version_id"], ["workflow_versions.id"], name=op.f("fk_workflow_runs_version_id_workflow_versions")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workflow_runs")),
        comment="Runs of workflows",
        postgresql_with={"autovacuum_vacuum_scale_factor": "0.01"},
    )
    op.create_index(
        "ix_workflow_runs_finished_at",
        "workflow_runs",
        ["finished_at"],
        unique=False,
        postgresql_where=sa.text("finished_at IS NOT NULL"),
    )
    op.create_index(
        "ix_workflow_runs_labels",
        "workflow_runs",
        ["labels"],
        unique=False,
        postgresql_using="gin",
        postgresql_ops={"labels": "jsonb_path_ops"},
    )
    op.create_index("ix_workflow_runs_owner_id_id", "workflow_runs", ["owner_id", "id"], unique=False)
    op.create_index(
        "ix_workflow_runs_unfinished",
        "workflow_runs",
        ["id"],
        unique=False,
        postgresql_where=sa.text("status IN ('COMPENSATING', 'PAUSED', 'RUNNING')"),
    )
    op.create_index("ix_workflow_runs_version_id", "workflow_runs", ["version_id"], unique=False)
    op.create_table(
        "workflow_run_events",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Order"),
        sa.Column("run_id", sa.Uuid(), nullable=False, comment="The run"),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, comment="When"),
        sa.Column("status", sa.Text(), nullable=False, comment="Its status from here on"),
        sa.Column("previous_status", sa.Text(), nullable=True, comment="Its status before; null: it was started"),
        sa.Column("reason", sa.Text(), nullable=True, comment="Why"),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["workflow_runs.id"],
            name=op.f("fk_workflow_run_events_run_id_workflow_runs"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workflow_run_events")),
        comment="History of every run's status",
    )
    op.create_index("ix_workflow_run_events_run_id_id", "workflow_run_events", ["run_id", "id"], unique=False)
    op.create_table(
        "workflow_steps",
        sa.Column("run_id", sa.Uuid(), nullable=False, comment="The run"),
        sa.Column("key", sa.Text(), nullable=False, comment="Key of the step in the definition"),
        sa.Column("position", sa.Integer(), nullable=False, comment="Its place in the definition, from 0"),
        sa.Column("type", sa.Text(), nullable=False, comment="Task type that it runs"),
        sa.Column(
            "state", sa.Text(), nullable=False, comment="WAITING, STARTED, COMPLETED, FAILED, CANCELLED or SKIPPED"
        ),
        sa.Column("task_id", sa.Uuid(), nullable=True, comment="Its task; null before it starts, or if it could not"),
        sa.Column(
            "ended_no", sa.Integer(), nullable=True, comment="The how-manieth to end: undone from the highest down"
        ),
        sa.Column("error", JSONB(), nullable=True, comment="Why it failed: type and message"),
        sa.Column(
            "undo_state", sa.Text(), nullable=True, comment="STARTED, DONE, FAILED, NOTHING or BY_HAND; null: not asked"
        ),
        sa.Column("compensation_id", sa.Uuid(), nullable=True, comment="The task that undoes it"),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True, comment="When its task was submitted"),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True, comment="When it ended, or was skipped"),
        sa.CheckConstraint(
            "state <> 'STARTED' OR task_id IS NOT NULL", name=op.f("ck_workflow_steps_started_has_a_task")
        ),
        sa.CheckConstraint(
            "state IN ('CANCELLED', 'COMPLETED', 'FAILED', 'SKIPPED', 'STARTED', 'WAITING')",
            name=op.f("ck_workflow_steps_state_known"),
        ),
        sa.CheckConstraint(
            "undo_state IN ('BY_HAND', 'DONE', 'FAILED', 'NOTHING', 'STARTED')",
            name=op.f("ck_workflow_steps_undo_state_known"),
        ),
        sa.ForeignKeyConstraint(
            ["run_id"], ["workflow_runs.id"], name=op.f("fk_workflow_steps_run_id_workflow_runs"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("run_id", "key", name=op.f("pk_workflow_steps")),
        comment="Steps of runs; the task of a step says what happens to it",
        postgresql_with={"fillfactor": "80", "autovacuum_vacuum_scale_factor": "0.01"},
    )
    op.add_column(
        "invoices",
        sa.Column(
            "pdf_task_id",
            sa.Uuid(),
            nullable=True,
            comment="The task that printed it again, last; null: the PDF of its run is the only one",
        ),
    )
    op.add_column(
        "schedule_slots",
        sa.Column("run_id", sa.Uuid(), nullable=True, comment="The run it started (no foreign key, as above)"),
    )
    op.add_column(
        "schedules",
        sa.Column(
            "last_run_id", sa.Uuid(), nullable=True, comment="Its run, if it starts runs; overlap looks at this one"
        ),
    )
    op.alter_column(
        "schedules",
        "target",
        existing_type=JSONB(),
        comment="What a slot starts: {task: a submission without times} or {workflow: its name and input}",
        existing_comment="What a slot submits: {task: a submission without times}",
        existing_nullable=False,
    )
    op.add_column(
        "tasks",
        sa.Column(
            "run_id", sa.Uuid(), nullable=True, comment="The run (workflow_runs.id) that it is a task of; null: none"
        ),
    )
    op.add_column(
        "tasks", sa.Column("step", sa.Text(), nullable=True, comment="The step of the run that it runs or undoes")
    )
    op.execute(DROP_FIRED_HAS_A_TASK)
    op.create_check_constraint(
        op.f("ck_schedule_slots_fired_has_a_task"),
        "schedule_slots",
        "(state = 'fired') = (num_nonnulls(task_id, run_id) = 1)",
    )
    op.execute(TELL_RUNS)


def downgrade() -> None:
    """Drop them; tasks of runs become tasks like any other."""
    op.execute("DROP TRIGGER tell_run ON tasks")
    op.execute("DELETE FROM schedule_slots WHERE run_id IS NOT NULL")
    op.execute("DELETE FROM schedules WHERE target ? 'workflow'")
    op.execute(DROP_FIRED_HAS_A_TASK)
    op.create_check_constraint(
        op.f("ck_schedule_slots_fired_has_a_task"), "schedule_slots", "(state = 'fired') = (task_id IS NOT NULL)"
    )
    op.drop_column("tasks", "step")
    op.drop_column("tasks", "run_id")
    op.alter_column(
        "schedules",
        "target",
        existing_type=JSONB(),
        comment="What a slot submits: {task: a submission without times}",
        existing_comment="What a slot starts: {task: a submission without times} or {workflow: its name and input}",
        existing_nullable=False,
    )
    op.drop_column("schedules", "last_run_id")
    op.drop_column("schedule_slots", "run_id")
    op.drop_column("invoices", "pdf_task_id")
    op.drop_table("workflow_steps")
    op.drop_table("workflow_run_events")
    op.drop_table("workflow_runs")
    op.drop_table("workflow_versions")
    op.drop_table("task_notes")
    op.drop_table("workflows")
    op.drop_table("workflow_news")
    op.execute("DROP FUNCTION taskledger.tell_run(), taskledger.record_run_event()")
