"""Accounts: users, API keys, refresh tokens, wrong log-ins, the audit log, and the owner of a task."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)

KEEP_AUDIT_LOG = """
CREATE FUNCTION taskledger.keep_audit_log() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit_log is only ever added to; % refused', lower(TG_OP);
END $$;
COMMENT ON FUNCTION taskledger.keep_audit_log() IS 'Refuses to change or remove entries of the audit log';
CREATE TRIGGER keep_audit_log BEFORE UPDATE OR DELETE ON audit_log
    FOR EACH ROW EXECUTE FUNCTION taskledger.keep_audit_log();
"""


def upgrade() -> None:
    """Add them."""
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid(), nullable=False, comment="UUIDv7; owner_id of what is theirs"),
        sa.Column("email", sa.Text(), nullable=False, comment="As it was given; unique regardless of case"),
        sa.Column("name", sa.Text(), nullable=False, comment="What to call them"),
        sa.Column("password_hash", sa.Text(), nullable=False, comment="argon2id, with its parameters"),
        sa.Column("role", sa.Text(), nullable=False, comment="user or admin"),
        sa.Column(
            "token_version",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="Access tokens carry it; raising it ends all that were given out",
        ),
        sa.Column(
            "max_waiting_tasks",
            sa.Integer(),
            nullable=True,
            comment="A quota of their own; null: MAX_WAITING_TASKS",
        ),
        sa.Column("created_at", MOMENT, nullable=False, comment="When they registered"),
        sa.Column("updated_at", MOMENT, nullable=False, comment="Last change of the account"),
        sa.Column("last_login_at", MOMENT, nullable=True, comment="Last log-in with a password"),
        sa.Column(
            "disabled_at", MOMENT, nullable=True, comment="When an admin closed the account; null: it is open"
        ),
        sa.CheckConstraint("role IN ('admin', 'user')", name="ck_users_role_known"),
        sa.CheckConstraint("max_waiting_tasks >= 0", name="ck_users_max_waiting_tasks_not_negative"),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        comment="Accounts; they are closed, never deleted, because tasks and the audit log name them",
    )
    op.create_index("uq_users_email_lower", "users", [sa.text("lower(email)")], unique=True)
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Uuid(), nullable=False, comment="UUIDv7"),
        sa.Column("user_id", sa.Uuid(), nullable=False, comment="Whose key it is"),
        sa.Column("name", sa.Text(), nullable=False, comment="What it is for, in its owner's words"),
        sa.Column("prefix", sa.Text(), nullable=False, comment="The first characters of the key, to recognise it by"),
        sa.Column("digest", sa.LargeBinary(), nullable=False, comment="SHA-256 of the key"),
        sa.Column("scopes", ARRAY(sa.Text()), nullable=False, comment="What it may be used for"),
        sa.Column("created_at", MOMENT, nullable=False, comment="When it was made"),
        sa.Column("expires_at", MOMENT, nullable=True, comment="Refused from then on; null: never"),
        sa.Column("revoked_at", MOMENT, nullable=True, comment="When it was revoked; null: it is not"),
        sa.Column("last_used_at", MOMENT, nullable=True, comment="Last use, written at most once a minute"),
        sa.CheckConstraint(
            "scopes <@ ARRAY['tasks:read', 'tasks:write', 'admin']", name="ck_api_keys_scopes_known"
        ),
        sa.CheckConstraint("cardinality(scopes) > 0", name="ck_api_keys_scopes_not_empty"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_api_keys_user_id_users"),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        sa.UniqueConstraint("digest", name="uq_api_keys_digest"),
        comment="API keys; shown once when they are made, stored as a digest",
    )
    op.create_index("ix_api_keys_user_id", "api_keys", ["user_id"])
    op.create_table(
        "refresh_tokens",
        sa.Column("id", sa.Uuid(), nullable=False, comment="UUIDv7"),
        sa.Column(
            "family", sa.Uuid(), nullable=False, comment="The log-in it descends from; access tokens carry it"
        ),
        sa.Column("user_id", sa.Uuid(), nullable=False, comment="Who logged in"),
        sa.Column("digest", sa.LargeBinary(), nullable=False, comment="SHA-256 of the token"),
        sa.Column("created_at", MOMENT, nullable=False, comment="When it was given out"),
        sa.Column("expires_at", MOMENT, nullable=False, comment="Refused from then on"),
        sa.Column(
            "used_at", MOMENT, nullable=True, comment="When it was replaced; used again, it ends its family"
        ),
        sa.Column("revoked_at", MOMENT, nullable=True, comment="When its family was ended; null: it was not"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_refresh_tokens_user_id_users"),
        sa.PrimaryKeyConstraint("id", name="pk_refresh_tokens"),
        sa.UniqueConstraint("digest", name="uq_refresh_tokens_digest"),
        comment="Refresh tokens, used and unused, until they expire",
    )
    op.create_index("ix_refresh_tokens_family", "refresh_tokens", ["family"])
    op.create_index("ix_refresh_tokens_user_id", "refresh_tokens", ["user_id"])
    op.create_table(
        "login_failures",
        sa.Column("account", sa.LargeBinary(), nullable=False, comment="SHA-256 of the e-mail address, known or not"),
        sa.Column("address", sa.Text(), nullable=False, comment="Where the log-ins came from"),
        sa.Column("failures", sa.Integer(), nullable=False, comment="How many in a row"),
        sa.Column("last_at", MOMENT, nullable=False, comment="The latest; forgotten a day later"),
        sa.PrimaryKeyConstraint("account", "address", name="pk_login_failures"),
        comment="Wrong log-ins, counted by account and address; each next one has to wait longer",
    )
    op.create_index("ix_login_failures_last_at", "login_failures", ["last_at"])
    op.create_table(
        "audit_log",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Order of writing"),
        sa.Column("at", MOMENT, nullable=False, comment="When"),
        sa.Column("action", sa.Text(), nullable=False, comment="What, such as user.role_changed"),
        sa.Column(
            "actor_id", sa.Uuid(), nullable=True, comment="users.id of who did it; null: the command line, or unknown"
        ),
        sa.Column("key_id", sa.Uuid(), nullable=True, comment="api_keys.id it was done with; null: a log-in"),
        sa.Column("subject", sa.Text(), nullable=True, comment="What it was done to, such as user:<id>"),
        sa.Column("address", sa.Text(), nullable=True, comment="Where the request came from"),
        sa.Column("request_id", sa.Text(), nullable=True, comment="X-Request-ID, to find it in the logs"),
        sa.Column("detail", JSONB(), server_default="{}", nullable=False, comment="What else; never a secret"),
        sa.PrimaryKeyConstraint("id", name="pk_audit_log"),
        comment="Administrative and account actions; rows are only ever added",
    )
    op.execute(KEEP_AUDIT_LOG)
    op.add_column(
        "tasks",
        sa.Column(
            "owner_id", sa.Uuid(), nullable=True, comment="users.id of who submitted it; null: the service itself"
        ),
    )
    op.create_index("ix_tasks_owner_id_id", "tasks", ["owner_id", "id"])


def downgrade() -> None:
    """Drop them; tasks lose their owner."""
    op.drop_index("ix_tasks_owner_id_id", "tasks")
    op.drop_column("tasks", "owner_id")
    for table in ("audit_log", "login_failures", "refresh_tokens", "api_keys", "users"):
        op.drop_table(table)
    op.execute("DROP FUNCTION taskledger.keep_audit_log()")
