-- The guard: an UPDATE of a task that the lifecycle does not know is refused, whoever makes it.
-- Its condition is made by app/services/lifecycle/guard.py; tests/integration/sql/test_guard.py holds the two together.

-- Who wrote an event by hand. A default and no code in the trigger: the service's own connections say who they are, and
-- cost nothing; everybody else is named.
ALTER TABLE task_events ALTER COLUMN db_user SET DEFAULT
    CASE WHEN current_setting('taskledger.service', true) = 'on' THEN NULL ELSE session_user::text END;

-- A function that is always called, and no WHEN of the trigger: PostgreSQL would read a condition of this size anew for
-- each statement, which took 60 us; a function's is kept by the connection, and takes 3 us.
CREATE FUNCTION taskledger.refuse_unknown_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was_completed boolean := false;
    advice text;
BEGIN
    LOOP
        IF NOT (
            (OLD.status <> NEW.status AND NOT CASE OLD.status || '>' || NEW.status
            WHEN 'CANCELLED>PENDING' THEN NEW.attempt_base = NEW.attempt
            WHEN 'FAILED>PENDING' THEN NEW.attempt_base = NEW.attempt
            WHEN 'PENDING>CANCELLED' THEN true
            WHEN 'PENDING>PROCESSING' THEN NEW.attempt = OLD.attempt + 1 AND NEW.started_at IS NOT NULL
            WHEN 'PENDING>SCHEDULED' THEN true
            WHEN 'PROCESSING>CANCELLED' THEN NEW.cancel_requested_at IS NOT NULL
            WHEN 'PROCESSING>COMPLETED' THEN NEW.attempt = OLD.attempt
            WHEN 'PROCESSING>FAILED' THEN NEW.attempt = OLD.attempt
            WHEN 'PROCESSING>PENDING' THEN NEW.attempt = OLD.attempt - 1 AND NEW.dispatched_at IS NULL
            WHEN 'PROCESSING>RETRYING' THEN NEW.attempt = OLD.attempt
            WHEN 'RETRYING>CANCELLED' THEN true
            WHEN 'RETRYING>PENDING' THEN true
            WHEN 'RETRYING>SCHEDULED' THEN true
            WHEN 'SCHEDULED>CANCELLED' THEN true
            WHEN 'SCHEDULED>PENDING' THEN true
            ELSE false END)
            OR (NOT CASE NEW.status
            WHEN 'SCHEDULED' THEN
                NEW.result IS NULL AND NEW.cancel_requested_at IS NULL AND NEW.dispatched_at IS NULL
            WHEN 'PENDING' THEN
                NEW.result IS NULL AND NEW.cancel_requested_at IS NULL
            WHEN 'PROCESSING' THEN
                NEW.result IS NULL AND NEW.leased_by IS NOT NULL AND NEW.attempt > NEW.attempt_base
            WHEN 'RETRYING' THEN
                NEW.result IS NULL AND NEW.cancel_requested_at IS NULL AND NEW.dispatched_at IS NULL AND NEW.attempt >
                NEW.attempt_base AND coalesce(jsonb_typeof(NEW.error) = 'object', false)
            WHEN 'COMPLETED' THEN
                NEW.error IS NULL AND NEW.attempt > NEW.attempt_base
            WHEN 'FAILED' THEN
                NEW.result IS NULL AND NEW.cancel_requested_at IS NULL AND NEW.attempt > NEW.attempt_base AND
                coalesce(jsonb_typeof(NEW.error) = 'object', false)
            WHEN 'CANCELLED' THEN
                NEW.result IS NULL AND NEW.cancel_receipt IS NOT NULL
            ELSE false END)
        ) THEN
            RETURN NEW;
        END IF;
        EXIT WHEN was_completed OR OLD.status = NEW.status;
        -- By hand the status alone was set: this is what the service writes beside it.
        was_completed := true;
        IF NEW.status IN ('SCHEDULED', 'RETRYING') THEN
            NEW.dispatched_at := NULL;
        ELSIF NEW.status = 'COMPLETED' THEN
            NEW.error := NULL;
            NEW.error_fingerprint := NULL;
        ELSIF NEW.status = 'CANCELLED' AND OLD.status <> 'PROCESSING' THEN
            NEW.cancel_receipt := coalesce(NEW.cancel_receipt, CASE WHEN NEW.attempt > NEW.attempt_base
                                                                    THEN 'stopped' ELSE 'never_started' END);
        ELSIF NEW.status = 'PENDING' AND OLD.status = 'PROCESSING' THEN
            NEW.attempt := OLD.attempt - 1;  -- given back: the attempt does not count
            NEW.dispatched_at := NULL;
        END IF;
    END LOOP;
    advice := CASE
        WHEN OLD.status = 'COMPLETED'
            THEN 'it has completed; submit another one with taskledger.submit(type, payload)'
        WHEN OLD.status IN ('FAILED', 'CANCELLED')
            THEN format('start it over with taskledger.retry(%L)', OLD.id)
        WHEN OLD.status = 'PROCESSING'
            THEN format('its worker says how it ends; ask it to stop with taskledger.cancel(%L)', OLD.id)
        WHEN NEW.status = 'PROCESSING'
            THEN format('only a worker starts it; end it with taskledger.cancel(%L)', OLD.id)
        ELSE format('it waits for a worker; end it with taskledger.cancel(%L)', OLD.id)
    END;
    IF OLD.status <> NEW.status THEN
        RAISE EXCEPTION 'task % cannot go from % to % like this: %', OLD.id, OLD.status, NEW.status, advice
            USING ERRCODE = 'check_violation', HINT = 'docs/reference/statuses.md has every arrow there is';
    END IF;
    IF (NEW.result, NEW.error, NEW.attempt, NEW.attempt_base, NEW.dispatched_at, NEW.cancel_requested_at,
        NEW.leased_by, NEW.cancel_receipt) IS NOT DISTINCT FROM
       (OLD.result, OLD.error, OLD.attempt, OLD.attempt_base, OLD.dispatched_at, OLD.cancel_requested_at,
        OLD.leased_by, OLD.cancel_receipt) THEN
        RETURN NEW;  -- it was like that before there was a guard, and something else of it is changed
    END IF;
    RAISE EXCEPTION 'task % is %, and no such row is known: %', OLD.id, OLD.status, advice
        USING ERRCODE = 'check_violation', DETAIL = format(
            'attempt %s (base %s), dispatched_at %s, cancel_requested_at %s, leased_by %s, cancel_receipt %s, %s, %s',
            NEW.attempt, NEW.attempt_base, NEW.dispatched_at, NEW.cancel_requested_at, NEW.leased_by,
            NEW.cancel_receipt, CASE WHEN NEW.error IS NULL THEN 'no error' ELSE 'an error' END,
            CASE WHEN NEW.result IS NULL THEN 'no result' ELSE 'a result' END);
END $$;
COMMENT ON FUNCTION taskledger.refuse_unknown_change()
    IS 'Refuses an UPDATE that the lifecycle does not know, and names the function to use';
-- Fires after keep_task_whole (by name), so that it sees the row as it will be.
CREATE TRIGGER refuse_unknown_change BEFORE UPDATE ON tasks
    FOR EACH ROW EXECUTE FUNCTION taskledger.refuse_unknown_change();
