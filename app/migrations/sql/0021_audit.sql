-- What admins do through SQL with what is somebody else's is in the audit log, in the transaction of what they did.

-- An entry makes others wait until its transaction ends, because each holds the hash of the one before. Transactions of
-- people may stay open for long, and every log-in adds an entry; so theirs are noted, and added with the commit.
CREATE FUNCTION taskledger.add_audit_note() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, taskledger, pg_temp AS $$
BEGIN
    INSERT INTO public.audit_log (at, action, actor_id, subject, detail)
    VALUES (NEW.at, NEW.action, NEW.actor_id, NEW.subject, NEW.detail);
    DELETE FROM public.audit_notes n WHERE n.id = NEW.id;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION taskledger.add_audit_note() IS 'Makes an entry of the audit log of a note, when its transaction is committed';
REVOKE ALL ON FUNCTION taskledger.add_audit_note() FROM PUBLIC;
CREATE CONSTRAINT TRIGGER add_audit_note AFTER INSERT ON public.audit_notes
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION taskledger.add_audit_note();

CREATE OR REPLACE FUNCTION taskledger.note_in_audit_log(action text, owner uuid, subject text, detail jsonb) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, taskledger, pg_temp AS $$
    INSERT INTO public.audit_notes (at, action, actor_id, subject, detail)
    VALUES (clock_timestamp(), action, owner, subject, detail || jsonb_build_object('db_user', session_user::text));
$$;

CREATE FUNCTION taskledger.note_on_task(action text, id uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, taskledger, pg_temp AS $$
DECLARE
    caller record;
    task_owner uuid;
BEGIN
    SELECT * INTO caller FROM taskledger.known_caller();
    SELECT t.owner_id INTO task_owner FROM public.tasks t WHERE t.id = note_on_task.id;
    IF task_owner IS DISTINCT FROM caller.owner_id THEN
        PERFORM taskledger.note_in_audit_log(note_on_task.action, caller.owner_id, 'task:' || note_on_task.id,
            jsonb_build_object('owner', task_owner));
    END IF;
END $$;
COMMENT ON FUNCTION taskledger.note_on_task(text, uuid)
    IS 'Notes for the audit log what the caller does with a task, if it is somebody else''s';
REVOKE ALL ON FUNCTION taskledger.note_on_task(text, uuid) FROM PUBLIC;

CREATE OR REPLACE FUNCTION taskledger.cancel(id uuid) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, taskledger, pg_temp AS $$
DECLARE
    status text := taskledger.locked_status(cancel.id);
BEGIN
    PERFORM taskledger.note_on_task('admin.cancel_task', cancel.id);
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
    PERFORM taskledger.note_on_task('admin.retry_task', retry.id);
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
    wanted uuid[];
    of_others bigint;
    replayed integer;
BEGIN
    SELECT * INTO caller FROM taskledger.known_caller();
    IF retry_where.type IS NULL THEN
        RAISE EXCEPTION 'type is null; say which dead letters: retry_where(type, fingerprint)'
            USING ERRCODE = 'null_value_not_allowed';
    END IF;
    SELECT coalesce(array_agg(t.id), '{}'), count(*) FILTER (WHERE t.owner_id IS DISTINCT FROM caller.owner_id)
    INTO wanted, of_others
    FROM public.tasks t
    WHERE t.status = 'FAILED' AND t.type = retry_where.type AND t.run_id IS NULL
      AND (retry_where.fingerprint IS NULL OR t.error_fingerprint = retry_where.fingerprint)
      AND (caller.acts_for_all OR t.owner_id = caller.owner_id);
    replayed := taskledger.replay(wanted);
    IF of_others > 0 THEN
        PERFORM taskledger.note_in_audit_log('dead_letters.replayed', caller.owner_id, NULL, jsonb_build_object(
            'count', replayed, 'of_others', of_others, 'filter', jsonb_strip_nulls(jsonb_build_object(
                'type', retry_where.type, 'fingerprint', retry_where.fingerprint))));
    END IF;
    RETURN replayed;
END $$;
