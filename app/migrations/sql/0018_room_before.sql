-- What 0018_room.sql replaced, for going back.

CREATE OR REPLACE FUNCTION taskledger.check_room(owner uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, taskledger, pg_temp AS $$
DECLARE
    most bigint;
    number bigint;
    known public.sql_counts;
    waiting bigint;
BEGIN
    SELECT coalesce(u.max_waiting_tasks, l.value) INTO most
    FROM public.users u LEFT JOIN public.sql_limits l ON l.name = 'max_waiting_tasks' WHERE u.id = owner;
    IF coalesce(most, 0) = 0 THEN
        RETURN;
    END IF;
    -- Counting at each submission would cost more than the submission. The numbers of a sequence that were drawn since a
    -- count are at least as many as this connection has submitted since, and nobody but this function can draw them.
    number := nextval('taskledger.sql_submissions');
    SELECT * INTO known FROM public.sql_counts c WHERE c.owner_id = owner AND c.backend = pg_backend_pid();
    IF FOUND AND known.counted_at > clock_timestamp() - interval '5 seconds'
        AND known.waiting + (number - known.number) < most THEN
        RETURN;
    END IF;
    SELECT count(*) INTO waiting FROM public.tasks t
    WHERE t.due_at IS NOT NULL AND t.owner_id = owner AND t.status IN ('SCHEDULED', 'PENDING', 'RETRYING') AND t.type <> 'webhook_delivery';
    IF waiting >= most THEN
        RAISE EXCEPTION '% of your tasks are waiting and % may: there is no room', waiting, most
            USING ERRCODE = 'program_limit_exceeded',
                  HINT = 'try again when some of them have run, or ask an admin for a larger quota';
    END IF;
    -- A row for each connection: nobody waits for another one's transaction.
    INSERT INTO public.sql_counts AS c (owner_id, backend, waiting, number, counted_at)
    VALUES (owner, pg_backend_pid(), waiting + 1, number, clock_timestamp())
    ON CONFLICT (owner_id, backend) DO UPDATE
    SET waiting = excluded.waiting, number = excluded.number, counted_at = excluded.counted_at;
END $$;
COMMENT ON FUNCTION taskledger.check_room(uuid) IS 'Raises when as many tasks of an account wait as may; counts at most every 5 seconds';
