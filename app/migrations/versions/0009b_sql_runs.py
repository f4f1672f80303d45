"""SQL as an interface, for what workflows and events have brought: runs, throughput, and tasks of runs."""

from alembic import op

from app.migrations import resources

revision = "0009b"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add two views; tasks of runs are not started over by themselves."""
    for name in ("view_runs", "view_throughput", "runs"):
        resources.run(f"0009b_{name}.sql")


def downgrade() -> None:
    """Drop the views; the functions are replaced by those of 0009."""
    op.execute("DROP VIEW taskledger.v_workflow_runs, taskledger.v_throughput")
    op.execute("DROP FUNCTION taskledger.cancel(uuid), taskledger.retry(uuid), taskledger.retry_where(text, text)")
    op.execute("DROP FUNCTION taskledger.replay(uuid[]), taskledger.locked_status(uuid)")
    resources.run("0009_changes.sql")
    for function in ("cancel(uuid)", "retry(uuid)", "retry_where(text, text)", "replay(uuid[])", "locked_status(uuid)"):
        op.execute(f"REVOKE ALL ON FUNCTION taskledger.{function} FROM PUBLIC")
