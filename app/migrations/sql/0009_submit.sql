-- taskledger.submit: a task from inside the user's own transaction.

CREATE FUNCTION taskledger.new_id() RETURNS uuid LANGUAGE sql VOLATILE AS $$
    -- UUIDv7: 48 bits of milliseconds, 12 bits of the rest of the microseconds (RFC 9562, method 3), 62 random bits.
    SELECT encode(
        substring(int8send(us / 1000) FROM 3) || substring(int4send(28672 | ((us % 1000) * 4096 / 1000)::int) FROM 3)
        || substring(uuid_send(gen_random_uuid()) FROM 9), 'hex')::uuid
    FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS us) AS clock
$$;
COMMENT ON FUNCTION taskledger.new_id() IS 'A new UUIDv7';

CREATE FUNCTION taskledger.checked_type(wanted text) RETURNS public.task_types
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, taskledger, pg_temp AS $$
DECLARE
    kind public.task_types;
BEGIN
    SELECT * INTO kind FROM public.task_types WHERE name = wanted AND retired_at IS NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no task type %', coalesce(quote_literal(wanted), 'null') USING
            ERRCODE = 'invalid_parameter_value',
            HINT = coalesce('known: ' || (SELECT string_agg(name, ', ' ORDER BY name) FROM public.task_types
                                          WHERE retired_at IS NULL AND enabled),
                            'none is known yet: run flask --app app setup, or start a worker');
    ELSIF NOT kind.enabled THEN
        RAISE EXCEPTION 'tasks of type % cannot be submitted through SQL: it is disabled in task_types', wanted
            USING ERRCODE = 'object_not_in_prerequisite_state';
    ELSIF kind.sensitive THEN
        RAISE EXCEPTION 'tasks of type % cannot be submitted through SQL: their payloads are encrypted by the service', wanted
            USING ERRCODE = 'feature_not_supported', HINT = 'submit it over HTTP: POST /api/v1/tasks';
    END IF;
    RETURN kind;
END $$;
COMMENT ON FUNCTION taskledger.checked_type(text) IS 'The task type of this name; raises unless it may be submitted through SQL';

CREATE FUNCTION taskledger.check_payload(kind public.task_types, payload jsonb) RETURNS void
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, taskledger, pg_temp AS $$
DECLARE
    size bigint := octet_length(payload::text);
    most bigint := (SELECT value FROM public.sql_limits WHERE name = 'max_payload_bytes');
    wrong text;
BEGIN
    IF payload IS NULL THEN
        RAISE EXCEPTION 'payload is null; the JSON null is ''null''::jsonb' USING ERRCODE = 'null_value_not_allowed';
    ELSIF size > most THEN
        RAISE EXCEPTION 'payload has % bytes as JSON; at most % are accepted', size, most
            USING ERRCODE = 'program_limit_exceeded';
    ELSIF NOT jsonb_typeof(payload) = ANY (kind.payload_kinds) THEN
        RAISE EXCEPTION 'payload of % must be %, not %',
            kind.name, array_to_string(kind.payload_kinds, ' or '), jsonb_typeof(payload)
            USING ERRCODE = 'invalid_parameter_value';
    ELSIF jsonb_typeof(payload) <> 'object' THEN
        RETURN;
    END IF;
    SELECT string_agg(key, ', ' ORDER BY key) INTO wrong FROM unnest(kind.required_keys) AS key WHERE NOT payload ? key;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'payload of % lacks: %', kind.name, wrong USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF kind.known_keys IS NULL THEN
        RETURN;
    END IF;
    SELECT string_agg(key, ', ' ORDER BY key) INTO wrong
    FROM jsonb_object_keys(payload) AS key WHERE NOT key = ANY (kind.known_keys);
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'payload of % has unknown keys: %', kind.name, left(wrong, 300)
            USING ERRCODE = 'invalid_parameter_value', HINT = 'known: ' || array_to_string(kind.known_keys, ', ');
    END IF;
END $$;
COMMENT ON FUNCTION taskledger.check_payload(public.task_types, jsonb)
    IS 'Raises for a payload whose size, kind or top-level keys its type does not take; the worker checks the rest';

