"""Rights by type: accounts and API keys may be limited to task types and queues, and kept from reaching outside."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

from app.migrations import resources

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

AMEND = """
DO $do$
DECLARE
    made text := pg_get_functiondef({function}::regprocedure);
BEGIN
    IF position({before} IN made) = 0 THEN
        RAISE EXCEPTION 'the function % is not what this migration expects', {function};
    END IF;
    EXECUTE replace(made, {before}, {after});
END $do$
"""
SUBMIT = "taskledger.submit(text, jsonb, text, text, timestamptz, integer, integer, jsonb, timestamptz, text)"
BEFORE = "    kind := taskledger.checked_type(submit.type);\n"
AFTER = f"{BEFORE}    PERFORM taskledger.check_rights(caller.owner_id, kind.name, kind.queue);\n"


def amend(function: str, before: str, after: str) -> None:
    """Replace a part of a function's text; what was granted on it, and how it is called, stays."""
    quoted = {"function": f"'{function}'", "before": f"$old${before}$old$", "after": f"$new${after}$new$"}
    op.get_bind().exec_driver_sql(AMEND.format(**quoted), execution_options={"no_parameters": True})


def upgrade() -> None:
    """Add the columns. Accounts that are there may go on as before; of new ones, whoever makes them says."""
    op.add_column(
        "users", sa.Column("allowed_types", ARRAY(sa.Text()), nullable=True, comment="Task types that they may use; null: all")
    )
    op.add_column(
        "users",
        sa.Column(
            "allowed_queues", ARRAY(sa.Text()), nullable=True, comment="Queues whose task types they may use; null: all"
        ),
    )
    op.add_column(
        "users",
        sa.Column(
            "may_reach_outside",
            sa.Boolean(),
            server_default=sa.true(),
            nullable=True,
            comment="Whether an admin lets them reach outside; null: NEW_ACCOUNTS_REACH_OUTSIDE",
        ),
    )
    op.add_column(
        "api_keys",
        sa.Column(
            "allowed_types",
            ARRAY(sa.Text()),
            nullable=True,
            comment="Task types that it may be used for; null: all of its account's",
        ),
    )
    op.add_column(
        "api_keys",
        sa.Column(
            "allowed_queues",
            ARRAY(sa.Text()),
            nullable=True,
            comment="Queues whose task types it may be used for; null: all of its account's",
        ),
    )
    op.add_column(
        "task_types",
        sa.Column(
            "reaches_outside",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="Whether it sends to addresses that its payload names",
        ),
    )
    op.alter_column("sql_limits", "name", comment="max_payload_bytes, max_waiting_tasks, new_accounts_reach_outside")
    resources.run("0019_rights.sql")
    amend(SUBMIT, BEFORE, AFTER)


def downgrade() -> None:
    """Take all of it away: everybody may use everything again."""
    amend(SUBMIT, AFTER, BEFORE)
    resources.run("0018_replay.sql")
    op.execute("DROP FUNCTION taskledger.check_rights(uuid, text, text)")
    op.drop_column("task_types", "reaches_outside")
    for table in ("users", "api_keys"):
        op.drop_column(table, "allowed_types")
        op.drop_column(table, "allowed_queues")
    op.drop_column("users", "may_reach_outside")
