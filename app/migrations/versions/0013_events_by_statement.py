"""The history of all rows of a statement is written at once."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

# A trigger for each row paid twice for each: two statements of its own, one of them into a partitioned table.
# Without nested loops, because the plan is kept: made for one row, it would compare each of a thousand with each.
BY_STATEMENT = """
CREATE OR REPLACE FUNCTION taskledger.record_task_event() RETURNS trigger LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_nestloop = off AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        WITH written AS (
            INSERT INTO public.task_events (at, task_id, type, status, attempt, owner_id)
            SELECT updated_at, id, type, status, attempt, owner_id FROM new_rows
            RETURNING id, at
        )
        INSERT INTO public.event_outbox (event_id, at) SELECT id, at FROM written;
        RETURN NULL;
    END IF;
    WITH changed AS (
        SELECT n.updated_at, n.id, n.type, n.status, o.status AS previous_status, n.owner_id,
               greatest(o.attempt, n.attempt) AS attempt, coalesce(n.leased_by, o.leased_by) AS worker,
               n.reason, CASE WHEN o.status = 'PROCESSING' AND n.status <> 'PENDING' THEN n.error END AS error,
               CASE WHEN n.payload IS DISTINCT FROM o.payload THEN o.payload END AS replaced_payload
        FROM new_rows AS n LEFT JOIN old_rows AS o ON o.id = n.id
        WHERE n.status IS DISTINCT FROM o.status
    ), written AS (
        INSERT INTO public.task_events (at, task_id, type, status, previous_status, attempt, worker, owner_id, detail)
        SELECT updated_at, id, type, status, previous_status, attempt, worker, owner_id,
               CASE WHEN coalesce(to_jsonb(reason), error, replaced_payload) IS NOT NULL THEN
                   CASE WHEN reason IS NULL THEN '{}' ELSE jsonb_build_object('reason', reason) END
                   || CASE WHEN error IS NULL THEN '{}' ELSE jsonb_build_object('error', error) END
                   || CASE WHEN replaced_payload IS NULL THEN '{}'
                      ELSE jsonb_build_object('replaced_payload', replaced_payload) END
               END
        FROM changed
        RETURNING id, at
    )
    INSERT INTO public.event_outbox (event_id, at) SELECT id, at FROM written;
    RETURN NULL;
END $$;
DROP TRIGGER record_submission ON tasks;
CREATE TRIGGER record_submission AFTER INSERT ON tasks
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION taskledger.record_task_event();
DROP TRIGGER record_change ON tasks;
CREATE TRIGGER record_change AFTER UPDATE ON tasks
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION taskledger.record_task_event();
"""

BY_ROW = """
CREATE OR REPLACE FUNCTION taskledger.record_task_event() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    what jsonb;
BEGIN
    -- currval is the id that the line above it has just drawn; RETURNING it would take three times as long.
    IF TG_OP = 'INSERT' THEN
        INSERT INTO task_events (at, task_id, type, status, attempt, owner_id)
        VALUES (NEW.updated_at, NEW.id, NEW.type, NEW.status, NEW.attempt, NEW.owner_id);
        INSERT INTO event_outbox (event_id, at) VALUES (currval('public.task_events_id_seq'), NEW.updated_at);
        RETURN NULL;
    END IF;
    IF NEW.reason IS NOT NULL THEN
        what := jsonb_build_object('reason', NEW.reason);
    END IF;
    IF OLD.status = 'PROCESSING' AND NEW.error IS NOT NULL AND NEW.status <> 'PENDING' THEN
        what := coalesce(what, '{}') || jsonb_build_object('error', NEW.error);
    END IF;
    IF NEW.payload IS DISTINCT FROM OLD.payload THEN
        what := coalesce(what, '{}') || jsonb_build_object('replaced_payload', OLD.payload);
    END IF;
    INSERT INTO task_events (at, task_id, type, status, previous_status, attempt, worker, detail, owner_id)
    VALUES (NEW.updated_at, NEW.id, NEW.type, NEW.status, OLD.status, greatest(OLD.attempt, NEW.attempt),
            coalesce(NEW.leased_by, OLD.leased_by), what, NEW.owner_id);
    INSERT INTO event_outbox (event_id, at) VALUES (currval('public.task_events_id_seq'), NEW.updated_at);
    RETURN NULL;
END $$;
ALTER FUNCTION taskledger.record_task_event() RESET ALL;
DROP TRIGGER record_submission ON tasks;
CREATE TRIGGER record_submission AFTER INSERT ON tasks
    FOR EACH ROW EXECUTE FUNCTION taskledger.record_task_event();
DROP TRIGGER record_change ON tasks;
CREATE TRIGGER record_change AFTER UPDATE OF status ON tasks
    FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION taskledger.record_task_event();
"""


def upgrade() -> None:
    """One statement for the history of many rows."""
    op.get_bind().exec_driver_sql(BY_STATEMENT, execution_options={"no_parameters": True})


def downgrade() -> None:
    """A trigger for each row again."""
    op.get_bind().exec_driver_sql(BY_ROW, execution_options={"no_parameters": True})
