-- The functions as they were before 0021_audit.sql.

CREATE OR REPLACE FUNCTION taskledger.note_in_audit_log(action text, owner uuid, subject text, detail jsonb) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, taskledger, pg_temp AS $$
    INSERT INTO public.audit_log (at, action, actor_id, subject, detail)
    VALUES (clock_timestamp(), action, owner, subject, detail || jsonb_build_object('db_user', session_user::text));
$$;

CREATE OR REPLACE FUNCTION taskledger.cancel(id uuid) RETURNS text
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

CREATE OR REPLACE FUNCTION taskledger.retry_where(type text, fingerprint text DEFAULT NULL) RETURNS integer
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