CREATE FUNCTION taskledger.check_labels(labels jsonb) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    wrong text;
BEGIN
    IF labels = '{}' THEN
        RETURN;
    ELSIF jsonb_typeof(labels) IS DISTINCT FROM 'object' THEN
        RAISE EXCEPTION 'labels must be an object' USING ERRCODE = 'invalid_parameter_value';
    ELSIF (SELECT count(*) FROM jsonb_object_keys(labels)) > 32 THEN
        RAISE EXCEPTION 'labels must be at most 32' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT key INTO wrong FROM jsonb_each(labels)
    WHERE key !~ '^[A-Za-z0-9][A-Za-z0-9_./-]{0,62}$' OR jsonb_typeof(value) <> 'string' OR length(value #>> '{}') > 256
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'label % is refused', quote_literal(wrong) USING ERRCODE = 'invalid_parameter_value',
            HINT = 'names: a letter or digit, then up to 62 of A-Z, a-z, 0-9, _ . / -; values: at most 256 characters';
    END IF;
END $$;
COMMENT ON FUNCTION taskledger.check_labels(jsonb) IS 'Raises unless labels are what the API takes';

CREATE FUNCTION taskledger.check_room(owner uuid) RETURNS void
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
    WHERE t.due_at IS NOT NULL AND t.owner_id = owner AND t.status IN ('SCHEDULED', 'PENDING', 'RETRYING');
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

CREATE FUNCTION taskledger.first_use(owner uuid, key text, body jsonb, made uuid) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, taskledger, pg_temp AS $$
DECLARE
    digest text := encode(sha256(convert_to(body::text, 'UTF8')), 'hex');
    earlier public.idempotency_keys;
BEGIN
    IF length(key) NOT BETWEEN 1 AND 255 THEN
        RAISE EXCEPTION 'idempotency_key must have 1 to 255 characters' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    INSERT INTO public.idempotency_keys AS k (owner, route, key, fingerprint, resource_id, created_at)
    VALUES (coalesce(first_use.owner::text, ''), 'sql', first_use.key, digest, made, clock_timestamp())
    ON CONFLICT ON CONSTRAINT pk_idempotency_keys DO UPDATE
    SET fingerprint = excluded.fingerprint, resource_id = excluded.resource_id, created_at = excluded.created_at
    WHERE k.created_at < clock_timestamp() - interval '24 hours';
    IF FOUND THEN
        RETURN NULL;
    END IF;
    SELECT * INTO earlier FROM public.idempotency_keys k
    WHERE k.owner = coalesce(first_use.owner::text, '') AND k.route = 'sql' AND k.key = first_use.key;
    IF earlier.fingerprint <> digest THEN
        RAISE EXCEPTION 'this idempotency_key was used before with other arguments; use a new key for a new task'
            USING ERRCODE = 'unique_violation';
    ELSIF NOT EXISTS (SELECT FROM public.tasks WHERE id = earlier.resource_id) THEN
        RAISE EXCEPTION 'this idempotency_key made the task %, which has been deleted; use a new key', earlier.resource_id
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    RETURN earlier.resource_id;
END $$;
COMMENT ON FUNCTION taskledger.first_use(uuid, text, jsonb, uuid)
    IS 'Takes an idempotency key for a new task: null when it is new, else the task that it made';

CREATE FUNCTION taskledger.submit(
    type text, payload jsonb, name text DEFAULT NULL, priority text DEFAULT 'normal',
    scheduled_at timestamptz DEFAULT NULL, max_retries integer DEFAULT NULL, timeout integer DEFAULT NULL,
    labels jsonb DEFAULT '{}', expires_at timestamptz DEFAULT NULL, idempotency_key text DEFAULT NULL
) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, taskledger, pg_temp AS $$
DECLARE
    moment timestamptz := clock_timestamp();
    made uuid := taskledger.new_id();
    is_later boolean := coalesce(submit.scheduled_at > moment, false);
    caller record;
    kind public.task_types;
    earlier uuid;
BEGIN
    SELECT * INTO caller FROM taskledger.known_caller();
    kind := taskledger.checked_type(submit.type);
    PERFORM taskledger.check_payload(kind, submit.payload);
    PERFORM taskledger.check_labels(submit.labels);
    IF submit.priority IS NULL OR submit.priority NOT IN ('high', 'normal', 'low') THEN
        RAISE EXCEPTION 'priority must be high, normal or low' USING ERRCODE = 'invalid_parameter_value';
    ELSIF length(submit.name) > 200 THEN
        RAISE EXCEPTION 'name must have at most 200 characters' USING ERRCODE = 'invalid_parameter_value';
    ELSIF submit.max_retries NOT BETWEEN 0 AND 100 THEN
        RAISE EXCEPTION 'max_retries must be from 0 to 100' USING ERRCODE = 'invalid_parameter_value';
    ELSIF submit.timeout NOT BETWEEN 1 AND kind.longest_timeout_seconds THEN
        RAISE EXCEPTION 'timeout must be from 1 to % seconds for %', kind.longest_timeout_seconds, kind.name
            USING ERRCODE = 'invalid_parameter_value';
    ELSIF submit.expires_at <= moment OR submit.scheduled_at >= submit.expires_at THEN
        RAISE EXCEPTION 'expires_at must be in the future and after scheduled_at, or the task could never start'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF submit.idempotency_key IS NOT NULL THEN
        earlier := taskledger.first_use(
            caller.owner_id, submit.idempotency_key,
            jsonb_build_array(submit.type, submit.payload, submit.name, submit.priority, submit.scheduled_at,
                              submit.max_retries, submit.timeout, submit.labels, submit.expires_at), made);
        IF earlier IS NOT NULL THEN
            RETURN earlier;
        END IF;
    END IF;
    IF caller.owner_id IS NOT NULL THEN
        PERFORM taskledger.check_room(caller.owner_id);
    END IF;
    -- Held by the ledger and due: the dispatcher publishes it as soon as it is committed, with others in one hint where
    -- its type travels in chunks. No NOTIFY, which would serialise the commits of all who submit.
    INSERT INTO public.tasks (id, type, name, status, payload, priority, queue, max_retries, timeout_seconds, owner_id,
                              labels, created_at, scheduled_at, expires_at, due_at, dispatched_at)
    VALUES (made, kind.name, submit.name, CASE WHEN is_later THEN 'SCHEDULED' ELSE 'PENDING' END, submit.payload,
            submit.priority, kind.queue, coalesce(submit.max_retries, kind.max_retries), submit.timeout, caller.owner_id,
            submit.labels, moment, submit.scheduled_at, submit.expires_at,
            CASE WHEN is_later THEN submit.scheduled_at ELSE moment END, NULL);
    PERFORM taskledger.wake_dispatcher();
    RETURN made;
END $$;
COMMENT ON FUNCTION taskledger.submit(text, jsonb, text, text, timestamptz, integer, integer, jsonb, timestamptz, text)
    IS 'Submits a task in this transaction and returns its id; it runs once the transaction is committed';
