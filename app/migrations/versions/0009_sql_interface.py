"""SQL as an interface: views, functions, the guard of statuses, and the tables behind them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from app.migrations import resources

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
WORDS = ARRAY(sa.Text())
FILES = ("callers", "submit", "changes", "pauses", "redaction", "view_tasks", "view_problems", "view_service", "guard")
VIEWS = ("v_events", "v_tasks", "v_stuck", "v_dead_letters", "v_waiting_on", "v_queue_status", "v_schedule_next")

FUNCTIONS = (
    "admin_caller", "cancel", "caller", "check_labels", "check_pausable", "check_payload", "check_room", "checked_type",
    "first_use", "is_secret_name", "known_caller", "locked_status", "mask_named", "new_id",
    "note_in_audit_log", "pause", "pause_queue", "pause_type", "refuse_unknown_change", "replay", "resume",
    "resume_queue", "resume_type", "retry", "retry_where", "shown", "submit", "wake_dispatcher",
)  # fmt: skip
EACH_FUNCTION = """
DO $$ DECLARE one text; BEGIN
    FOR one IN SELECT oid::regprocedure FROM pg_proc
               WHERE pronamespace = 'taskledger'::regnamespace AND proname IN ({names}) LOOP
        EXECUTE format({statement}, one);
    END LOOP;
END $$
"""


def each_function(statement: str) -> None:
    """Execute a statement for each function of this migration; %s is its name and arguments."""
    names = ", ".join(repr(name) for name in FUNCTIONS)
    op.execute(EACH_FUNCTION.format(names=names, statement=repr(statement)))


def upgrade() -> None:
    """Make the tables, and then what stands on them."""
    op.create_table(
        "task_types",
        sa.Column("name", sa.Text(), nullable=False, comment="Task type"),
        sa.Column("summary", sa.Text(), nullable=False, comment="What it does, in a line"),
        sa.Column(
            "enabled",
            sa.Boolean(),
            server_default=sa.text("true"),
            nullable=False,
            comment="Whether it may be submitted through SQL; for people to change",
        ),
        sa.Column("sensitive", sa.Boolean(), nullable=False, comment="Payloads are encrypted, by the service only"),
        sa.Column("queue", sa.Text(), nullable=False, comment="Broker queue of its tasks"),
        sa.Column("chunk", sa.Integer(), nullable=False, comment="Up to so many tasks travel in one hint"),
        sa.Column("max_retries", sa.Integer(), nullable=False, comment="Retries of a task that says nothing else"),
        sa.Column(
            "timeout_seconds", sa.Integer(), nullable=False, comment="Soft time limit of a task that sets none"
        ),
        sa.Column(
            "longest_timeout_seconds", sa.Integer(), nullable=False, comment="The longest that a task may set"
        ),
        sa.Column("payload_kinds", WORDS, nullable=False, comment="jsonb_typeof of payloads that it takes"),
        sa.Column("required_keys", WORDS, nullable=False, comment="Top-level keys that a payload must have"),
        sa.Column("known_keys", WORDS, nullable=True, comment="Top-level keys that a payload may have; null: any"),
        sa.Column(
            "masked_keys",
            WORDS,
            nullable=False,
            comment="Top-level keys that hold secrets, which views do not show; *: the whole payload",
        ),
        sa.Column("schema", JSONB(), nullable=False, comment="JSON Schema of its payload"),
        sa.Column("schema_hash", sa.Text(), nullable=False, comment="Changes when the schema does"),
        sa.Column(
            "retired_at", MOMENT, nullable=True, comment="When setup missed it in the code; null: it is there"
        ),
        sa.Column("updated_at", MOMENT, nullable=False, comment="When the code last said something new about it"),
        sa.PrimaryKeyConstraint("name", name="pk_task_types"),
        comment="Task types as their code declares them, for functions and views in the database",
    )
    op.create_table(
        "sql_roles",
        sa.Column("role_name", sa.Text(), nullable=False, comment="Role that logs in to the database"),
        sa.Column(
            "owner_id",
            sa.Uuid(),
            nullable=False,
            comment="users.id whose tasks it submits, sees and changes; an admin's: all",
        ),
        sa.Column(
            "reads_all",
            sa.Boolean(),
            nullable=False,
            comment="Whether views show it everybody's rows; false: its owner's only",
        ),
        sa.Column("created_at", MOMENT, nullable=False, comment="When it was added"),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name="fk_sql_roles_owner_id_users"),
        sa.PrimaryKeyConstraint("role_name", name="pk_sql_roles"),
        comment="Database roles that may use the views and functions of the schema taskledger",
    )
    op.create_table(
        "sql_limits",
        sa.Column("name", sa.Text(), nullable=False, comment="max_payload_bytes, max_waiting_tasks"),
        sa.Column("value", sa.BigInteger(), nullable=False, comment="Its value, written by setup"),
        sa.PrimaryKeyConstraint("name", name="pk_sql_limits"),
        comment="Settings that functions in the database apply",
    )
    op.create_table(
        "sql_counts",
        sa.Column("owner_id", sa.Uuid(), nullable=False, comment="users.id"),
        sa.Column("backend", sa.Integer(), autoincrement=False, nullable=False, comment="Process id of the connection"),
        sa.Column(
            "waiting", sa.BigInteger(), nullable=False, comment="Waiting tasks then, with the one being submitted"
        ),
        sa.Column(
            "number", sa.BigInteger(), nullable=False, comment="Number that taskledger.sql_submissions had reached"
        ),
        sa.Column("counted_at", MOMENT, nullable=False, comment="When; another count is made 5 seconds later"),
        sa.PrimaryKeyConstraint("owner_id", "backend", name="pk_sql_counts"),
        comment="Counts for quotas of submissions through SQL",
        prefixes=["UNLOGGED"],
    )
    op.create_table(
        "sql_arrivals",
        sa.Column(
            "transaction_id",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="pg_current_xact_id() of the transaction",
        ),
        sa.Column(
            "since", MOMENT, nullable=False, comment="When it began: its tasks have been due since then or later"
        ),
        sa.PrimaryKeyConstraint("transaction_id", name="pk_sql_arrivals"),
        comment="Transactions that made tasks due through SQL, until the dispatcher has seen them",
    )
    op.execute("CREATE SEQUENCE taskledger.sql_submissions")
    op.execute("COMMENT ON SEQUENCE taskledger.sql_submissions IS 'Submissions through SQL, those rolled back included'")
    op.add_column(
        "task_events",
        sa.Column(
            "db_user",
            sa.Text(),
            nullable=True,
            comment="The database user who made the change through SQL; null: the service",
        ),
    )
    for name in FILES:
        resources.run(f"0009_{name}.sql")
    # Only roles that were granted something may call anything here: app/services/sql/roles.py.
    each_function("REVOKE ALL ON FUNCTION %s FROM PUBLIC")


def downgrade() -> None:
    """Drop them; the history forgets who changed a status by hand."""
    op.execute("DROP TRIGGER refuse_unknown_change ON tasks")
    for name in VIEWS:
        op.execute(f"DROP VIEW taskledger.{name}")
    each_function("DROP FUNCTION %s")
    op.drop_column("task_events", "db_user")
    op.execute("DROP SEQUENCE taskledger.sql_submissions")
    for table in ("sql_arrivals", "sql_counts", "sql_limits", "sql_roles", "task_types"):
        op.drop_table(table)
