"""Tasks that a handler submitted: whose child a task is, and under which key a second attempt finds it again."""

import sqlalchemy as sa
from alembic import op

from app.migrations import resources

revision = "0016"
down_revision = "0014"
branch_labels = None
depends_on = None

COMMENT = "The task whose handler submitted it; null: it was submitted from outside"

# CREATE OR REPLACE keeps what was granted on the view, and takes new columns at its end only; what other migrations
# have added to it stays.
EXTEND_VIEW = f"""
DO $do$
DECLARE
    made text := rtrim(pg_get_viewdef('taskledger.v_tasks'::regclass), E'; \\n');
    extended text := regexp_replace(made, E'\\n\\\\s*FROM ', E',\\n    t.parent_id\\n   FROM ');
BEGIN
    IF made = extended THEN
        RAISE EXCEPTION 'the view taskledger.v_tasks is not what this migration expects';
    END IF;
    EXECUTE 'CREATE OR REPLACE VIEW taskledger.v_tasks WITH (security_barrier) AS ' || extended;
END $do$;
COMMENT ON COLUMN taskledger.v_tasks.parent_id IS '{COMMENT}';
"""

# The view as it was; its comments and grants are gone with it for a moment, so they are read first and said again.
SHORTEN_VIEW = """
DO $do$
DECLARE
    made text := rtrim(pg_get_viewdef('taskledger.v_tasks'::regclass), E'; \\n');
    shortened text := regexp_replace(made, E',\\\\s*t\\\\.parent_id', '');
    said text := (
        SELECT string_agg(statement, '; ') FROM (
            SELECT format('COMMENT ON %s %s IS %L', CASE WHEN objsubid = 0 THEN 'VIEW' ELSE 'COLUMN' END,
                          'taskledger.v_tasks' || CASE WHEN objsubid = 0 THEN '' ELSE '.' || quote_ident(attname) END,
                          description)
            FROM pg_description LEFT JOIN pg_attribute ON attrelid = objoid AND attnum = objsubid
            WHERE objoid = 'taskledger.v_tasks'::regclass AND classoid = 'pg_class'::regclass
              AND attname IS DISTINCT FROM 'parent_id'
            UNION ALL
            SELECT format('GRANT %s ON taskledger.v_tasks TO %s', privilege_type,
                          CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE grantee::regrole::text END)
            FROM pg_class, aclexplode(relacl) WHERE pg_class.oid = 'taskledger.v_tasks'::regclass
        ) AS statements (statement));
BEGIN
    DROP VIEW taskledger.v_tasks;
    EXECUTE 'CREATE VIEW taskledger.v_tasks WITH (security_barrier) AS ' || shortened;
    EXECUTE said;
END $do$
"""


def upgrade() -> None:
    """Add the column, the table of children, and both to what SQL shows."""
    op.add_column("tasks", sa.Column("parent_id", sa.Uuid(), nullable=True, comment=COMMENT))
    op.create_table(
        "task_children",
        sa.Column("parent_id", sa.Uuid(), nullable=False, comment="The task whose handler submitted the other"),
        sa.Column("child_id", sa.Uuid(), nullable=False, comment="The task that was submitted; it may be gone already"),
        sa.Column("type", sa.Text(), nullable=False, comment="Its task type"),
        sa.Column("key", sa.Text(), nullable=True, comment="What the handler calls it, on every attempt; null: nothing"),
        sa.ForeignKeyConstraint(
            ["parent_id"], ["tasks.id"], name=op.f("fk_task_children_parent_id_tasks"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("parent_id", "child_id", name=op.f("pk_task_children")),
        comment="Tasks that handlers submitted, by the task whose handler did; they go with it",
    )
    op.create_index(
        "uq_task_children_parent_id_key",
        "task_children",
        ["parent_id", "key"],
        unique=True,
        postgresql_where=sa.text("key IS NOT NULL"),
    )
    op.get_bind().exec_driver_sql(EXTEND_VIEW, execution_options={"no_parameters": True})
    resources.run("0016_view_children.sql")


def downgrade() -> None:
    """Take all of it away."""
    op.execute("DROP VIEW taskledger.v_children")
    op.get_bind().exec_driver_sql(SHORTEN_VIEW, execution_options={"no_parameters": True})
    op.drop_table("task_children")
    op.drop_column("tasks", "parent_id")
