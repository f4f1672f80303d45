-- Starting over takes a place again: dead letters do not wait.

CREATE OR REPLACE FUNCTION taskledger.replay(ids uuid[]) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, taskledger, pg_temp AS $$
DECLARE
    replayed integer;
BEGIN
    PERFORM taskledger.take_rooms(ids);
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
