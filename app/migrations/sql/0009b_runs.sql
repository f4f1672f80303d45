-- Tasks of workflow runs are started over by their run only.

CREATE OR REPLACE FUNCTION taskledger.replay(ids uuid[]) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, taskledger, pg_temp AS $$
DECLARE
    replayed integer;
BEGIN
    WITH locked AS (
        SELECT t.id FROM public.tasks t
        WHERE t.id = ANY (ids) AND t.status IN ('FAILED', 'CANCELLED') AND t.run_id IS NULL
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

CREATE OR REPLACE FUNCTION taskledger.retry(id uuid) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, taskledger, pg_temp AS $$
DECLARE
    status text := taskledger.locked_status(retry.id);
    own_run uuid;
    own_step text;
BEGIN
    SELECT t.run_id, t.step INTO own_run, own_step FROM public.tasks t WHERE t.id = retry.id;
    IF own_run IS NOT NULL THEN
        RAISE EXCEPTION 'task % is step % of run %; it is started over with its run only', retry.id, own_step, own_run
            USING ERRCODE = 'object_not_in_prerequisite_state';
    ELSIF taskledger.replay(ARRAY[retry.id]) = 0 THEN
        RAISE EXCEPTION 'task % is %; only a task that is FAILED or CANCELLED can be started over', retry.id, status
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    RETURN 'PENDING';
END $$;
