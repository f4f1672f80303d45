-- Rights by type: what an account may use holds through SQL, too.

CREATE FUNCTION taskledger.check_rights(owner uuid, type_name text, type_queue text) RETURNS void
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, taskledger, pg_temp AS $$
DECLARE
    account public.users;
BEGIN
    IF owner IS NULL THEN
        RETURN;  -- the service itself
    END IF;
    SELECT * INTO account FROM public.users u WHERE u.id = owner;
    IF NOT type_name = ANY (account.allowed_types) THEN
        RAISE EXCEPTION 'this account may not use tasks of type %', type_name USING ERRCODE = 'insufficient_privilege',
            HINT = 'ask an admin of this installation to allow it (allowed_types of the account)';
    ELSIF NOT type_queue = ANY (account.allowed_queues) THEN
        RAISE EXCEPTION 'this account may not use tasks of type %, because they go to the queue %', type_name, type_queue
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'ask an admin of this installation to allow it (allowed_queues of the account)';
    ELSIF account.role <> 'admin' AND NOT coalesce(account.may_reach_outside,
            (SELECT value <> 0 FROM public.sql_limits WHERE name = 'new_accounts_reach_outside'), false)
        AND EXISTS (SELECT FROM public.task_types k WHERE k.name = type_name AND k.reaches_outside) THEN
        RAISE EXCEPTION 'tasks of type % reach outside of the service, and this account may not do so yet', type_name
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'ask an admin of this installation to allow it (may_reach_outside of the account)';
    END IF;
END $$;
COMMENT ON FUNCTION taskledger.check_rights(uuid, text, text)
    IS 'Raises insufficient_privilege for a task type that an account may not use';
REVOKE ALL ON FUNCTION taskledger.check_rights(uuid, text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION taskledger.replay(ids uuid[]) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, taskledger, pg_temp AS $$
DECLARE
    replayed integer;
    caller record;
BEGIN
    -- Whoever owns the tables may also be no role of ours: it may do anything, and needs nobody's leave.
    SELECT c.owner_id INTO caller FROM taskledger.caller() c;
    PERFORM taskledger.check_rights(caller.owner_id, kind.type, kind.queue)
    FROM (SELECT DISTINCT t.type, t.queue FROM public.tasks t
          WHERE t.id = ANY (ids) AND t.status IN ('FAILED', 'CANCELLED') AND t.run_id IS NULL) AS kind;
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
