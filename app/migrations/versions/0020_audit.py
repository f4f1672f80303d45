"""The audit log as a chain: each entry holds the hash of the one before, and nobody truncates it."""

import sqlalchemy as sa
from alembic import op

from app.migrations import resources

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

KEEP_AS_BEFORE = """
CREATE OR REPLACE FUNCTION taskledger.keep_audit_log() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit_log is only ever added to; % refused', lower(TG_OP);
END $$
"""
DROP = (
    "DROP TRIGGER chain_audit_log ON audit_log",
    "DROP TRIGGER keep_audit_log_whole ON audit_log",
    "DROP FUNCTION taskledger.prune_audit_log(timestamptz)",
    "DROP FUNCTION taskledger.chain_audit_log()",
    "DROP FUNCTION taskledger.audit_hash(bytea, audit_log)",
)


def upgrade() -> None:
    """Add the hashes and the ends of the chain, and chain what is there; nobody adds an entry meanwhile."""
    op.add_column(
        "audit_log",
        sa.Column("previous_hash", sa.LargeBinary(), nullable=True, comment="hash of the entry before; empty: the first"),
    )
    op.add_column(
        "audit_log",
        sa.Column("hash", sa.LargeBinary(), nullable=True, comment="SHA-256 of previous_hash and of this entry"),
    )
    op.create_table(
        "audit_chain",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False, comment="1: there is one row"),
        sa.Column("last_id", sa.BigInteger(), nullable=False, comment="audit_log.id of the newest entry; 0: none"),
        sa.Column("last_hash", sa.LargeBinary(), nullable=False, comment="Its hash; empty: none"),
        sa.Column("pruned_id", sa.BigInteger(), nullable=False, comment="Entries up to this id were pruned; 0: none"),
        sa.Column("pruned_hash", sa.LargeBinary(), nullable=False, comment="hash of the last that was pruned"),
        sa.CheckConstraint("id = 1", name="ck_audit_chain_one_row"),
        sa.PrimaryKeyConstraint("id", name="pk_audit_chain"),
        comment="Where the chain of audit_log begins and ends; entries that are added wait for each other here",
    )
    resources.run("0020_audit.sql")


def downgrade() -> None:
    """Take the chain away; the entries stay."""
    for statement in DROP:
        op.execute(statement)
    op.drop_table("audit_chain")
    op.execute("DROP FUNCTION taskledger.keep_audit_chain()")
    op.execute(KEEP_AS_BEFORE)
    op.drop_column("audit_log", "hash")
    op.drop_column("audit_log", "previous_hash")
