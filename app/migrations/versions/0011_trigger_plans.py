"""Triggers with plans that fit: no query planned anew for each row, none that reads whole tables."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

NOBODY = "00000000-0000-0000-0000-000000000000"

# By itself PostgreSQL plans the query anew for the values of each row, which takes 40 us where running it takes 8. And
# a plan that was made while a table was empty would go on reading all of it: for as long as the connection lives, or
# until autovacuum has come by.
SETTINGS = {
    "gate_task()": ("plan_cache_mode = force_generic_plan", "enable_seqscan = off"),
    "follow_admission()": ("enable_seqscan = off",),
    "release_next(uuid, text)": ("enable_seqscan = off",),
}
LOOK_FIRST = """    IF NEW.ordering_key IS NULL AND NOT EXISTS (SELECT FROM public.limits) THEN
        RETURN NEW;
    END IF;
"""


def gate_task(look_first: str) -> str:
    """The trigger function of 0010, with something before it asks for the limits of a task."""
    return f"""
CREATE OR REPLACE FUNCTION taskledger.gate_task() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    is_hard boolean;
    most integer;
    whose uuid := coalesce(NEW.owner_id, '{NOBODY}');
    place text;
BEGIN
{look_first}    SELECT bool_or(max_running IS NOT NULL OR rate_count IS NOT NULL), min(max_hints) INTO is_hard, most
    FROM public.limits
    WHERE kind = 'all' OR (kind = 'queue' AND name = NEW.queue) OR (kind = 'type' AND name = NEW.type)
       OR (kind = 'owner' AND name = NEW.owner_id::text)
       OR (kind = 'key' AND (name = NEW.concurrency_key
                             OR (right(name, 1) = '*' AND starts_with(NEW.concurrency_key, left(name, -1)))));
    IF NOT coalesce(is_hard, false) AND most IS NULL AND NEW.ordering_key IS NULL THEN
        RETURN NEW;
    END IF;
    NEW.gated := true;
    IF NEW.status = 'PENDING' THEN
        IF NEW.ordering_key IS NOT NULL AND EXISTS
            (SELECT FROM public.admissions WHERE owner_id = whose AND ordering_key = NEW.ordering_key) THEN
            place := 'queued';
        ELSIF NOT coalesce(is_hard, false) AND NEW.ordering_key IS NULL AND NEW.dispatched_at IS NOT NULL
            AND NOT EXISTS (SELECT FROM public.admissions
                            WHERE state = 'held' AND owner_id = whose AND type = NEW.type)
            AND (SELECT count(*) FROM (SELECT FROM public.admissions
                                       WHERE state IN ('out', 'running') AND owner_id = whose AND type = NEW.type
                                       LIMIT most) AS active) < most THEN
            place := 'out';  -- below its share: its hint may be published at once
        ELSE
            place := 'held';
        END IF;
        IF place <> 'out' THEN
            NEW.dispatched_at := NULL;
            NEW.due_at := '9000-01-01 00:00:00+00';
        END IF;
    ELSE
        place := 'waiting';
    END IF;
    INSERT INTO public.admissions (task_id, state, rank, owner_id, type, queue, key, ordering_key)
    VALUES (NEW.id, place, taskledger.priority_rank(NEW.priority), whose, NEW.type, NEW.queue,
            coalesce(NEW.concurrency_key, ''), coalesce(NEW.ordering_key, ''));
    RETURN NEW;
END $$;
"""


def upgrade() -> None:
    """Let the gate look first whether there is any limit, and keep the triggers from bad plans."""
    op.execute(gate_task(LOOK_FIRST))
    for function, settings in SETTINGS.items():
        for setting in settings:
            op.execute(f"ALTER FUNCTION taskledger.{function} SET {setting}")


def downgrade() -> None:
    """Ask for the limits of every task, with whatever plan."""
    for function in SETTINGS:
        op.execute(f"ALTER FUNCTION taskledger.{function} RESET ALL")
    op.execute(gate_task(""))
