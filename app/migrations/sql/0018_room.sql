-- Quotas of waiting tasks: exact for whoever submits, over HTTP, by schedule or through SQL, however many do at once.

CREATE FUNCTION taskledger.places_taken(owner uuid) RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, public, taskledger, pg_temp AS $$
    SELECT (SELECT count(*) FROM public.tasks t
            WHERE t.due_at IS NOT NULL AND t.owner_id = owner AND t.status IN ('SCHEDULED', 'PENDING', 'RETRYING')
              AND t.type <> 'webhook_delivery')
        + (SELECT count(*) FROM public.workflow_runs r JOIN public.workflow_steps s ON s.run_id = r.id
           WHERE r.owner_id = owner AND r.status IN ('PAUSED', 'RUNNING') AND r.ending IS NULL AND s.state = 'WAITING')
$$;
COMMENT ON FUNCTION taskledger.places_taken(uuid)
    IS 'Waiting tasks of an account, and steps of its runs that have a place and no task yet';

CREATE FUNCTION taskledger.take_room(
    owner uuid, needed bigint, wanted bigint, most bigint, patience_ms integer DEFAULT NULL,
    OUT waiting bigint, OUT granted bigint, OUT was_busy boolean
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, taskledger, pg_temp AS $$
DECLARE
    known public.sql_counts;
    before text := current_setting('lock_timeout');
BEGIN
    was_busy := false;
    -- One row for each account, locked until its transaction ends: whoever comes next sees what this one has stored.
    BEGIN
        IF patience_ms IS NOT NULL THEN
            PERFORM set_config('lock_timeout', patience_ms::text, true);
        END IF;
        INSERT INTO public.sql_counts (owner_id, backend, waiting, number, counted_at)
        VALUES (owner, 0, 0, 0, '-infinity') ON CONFLICT DO NOTHING;
        SELECT * INTO known FROM public.sql_counts c WHERE c.owner_id = owner AND c.backend = 0 FOR UPDATE;
    EXCEPTION WHEN lock_not_available THEN
        was_busy := true;
        waiting := taskledger.places_taken(owner);
        granted := CASE WHEN waiting + needed <= most THEN least(wanted, most - waiting) ELSE 0 END;
        RETURN;
    END;
    IF patience_ms IS NOT NULL THEN
        PERFORM set_config('lock_timeout', before, true);
    END IF;
    -- A count is good for 5 seconds, because whoever takes a place adds to it. Before somebody is refused it is made
    -- again, unless it was made just now: places may have come free. A long count is not made as often as a short one.
    IF known.counted_at < clock_timestamp() - interval '5 seconds' OR (known.waiting + needed > most
        AND known.counted_at < clock_timestamp() - least(interval '0.5 seconds', known.waiting * interval '50 microseconds'))
    THEN
        known.waiting := taskledger.places_taken(owner);
        known.counted_at := clock_timestamp();
    END IF;
    waiting := known.waiting;
    granted := CASE WHEN waiting + needed <= most THEN least(wanted, most - waiting) ELSE 0 END;
    UPDATE public.sql_counts c SET waiting = known.waiting + take_room.granted, counted_at = known.counted_at
    WHERE c.owner_id = owner AND c.backend = 0;
END $$;
COMMENT ON FUNCTION taskledger.take_room(uuid, bigint, bigint, bigint, integer)
    IS 'Takes places for waiting tasks of an account until the transaction ends: as many as wanted if there are, none if there are fewer than needed';

CREATE OR REPLACE FUNCTION taskledger.check_room(owner uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, taskledger, pg_temp AS $$
DECLARE
    far CONSTANT bigint := 100000;  -- so many places are not taken within 5 seconds
    most bigint;
    number bigint;
    known public.sql_counts;
    taken bigint;
    block bigint := 1;
    room record;
BEGIN
    SELECT coalesce(u.max_waiting_tasks, l.value) INTO most
    FROM public.users u LEFT JOIN public.sql_limits l ON l.name = 'max_waiting_tasks' WHERE u.id = owner;
    IF coalesce(most, 0) = 0 THEN
        RETURN;
    END IF;
    -- The numbers of a sequence that were drawn since a moment are at least as many as this connection has submitted
    -- since, and nobody but this function can draw them.
    number := nextval('taskledger.sql_submissions');
    IF most > far THEN
        SELECT * INTO known FROM public.sql_counts c WHERE c.owner_id = owner AND c.backend = pg_backend_pid();
        IF FOUND AND known.counted_at > clock_timestamp() - interval '5 seconds'
            AND known.waiting + (number - known.number) < most - far THEN
            RETURN;
        END IF;
        taken := taskledger.places_taken(owner);
        IF taken < most - far THEN  -- nobody waits for another one's transaction
            INSERT INTO public.sql_counts AS c (owner_id, backend, waiting, number, counted_at)
            VALUES (owner, pg_backend_pid(), taken + 1, number, clock_timestamp())
            ON CONFLICT (owner_id, backend) DO UPDATE
            SET waiting = excluded.waiting, number = excluded.number, counted_at = excluded.counted_at;
            RETURN;
        END IF;
    END IF;
    -- A transaction that submits much takes its places in blocks, each twice as large as the one before.
    SELECT * INTO known FROM public.sql_counts c
    WHERE c.owner_id = owner AND c.backend = -pg_backend_pid() AND c.counted_at = transaction_timestamp();
    IF FOUND THEN
        IF number - known.number < known.waiting THEN
            RETURN;
        END IF;
        block := 2 * known.waiting;
    END IF;
    SELECT * INTO room FROM taskledger.take_room(owner, 1, block, most);
    IF room.granted = 0 THEN
        RAISE EXCEPTION '% of your tasks are waiting and % may: there is no room', room.waiting, most
            USING ERRCODE = 'program_limit_exceeded',
                  HINT = 'try again when some of them have run, or ask an admin for a larger quota';
    END IF;
    INSERT INTO public.sql_counts AS c (owner_id, backend, waiting, number, counted_at)
    VALUES (owner, -pg_backend_pid(), room.granted, number, transaction_timestamp())
    ON CONFLICT (owner_id, backend) DO UPDATE
    SET waiting = excluded.waiting, number = excluded.number, counted_at = excluded.counted_at;
END $$;
COMMENT ON FUNCTION taskledger.check_room(uuid)
    IS 'Takes the place of one waiting task of an account; raises when as many wait as may';

CREATE FUNCTION taskledger.take_rooms(ids uuid[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, taskledger, pg_temp AS $$
DECLARE
    each record;
    room record;
BEGIN
    FOR each IN
        SELECT t.owner_id, count(*) AS tasks, max(coalesce(u.max_waiting_tasks, l.value)) AS most
        FROM public.tasks t JOIN public.users u ON u.id = t.owner_id
        LEFT JOIN public.sql_limits l ON l.name = 'max_waiting_tasks'
        WHERE t.id = ANY (ids) AND t.status IN ('CANCELLED', 'FAILED') AND t.run_id IS NULL
        GROUP BY t.owner_id ORDER BY t.owner_id
    LOOP
        CONTINUE WHEN coalesce(each.most, 0) = 0;
        SELECT * INTO room FROM taskledger.take_room(each.owner_id, each.tasks, each.tasks, each.most);
        IF room.granted = 0 THEN
            RAISE EXCEPTION '% tasks are waiting and % may: there is no room for the % that would start over',
                room.waiting, each.most, each.tasks
                USING ERRCODE = 'program_limit_exceeded',
                      HINT = 'try again when some of them have run, or ask an admin for a larger quota';
        END IF;
    END LOOP;
END $$;
COMMENT ON FUNCTION taskledger.take_rooms(uuid[])
    IS 'Takes the places of tasks that are to start over; raises when an account has no room for all of its own';

REVOKE ALL ON FUNCTION taskledger.places_taken(uuid), taskledger.take_rooms(uuid[]),
    taskledger.take_room(uuid, bigint, bigint, bigint, integer) FROM PUBLIC;
