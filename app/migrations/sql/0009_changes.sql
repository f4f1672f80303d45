-- taskledger.cancel, retry, retry_where: as POST /tasks/{id}/cancel and retry, and /dead-letters/replay.

CREATE FUNCTION taskledger.locked_status(id uuid) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, taskledger, pg_temp AS $$
DECLARE
    caller record;
    status text;
BEGIN
    SELECT * INTO caller FROM taskledger.known_caller();
    SELECT t.status INTO status FROM public.tasks t
    WHERE t.id = locked_status.id AND (caller.acts_for_all OR t.owner_id = caller.owner_id) FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no task %', locked_status.id
            USING ERRCODE = 'no_data_found', HINT = 'check the id; it may also have been deleted';
    END IF;
    RETURN status;
END $$;
COMMENT ON FUNCTION taskledger.locked_status(uuid)
    IS 'Locks a task and returns its status; raises no_data_found for somebody else''s, too';

CREATE FUNCTION taskledger.cancel(id uuid) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, taskledger, pg_temp AS $$
DECLARE
    status text := taskledger.locked_status(cancel.id);
BEGIN
    IF status IN ('SCHEDULED', 'PENDING', 'RETRYING') THEN
        UPDATE public.tasks t
        SET status = 'CANCELLED', finished_at = clock_timestamp(), reason = 'cancelled',
            cancel_receipt = CASE WHEN t.attempt > t.attempt_base THEN 'stopped' ELSE 'never_started' END
        WHERE t.id = cancel.id;
        RETURN 'CANCELLED';
    ELSIF status = 'PROCESSING' THEN
        UPDATE public.tasks t SET cancel_requested_at = coalesce(t.cancel_requested_at, clock_timestamp())
        WHERE t.id = cancel.id;
    ELSIF status <> 'CANCELLED' THEN
        RAISE EXCEPTION 'task % is % already; what has ended cannot be cancelled', cancel.id, status
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    RETURN status;
END $$;
COMMENT ON FUNCTION taskledger.cancel(uuid)
    IS 'Cancels a task that waits, or asks one that runs to stop; returns its status: CANCELLED, or PROCESSING while it is stopped';

CREATE FUNCTION taskledger.replay(ids uuid[]) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, taskledger, pg_temp AS $$
DECLARE
    replayed integer;
BEGIN
    WITH locked AS (
        SELECT t.id FROM public.tasks t WHERE t.id = ANY (ids) AND t.status IN ('FAILED', 'CANCELLED')
        ORDER BY t.id FOR UPDATE
    )
    UPDATE public.tasks t SET status = 'PENDING', due_at = clock_timestamp(), dispatched_at = NULL, solo = false,
                              reason = 'replayed'
    FROM locked WHERE t.id = locked.id;
    GET DIAGNOSTICS replayed = ROW_COUNT;
    IF replayed > 0 THEN
        PERFORM taskledger.wake_dispatcher();
    END IF;
    RETURN replayed;
END $$;
COMMENT ON FUNCTION taskledger.replay(uuid[]) IS 'Starts dead letters and cancelled tasks over; returns how many';

CREATE FUNCTION taskledger.retry(id uuid) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, taskledger, pg_temp AS $$
DECLARE
    status text := taskledger.locked_status(retry.id);
BEGIN
    IF taskledger.replay(ARRAY[retry.id]) = 0 THEN
        RAISE EXCEPTION 'task % is %; only a task that is FAILED or CANCELLED can be started over', retry.id, status
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    RETURN 'PENDING';
END $$;
COMMENT ON FUNCTION taskledger.retry(uuid)
    IS 'Starts a dead letter or a cancelled task over with fresh retries; returns its status, PENDING';

CREATE FUNCTION taskledger.retry_where(type text, fingerprint text DEFAULT NULL) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, taskledger, pg_temp AS $$
DECLARE
    caller record;
BEGIN
    SELECT * INTO caller FROM taskledger.known_caller();
    IF retry_where.type IS NULL THEN
        RAISE EXCEPTION 'type is null; say which dead letters: retry_where(type, fingerprint)'
            USING ERRCODE = 'null_value_not_allowed';
    END IF;
    RETURN taskledger.replay(ARRAY(
        SELECT t.id FROM public.tasks t
        WHERE t.status = 'FAILED' AND t.type = retry_where.type
          AND (retry_where.fingerprint IS NULL OR t.error_fingerprint = retry_where.fingerprint)
          AND (caller.acts_for_all OR t.owner_id = caller.owner_id)));
END $$;
COMMENT ON FUNCTION taskledger.retry_where(text, text)
    IS 'Starts the dead letters of a type over, or those with one fingerprint (v_dead_letters); returns how many';
