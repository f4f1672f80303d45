"""Acts of admins through SQL on what is somebody else's leave entries in the audit log; log-ins know when they began."""

import sqlalchemy as sa
from alembic import op

from app.migrations import resources

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table in which entries wait for their commit, and the moment at which a log-in began."""
    op.create_table(
        "audit_notes",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Order of writing"),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, comment="When"),
        sa.Column("action", sa.Text(), nullable=False, comment="What, such as admin.cancel_task"),
        sa.Column("actor_id", sa.Uuid(), nullable=True, comment="users.id that the role stands for; null: the service itself"),
        sa.Column("subject", sa.Text(), nullable=True, comment="What it was done to, such as task:<id>"),
        sa.Column("detail", sa.dialects.postgresql.JSONB(), nullable=False, comment="What else; db_user is the role"),
        sa.PrimaryKeyConstraint("id", name="pk_audit_notes"),
        comment="Entries of transactions through SQL that are not committed yet: each becomes one of audit_log with the commit",
    )
    # A default, because processes of the version before go on adding rows while this is installed.
    op.add_column(
        "refresh_tokens",
        sa.Column(
            "began_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When its log-in began, by the password",
        ),
    )
    op.execute(
        "UPDATE refresh_tokens r SET began_at = f.began_at "
        "FROM (SELECT family, min(created_at) AS began_at FROM refresh_tokens GROUP BY family) f WHERE f.family = r.family"
    )
    op.alter_column("sinks", "name", comment="csv, stats, webhooks or audit")
    op.alter_column(
        "sinks", "position", comment="Publish-order number of the last event it has taken; of audit: audit_log.id"
    )
    resources.run("0021_audit.sql")


def downgrade() -> None:
    """Take them away; entries that are in the log stay."""
    resources.run("0021_before.sql")
    op.execute("DROP FUNCTION taskledger.note_on_task(text, uuid)")
    op.drop_table("audit_notes")
    op.execute("DROP FUNCTION taskledger.add_audit_note()")
    op.alter_column("sinks", "name", comment="csv, stats or webhooks")
    op.alter_column("sinks", "position", comment="Publish-order number of the last event it has taken")
    op.drop_column("refresh_tokens", "began_at")
