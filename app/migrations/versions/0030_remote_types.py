"""Remote task types: declared over HTTP, their hints are rows, and their workers take them by HTTP."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from app.migrations import resources

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

contracts = (
    "The version before knows nothing of remote types, and nothing that it writes changes: the new columns have "
    "defaults, and the CHECK of scopes takes one word more."
)
OFTEN_CLEARED = {"autovacuum_vacuum_scale_factor": "0", "autovacuum_vacuum_threshold": "1000"}
# The naming convention was applied to a name that followed it already.
SCOPES, SCOPES_BEFORE = "ck_api_keys_scopes_known", "ck_api_keys_ck_api_keys_scopes_known"
TYPES = "Task types as code or admins declare them; for functions and views in the database, too"
TYPES_BEFORE = "Task types as their code declares them, for functions and views in the database"


def upgrade() -> None:
    """Add what remote types and their workers need."""
    op.add_column(
        "task_types",
        sa.Column(
            "options",
            JSONB(),
            nullable=True,
            comment="What a remote type was declared with; null: its code declares it",
        ),
    )
    op.alter_column(
        "task_types",
        "retired_at",
        comment="When setup missed it in the code, or an admin retired it; null: it is there",
    )
    op.alter_column("task_types", "updated_at", comment="When something new was last said about it")
    op.execute(f"COMMENT ON TABLE task_types IS '{TYPES}'")
    op.add_column(
        "workers",
        sa.Column(
            "kind",
            sa.Text(),
            server_default="celery",
            nullable=False,
            comment="celery, or remote: it takes its tasks over HTTP",
        ),
    )
    op.alter_column("workers", "node", comment="Celery node name; of a remote worker, the name that it gives itself")
    op.alter_column("workers", "host", comment="Host it runs on; empty where a remote worker does not say")
    op.alter_column("workers", "pid", comment="Process id of the parent; 0 where a remote worker does not say")
    op.alter_column(
        "workers",
        "last_seen_at",
        comment="Written every second while its parent process is alive; of a remote worker, its last request",
    )
    _scopes("'tasks:read', 'tasks:write', 'work', 'admin'", before=SCOPES_BEFORE, after=SCOPES)
    op.create_table(
        "hints",
        sa.Column("type", sa.Text(), nullable=False, comment="Remote task type"),
        sa.Column("rank", sa.SmallInteger(), nullable=False, comment="0: high priority, 1: normal, 2: low"),
        sa.Column(
            "seq",
            sa.BigInteger(),
            sa.Identity(always=True),
            nullable=False,
            comment="Order within a type and rank",
        ),
        sa.Column(
            "task_id", sa.Uuid(), nullable=False, comment="tasks.id; the row there says whether it is still to be run"
        ),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=False, comment="When it was published"),
        sa.PrimaryKeyConstraint("type", "rank", "seq", name=op.f("pk_hints")),
        comment="Hints of remote types; one that is lost is published again, as any other is",
        prefixes=["UNLOGGED"],
        postgresql_with=OFTEN_CLEARED,
    )
    op.create_table(
        "work_claims",
        sa.Column(
            "claim",
            sa.Uuid(),
            nullable=False,
            comment="The lease that it gave; made from the account, the worker and the id that it sent",
        ),
        sa.Column("worker", sa.Text(), nullable=False, comment="workers.id"),
        sa.Column("ids", ARRAY(sa.Uuid()), nullable=False, comment="The tasks that it took"),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, comment="When; kept for a day"),
        sa.PrimaryKeyConstraint("claim", name=op.f("pk_work_claims")),
        comment="Claims of remote workers, for those that never saw the answer",
        prefixes=["UNLOGGED"],
        postgresql_with=OFTEN_CLEARED,
    )
    resources.run("0030_hints.sql")


def downgrade() -> None:
    """Take all of it away; keys that are for work only can be used for nothing any more, and go."""
    op.execute("DROP TRIGGER tell_of_hints ON hints")
    op.execute("DROP FUNCTION taskledger.tell_of_hints()")
    op.drop_table("work_claims")
    op.drop_table("hints")
    op.execute("DELETE FROM api_keys WHERE scopes = ARRAY['work']")
    op.execute("UPDATE api_keys SET scopes = array_remove(scopes, 'work') WHERE 'work' = ANY(scopes)")
    _scopes("'tasks:read', 'tasks:write', 'admin'", before=SCOPES, after=SCOPES_BEFORE)
    op.alter_column("workers", "last_seen_at", comment="Written every second while its parent process is alive")
    op.alter_column("workers", "pid", comment="Process id of the parent")
    op.alter_column("workers", "host", comment="Host it runs on")
    op.alter_column("workers", "node", comment="Celery node name")
    op.drop_column("workers", "kind")
    op.execute(f"COMMENT ON TABLE task_types IS '{TYPES_BEFORE}'")
    op.alter_column("task_types", "updated_at", comment="When the code last said something new about it")
    op.alter_column("task_types", "retired_at", comment="When setup missed it in the code; null: it is there")
    op.execute("DELETE FROM task_types WHERE options IS NOT NULL")
    op.drop_column("task_types", "options")


def _scopes(words: str, *, before: str, after: str) -> None:
    """Replace the CHECK; the rows are looked at without keeping anybody from the table."""
    op.drop_constraint(op.f(before), "api_keys")
    op.create_check_constraint(op.f(after), "api_keys", f"scopes <@ ARRAY[{words}]", postgresql_not_valid=True)
    op.execute(f"ALTER TABLE api_keys VALIDATE CONSTRAINT {after}")
