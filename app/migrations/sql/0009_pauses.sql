-- taskledger.pause_queue, resume_queue, pause_type, resume_type: as the API's; for admins.

CREATE FUNCTION taskledger.note_in_audit_log(action text, owner uuid, subject text, detail jsonb) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, taskledger, pg_temp AS $$
    INSERT INTO public.audit_log (at, action, actor_id, subject, detail)
    VALUES (clock_timestamp(), action, owner, subject, detail || jsonb_build_object('db_user', session_user::text));
$$;
COMMENT ON FUNCTION taskledger.note_in_audit_log(text, uuid, text, jsonb) IS 'Adds to the audit log who did what through SQL';

CREATE FUNCTION taskledger.check_pausable(kind text, name text) RETURNS void
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, taskledger, pg_temp AS $$
DECLARE
    known text[] := CASE kind
        WHEN 'type' THEN ARRAY(SELECT t.name FROM public.task_types t WHERE t.retired_at IS NULL ORDER BY 1)
        ELSE ARRAY(SELECT 'tasks' UNION SELECT t.queue FROM public.task_types t WHERE t.retired_at IS NULL ORDER BY 1)
    END;
BEGIN
    IF name IS NULL OR NOT name = ANY (known) THEN
        RAISE EXCEPTION 'there is no % called %', kind, coalesce(quote_literal(name), 'null')
            USING ERRCODE = 'no_data_found', HINT = 'there are: ' || array_to_string(known, ', ');
    END IF;
END $$;
COMMENT ON FUNCTION taskledger.check_pausable(text, text) IS 'Raises unless a queue or type of this name is known';

CREATE FUNCTION taskledger.pause(kind text, name text, reason text) RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, taskledger, pg_temp AS $$
DECLARE
    admin record;
    since timestamptz;
BEGIN
    SELECT * INTO admin FROM taskledger.admin_caller();
    PERFORM taskledger.check_pausable(pause.kind, pause.name);
    IF length(pause.reason) > 500 THEN
        RAISE EXCEPTION 'reason must have at most 500 characters' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM taskledger.note_in_audit_log(
        pause.kind || '.paused', admin.owner_id, pause.kind || ':' || pause.name,
        jsonb_strip_nulls(jsonb_build_object('reason', pause.reason)));
    INSERT INTO public.pauses AS p (kind, name, paused_at, paused_by, reason)
    VALUES (pause.kind, pause.name, clock_timestamp(), coalesce(admin.owner_id::text, admin.role_name), pause.reason)
    ON CONFLICT ON CONSTRAINT pk_pauses DO UPDATE
    SET resumed_at = NULL, paused_at = excluded.paused_at, paused_by = excluded.paused_by, reason = excluded.reason
    WHERE p.resumed_at IS NOT NULL;
    SELECT p.paused_at INTO since FROM public.pauses p WHERE p.kind = pause.kind AND p.name = pause.name;
    RETURN since;
END $$;
COMMENT ON FUNCTION taskledger.pause(text, text, text) IS 'Pauses a queue or a type; pausing what is paused keeps the first pause';

CREATE FUNCTION taskledger.resume(kind text, name text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, taskledger, pg_temp AS $$
DECLARE
    admin record;
BEGIN
    SELECT * INTO admin FROM taskledger.admin_caller();
    PERFORM taskledger.note_in_audit_log(
        resume.kind || '.resumed', admin.owner_id, resume.kind || ':' || resume.name, '{}');
    UPDATE public.pauses p SET resumed_at = clock_timestamp()
    WHERE p.kind = resume.kind AND p.name = resume.name AND p.resumed_at IS NULL;
    IF FOUND THEN
        RETURN true;  -- also one whose type or queue is gone since
    END IF;
    PERFORM taskledger.check_pausable(resume.kind, resume.name);
    RETURN false;
END $$;
COMMENT ON FUNCTION taskledger.resume(text, text) IS 'Lifts the pause of a queue or a type; false when there was none';

CREATE FUNCTION taskledger.pause_queue(queue text, reason text DEFAULT NULL) RETURNS timestamptz
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, taskledger, pg_temp
AS $$ SELECT taskledger.pause('queue', queue, reason) $$;
COMMENT ON FUNCTION taskledger.pause_queue(text, text)
    IS 'Pauses a queue: workers stop to take from it within 3 seconds; returns since when. For admins';
CREATE FUNCTION taskledger.resume_queue(queue text) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, taskledger, pg_temp
AS $$ SELECT taskledger.resume('queue', queue) $$;
COMMENT ON FUNCTION taskledger.resume_queue(text) IS 'Lifts the pause of a queue; false when there was none. For admins';
CREATE FUNCTION taskledger.pause_type(type text, reason text DEFAULT NULL) RETURNS timestamptz
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, taskledger, pg_temp
AS $$ SELECT taskledger.pause('type', type, reason) $$;
COMMENT ON FUNCTION taskledger.pause_type(text, text)
    IS 'Pauses a task type: no task of it is started; returns since when. For admins';
CREATE FUNCTION taskledger.resume_type(type text) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, taskledger, pg_temp
AS $$ SELECT taskledger.resume('type', type) $$;
COMMENT ON FUNCTION taskledger.resume_type(text) IS 'Lifts the pause of a task type; false when there was none. For admins';
