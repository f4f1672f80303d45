"""Signals through SQL, and views of work that waits: what tasks were told, what they remember."""

from alembic import op

from app.migrations import resources

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

contracts = "New functions and views; nothing that the version before reads changes."

def upgrade() -> None:
    """Add them."""
    resources.run("0033_signal.sql")


def downgrade() -> None:
    """Take them away."""
    op.execute("DROP VIEW taskledger.v_signals, taskledger.v_steps")
    op.execute("DROP FUNCTION taskledger.signal(uuid, text, jsonb), taskledger.check_signal(text, jsonb)")
