"""Quotas that hold over all processes, for waiting tasks and for stored files; keys of limits by account."""

import sqlalchemy as sa
from alembic import op

from app.migrations import resources

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what quotas are counted by. Limits of keys that are there stay what they were: one for all accounts."""
    op.add_column(
        "users",
        sa.Column(
            "max_stored_bytes",
            sa.BigInteger(),
            nullable=True,
            comment="A quota of their own for stored files; null: MAX_STORED_BYTES",
        ),
    )
    op.create_check_constraint(
        op.f("ck_users_max_stored_bytes_not_negative"), "users", "max_stored_bytes >= 0", postgresql_not_valid=True
    )
    op.execute("ALTER TABLE users VALIDATE CONSTRAINT ck_users_max_stored_bytes_not_negative")
    op.create_table(
        "stored_bytes",
        sa.Column("owner_id", sa.Uuid(), nullable=False, comment="users.id"),
        sa.Column("bytes", sa.BigInteger(), nullable=False, comment="Size of all files that can be read"),
        sa.PrimaryKeyConstraint("owner_id", name=op.f("pk_stored_bytes")),
        comment="Bytes of stored files by account; kept by triggers on artifacts",
        postgresql_with={"fillfactor": "50"},
    )
    resources.run("0018_files.sql")
    op.add_column(
        "limits",
        sa.Column(
            "shared",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="Of a key: its places are for all accounts together; false: each account has places of its own",
        ),
    )
    op.execute("UPDATE limits SET shared = true WHERE kind = 'key'")
    resources.run("0018_room.sql")
    resources.run("0018_replay.sql")
    op.alter_column(
        "sql_counts", "backend", comment="0: of all processes; a process id: of a connection far from the quota; "
        "the same, negative: a block of places that its transaction has taken",
    )
    op.alter_column("sql_counts", "waiting", comment="Waiting tasks then, with those taken since; of a block, its places")
    op.alter_column("sql_counts", "counted_at", comment="When; another count is made 5 seconds later")
    op.execute("COMMENT ON TABLE sql_counts IS 'Counts for quotas of waiting tasks'")


def downgrade() -> None:
    """Take all of it away."""
    for name in ("made", "changed", "gone"):
        op.execute(f"DROP TRIGGER count_stored_bytes_{name} ON artifacts")
    op.execute("DROP FUNCTION taskledger.count_stored_bytes()")
    op.drop_table("stored_bytes")
    op.drop_column("users", "max_stored_bytes")
    op.drop_column("limits", "shared")
    op.execute("DELETE FROM sql_counts")
    resources.run("0018_room_before.sql")
    resources.run("0009b_runs.sql")
    op.execute("DROP FUNCTION taskledger.take_rooms(uuid[]), taskledger.places_taken(uuid)")
    op.execute("DROP FUNCTION taskledger.take_room(uuid, bigint, bigint, bigint, integer)")
