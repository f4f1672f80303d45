"""What a role may do through SQL: nothing that stops others, nothing hidden, nothing that only the service submits."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

# Python can read no other moments, and neither JSON nested more deeply nor numbers beyond a double: one row that cannot
# be read would be in the way of everybody who reads it among others.
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

CHECK_PAYLOAD = "taskledger.check_payload(public.task_types, jsonb)"
CHECKED_TYPE = "taskledger.checked_type(text)"
KNOWN_CALLER = "taskledger.known_caller()"
KEEP_TASK_WHOLE = "taskledger.keep_task_whole()"
SUBMIT = "taskledger.submit(text, jsonb, text, text, timestamptz, integer, integer, jsonb, timestamptz, text)"
SHOWN = "taskledger.shown(jsonb, boolean, text[], text[])"

CHANGES = (
    (
        CHECK_PAYLOAD,
        "    size bigint := octet_length(payload::text);\n",
        "    body text := payload::text;\n    size bigint := octet_length(body);\n",
    ),
    (
        CHECK_PAYLOAD,
        "    ELSIF NOT jsonb_typeof(payload) = ANY (kind.payload_kinds) THEN\n",
        """    ELSIF length(body) - length(translate(body, '[{', '')) > 63
        AND jsonb_path_exists(payload, 'strict $.**{63} ? (@.type() == "array" || @.type() == "object")') THEN
        RAISE EXCEPTION 'payload is nested too deeply: 63 levels are allowed' USING ERRCODE = 'program_limit_exceeded';
    ELSIF size > 308 AND body ~ '[0-9]{155}[0-9]{154}' AND jsonb_path_exists(payload,
        'strict $.** ? (@.type() == "number" && (@ > 1.7976931348623157e308 || @ < -1.7976931348623157e308))') THEN
        RAISE EXCEPTION 'payload holds a number beyond the range of a double'
            USING ERRCODE = 'invalid_parameter_value';
    ELSIF NOT jsonb_typeof(payload) = ANY (kind.payload_kinds) THEN
""",
    ),
    (
        CHECKED_TYPE,
        "WHERE retired_at IS NULL AND enabled)",
        "WHERE retired_at IS NULL AND enabled AND NOT internal)",
    ),
    (
        CHECKED_TYPE,
        "    ELSIF NOT kind.enabled THEN\n",
        """    ELSIF kind.internal THEN
        RAISE EXCEPTION 'tasks of type % are submitted by the service itself only', wanted
            USING ERRCODE = 'insufficient_privilege';
    ELSIF NOT kind.enabled THEN
""",
    ),
    (
        SUBMIT,
        "    ELSIF submit.expires_at <= moment OR",
        """    ELSIF submit.scheduled_at NOT BETWEEN '0001-01-02' AND '9999-12-30'
        OR submit.expires_at NOT BETWEEN '0001-01-02' AND '9999-12-30' THEN
        RAISE EXCEPTION 'scheduled_at and expires_at must be in the years 1 to 9999'
            USING ERRCODE = 'invalid_parameter_value';
    ELSIF submit.expires_at <= moment OR""",
    ),
    (
        KNOWN_CALLER,
        "                  HINT = format('flask --app app sql-roles add %s --owner EMAIL --operate', session_user);\n"
        "    END IF;\n",
        "                  HINT = format('flask --app app sql-roles add %s --owner EMAIL --operate', session_user);\n"
        "    END IF;\n"
        "    IF owner_id IS NOT NULL THEN\n"
        "        PERFORM set_config('taskledger.service', 'off', true);  -- the history names it, whatever it has set\n"
        "    END IF;\n",
    ),
    (
        KEEP_TASK_WHOLE,
        "        IF OLD.finished_at IS NOT NULL AND",
        """        IF NEW.status = 'PENDING' AND NEW.due_at = OLD.due_at AND NEW.due_at > NEW.updated_at THEN
            NEW.due_at := NEW.updated_at;  -- by hand, the status alone: it is to start now
        END IF;
        IF OLD.finished_at IS NOT NULL AND""",
    ),
)


def amend(function: str, before: str, after: str) -> None:
    """Replace a part of a function's text; what was granted on it, and how it is called, stays."""
    quoted = {"function": f"'{function}'", "before": f"$old${before}$old$", "after": f"$new${after}$new$"}
    op.get_bind().exec_driver_sql(AMEND.format(**quoted), execution_options={"no_parameters": True})


def upgrade() -> None:
    """Let functions refuse more, and look nowhere else than they should."""
    op.add_column(
        "task_types",
        sa.Column(
            "internal",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="Whether only the service itself submits such tasks",
        ),
    )
    for function, before, after in CHANGES:
        amend(function, before, after)
    # A fingerprint of the arguments must not depend on the caller's time zone; what a view shows, not on what operators
    # its reader has made.
    op.execute(f"ALTER FUNCTION {SUBMIT} SET timezone = 'UTC'")
    op.execute(f"ALTER FUNCTION {SHOWN} SET search_path = pg_catalog, pg_temp")
    op.execute("ALTER VIEW taskledger.v_queue_status SET (security_barrier)")


def downgrade() -> None:
    """Back to what they were."""
    op.execute("ALTER VIEW taskledger.v_queue_status RESET (security_barrier)")
    op.execute(f"ALTER FUNCTION {SHOWN} RESET search_path")
    op.execute(f"ALTER FUNCTION {SUBMIT} RESET timezone")
    for function, before, after in reversed(CHANGES):
        amend(function, after, before)
    op.drop_column("task_types", "internal")
