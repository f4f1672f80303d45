"""Tasks that wait without a worker: the status WAITING, signals, and news for tasks whose children have ended."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from app.migrations import resources

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

contracts = (
    "The version before writes no row that is WAITING, and reads none as long as no type is durable, which setup "
    "refuses while a worker of it lives. CHECKs take one word more; a wake-up without a run leads it to no run."
)
STATUSES = "'CANCELLED', 'COMPLETED', 'FAILED', 'PENDING', 'PROCESSING', 'RETRYING', 'SCHEDULED', 'WAITING'"
STATUSES_BEFORE = "'CANCELLED', 'COMPLETED', 'FAILED', 'PENDING', 'PROCESSING', 'RETRYING', 'SCHEDULED'"
KINDS = "'once', 'sleep', 'signal', 'call', 'gather', 'run', 'checkpoint'"
KINDS_BEFORE = "'once', 'sleep', 'signal', 'call', 'run', 'checkpoint'"
NEWS = "Runs of which a task has ended, and tasks of which a child has; a trigger writes it, whoever looks deletes it"
NEWS_BEFORE = "Runs of which a task has ended; a trigger writes it, whoever moves the run on deletes it"
STEPS = "What tasks have behind them, for their next attempt: steps of durable handlers, checkpoints of long ones"
STEPS_BEFORE = "What tasks have behind them, for their next attempt: checkpoints of long handlers"
KIND = "once, sleep, signal, call, gather, run or checkpoint"
STEP = "The step of the run, or of the task whose handler submitted it, that it runs or undoes"
STEP_BEFORE = "The step of the run that it runs or undoes"

GUARD = "taskledger.refuse_unknown_change()"
CHANGES = (
    (
        GUARD,
        "            WHEN 'PROCESSING>RETRYING' THEN NEW.attempt = OLD.attempt\n",
        "            WHEN 'PROCESSING>RETRYING' THEN NEW.attempt = OLD.attempt\n"
        "            WHEN 'PROCESSING>WAITING' THEN\n"
        "                NEW.attempt_base = NEW.attempt AND NEW.attempt = OLD.attempt AND NEW.expires_at IS NULL\n",
    ),
    (
        GUARD,
        "            WHEN 'SCHEDULED>PENDING' THEN true\n",
        "            WHEN 'SCHEDULED>PENDING' THEN true\n"
        "            WHEN 'WAITING>CANCELLED' THEN true\n"
        "            WHEN 'WAITING>PENDING' THEN NEW.dispatched_at IS NULL\n",
    ),
    (
        GUARD,
        "            WHEN 'COMPLETED' THEN\n",
        "            WHEN 'WAITING' THEN\n"
        "                NEW.result IS NULL AND NEW.dispatched_at IS NULL AND NEW.waits_for IS NOT NULL AND NEW.attempt =\n"
        "                NEW.attempt_base\n"
        "            WHEN 'COMPLETED' THEN\n",
    ),
    (
        GUARD,
        "CASE WHEN NEW.attempt > NEW.attempt_base\n",
        "CASE WHEN NEW.attempt > NEW.attempt_base OR EXISTS\n"
        "                                                         (SELECT FROM public.task_steps WHERE task_id = NEW.id)\n",
    ),
    (
        GUARD,
        "        WHEN NEW.status = 'PROCESSING'\n",
        "        WHEN NEW.status = 'WAITING'\n"
        "            THEN format('only its handler says what it waits for; end it with taskledger.cancel(%L)', OLD.id)\n"
        "        WHEN NEW.status = 'PROCESSING'\n",
    ),
    (
        "taskledger.keep_task_whole()",
        "    IF NEW.status <> 'PROCESSING' THEN\n        NEW.lease := NULL;\n",
        "    IF NEW.status <> 'WAITING' THEN\n        NEW.waits_for := NULL;\n    END IF;\n"
        "    IF NEW.status <> 'PROCESSING' THEN\n        NEW.lease := NULL;\n",
    ),
    (
        "taskledger.follow_admission()",
        "WHEN NEW.status IN ('SCHEDULED', 'RETRYING') THEN 'waiting'",
        "WHEN NEW.status IN ('SCHEDULED', 'RETRYING', 'WAITING') THEN 'waiting'",
    ),
    (
        "taskledger.cancel(uuid)",
        "cancel_receipt = CASE WHEN t.attempt > t.attempt_base THEN",
        "cancel_receipt = CASE WHEN t.attempt > t.attempt_base\n"
        "                OR EXISTS (SELECT FROM public.task_steps s WHERE s.task_id = t.id) THEN",
    ),
    (
        "taskledger.cancel(uuid)",
        "    ELSIF status <> 'CANCELLED' THEN\n",
        "    ELSIF status = 'WAITING' AND NOT taskledger.has_open_children(cancel.id) THEN\n"
        "        UPDATE public.tasks t\n"
        "        SET status = 'CANCELLED', finished_at = clock_timestamp(), reason = 'cancelled', cancel_receipt = 'stopped'\n"
        "        WHERE t.id = cancel.id;\n"
        "        RETURN 'CANCELLED';\n"
        "    ELSIF status = 'WAITING' THEN\n"
        "        UPDATE public.tasks t SET cancel_requested_at = coalesce(t.cancel_requested_at, clock_timestamp())\n"
        "        WHERE t.id = cancel.id;\n"
        "        INSERT INTO public.workflow_news (task_id) VALUES (cancel.id);\n"
        "    ELSIF status <> 'CANCELLED' THEN\n",
    ),
    (
        "taskledger.places_taken(uuid)",
        "t.due_at IS NOT NULL",
        "t.due_at < '9999-06-01 00:00:00+00'",
    ),
    (
        "taskledger.replay(uuid[])",
        "t.run_id IS NULL",
        "t.run_id IS NULL AND taskledger.may_be_replayed(t.id, t.parent_id, t.step)",
    ),
    (
        "taskledger.retry(uuid)",
        "    ELSIF taskledger.replay(ARRAY[retry.id]) = 0 THEN\n",
        "    ELSIF status IN ('FAILED', 'CANCELLED') AND NOT EXISTS (\n"
        "        SELECT FROM public.tasks t WHERE t.id = retry.id AND taskledger.may_be_replayed(t.id, t.parent_id, t.step)) THEN\n"
        "        RAISE EXCEPTION 'task % is started over with the task whose handler waits for it, or is being undone', retry.id\n"
        "            USING ERRCODE = 'object_not_in_prerequisite_state';\n"
        "    ELSIF taskledger.replay(ARRAY[retry.id]) = 0 THEN\n",
    ),
)


def upgrade() -> None:
    """Let tasks wait."""
    op.add_column(
        "tasks",
        sa.Column(
            "waits_for",
            JSONB(),
            nullable=True,
            comment="While it is WAITING: the step, and a signal, a moment or children that it waits for",
        ),
    )
    op.alter_column("tasks", "step", comment=STEP)
    _check("tasks", "status_known", f"status IN ({STATUSES})")
    _check("task_steps", "kind_known", f"kind IN ({KINDS})")
    op.alter_column("task_steps", "kind", comment=KIND)
    op.execute(f"COMMENT ON TABLE task_steps IS '{STEPS}'")
    op.alter_column("workflow_news", "run_id", nullable=True, comment="The run (no foreign key: it would lock the run)")
    op.add_column(
        "workflow_news",
        sa.Column("task_id", sa.Uuid(), nullable=True, comment="The task, where it is one whose child has ended"),
    )
    op.create_index("ix_workflow_news_task_id", "workflow_news", ["task_id"], postgresql_where=sa.text("task_id IS NOT NULL"))
    op.execute(f"COMMENT ON TABLE workflow_news IS '{NEWS}'")
    _make_signals()
    resources.run("0031_waiting.sql")
    for function, before, after in CHANGES:
        resources.amend(function, before, after)


def downgrade() -> None:
    """Let go of what waits: it is run again from its top, by a version that knows no durable type, and fails."""
    op.execute("UPDATE tasks SET status = 'PENDING', due_at = now() WHERE status = 'WAITING' AND cancel_requested_at IS NULL")
    op.execute("UPDATE tasks SET status = 'CANCELLED', cancel_receipt = 'stopped' WHERE status = 'WAITING'")
    resources.run("0031_before.sql")
    for function, before, after in reversed(CHANGES):
        resources.amend(function, after, before)
    op.execute("DROP TRIGGER tell_parent ON tasks")
    op.execute("DROP TRIGGER tell_parent_of_deletion ON tasks")
    op.execute("DROP TRIGGER forget_failures ON tasks")
    op.execute("DROP FUNCTION taskledger.tell_parent(), taskledger.forget_failures(), taskledger.has_open_children(uuid)")
    op.execute("DROP FUNCTION taskledger.may_be_replayed(uuid, uuid, text)")
    op.execute("DELETE FROM workflow_news WHERE run_id IS NULL")
    op.drop_index("ix_workflow_news_task_id", "workflow_news")
    op.drop_column("workflow_news", "task_id")
    op.alter_column("workflow_news", "run_id", nullable=False)
    op.execute(f"COMMENT ON TABLE workflow_news IS '{NEWS_BEFORE}'")
    op.drop_table("signals")
    op.execute("DELETE FROM task_steps WHERE kind <> 'checkpoint'")
    _check("task_steps", "kind_known", f"kind IN ({KINDS_BEFORE})")
    op.alter_column("task_steps", "kind", comment="once, sleep, signal, call, run or checkpoint")
    op.execute(f"COMMENT ON TABLE task_steps IS '{STEPS_BEFORE}'")
    _check("tasks", "status_known", f"status IN ({STATUSES_BEFORE})")
    op.alter_column("tasks", "step", comment=STEP_BEFORE)
    op.drop_column("tasks", "waits_for")


def _make_signals() -> None:
    op.create_table(
        "signals",
        sa.Column("target", sa.Uuid(), nullable=False, comment="The task or run that it was sent to"),
        sa.Column("name", sa.Text(), nullable=False, comment="What is waited for"),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Order of arrival"),
        sa.Column("data", JSONB(), nullable=True, comment="What was sent; encrypted where the task is of a sensitive type"),
        sa.Column("key", sa.Text(), nullable=True, comment="What the sender calls it, so that it is kept once; null: nothing"),
        sa.Column("sent_by", sa.Uuid(), nullable=True, comment="users.id of who sent it; null: the service itself"),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, comment="When it was sent"),
        sa.Column("taken_by", sa.Text(), nullable=True, comment="The step that has taken it; null: none has yet"),
        sa.PrimaryKeyConstraint("target", "name", "id", name=op.f("pk_signals")),
        sa.UniqueConstraint("target", "key", name=op.f("uq_signals_target_key")),
        comment="What was sent to tasks and runs that wait, or will; a signal is taken once, in the order of arrival",
    )


def _check(table: str, name: str, condition: str) -> None:
    """Replace a CHECK; the rows are looked at without keeping anybody from the table."""
    full = f"ck_{table}_{name}"
    # The naming convention was applied to a name that followed it already.
    op.execute(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {full}, DROP CONSTRAINT IF EXISTS ck_{table}_{full}")
    op.create_check_constraint(op.f(full), table, condition, postgresql_not_valid=True)
    op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {full}")
