-- taskledger.signal, and what psql sees of work that waits.

CREATE FUNCTION taskledger.check_signal(name text, data jsonb) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    body text := data::text;
BEGIN
    IF name IS NULL OR name !~ '^[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}$' THEN
        RAISE EXCEPTION 'no signal can be called %', coalesce(quote_literal(left(name, 120)), 'null')
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = '1 to 100 of A-Z, a-z, 0-9, _ . : -, and a letter or digit at first';
    ELSIF octet_length(body) > 65536 THEN
        RAISE EXCEPTION 'data has % bytes as JSON; at most 65536 are accepted', octet_length(body)
            USING ERRCODE = 'program_limit_exceeded';
    ELSIF length(body) - length(translate(body, '[{', '')) > 63
        AND jsonb_path_exists(data, 'strict $.**{63} ? (@.type() == "array" || @.type() == "object")') THEN
        RAISE EXCEPTION 'data is nested too deeply: 63 levels are allowed' USING ERRCODE = 'program_limit_exceeded';
    ELSIF body ~ '[0-9]{155}[0-9]{154}' AND jsonb_path_exists(data, 'strict $.** ? (@.type() == "number" && (@ > 1.7976931348623157e308 || @ < -1.7976931348623157e308))') THEN
        RAISE EXCEPTION 'data holds a number beyond the range of a double' USING ERRCODE = 'invalid_parameter_value';
    END IF;
END $$;
COMMENT ON FUNCTION taskledger.check_signal(text, jsonb) IS 'Raises for a name or data of a signal that the API would refuse';

CREATE FUNCTION taskledger.signal(task_id uuid, name text, data jsonb DEFAULT NULL) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, taskledger, pg_temp AS $$
DECLARE
    caller record;
    task public.tasks;
BEGIN
    PERFORM taskledger.check_signal(signal.name, signal.data);
    PERFORM taskledger.locked_status(signal.task_id);
    SELECT * INTO caller FROM taskledger.known_caller();
    -- A statement of its own, after the lock: whoever suspends the task locks it first, too.
    SELECT * INTO task FROM public.tasks t WHERE t.id = signal.task_id;
    PERFORM taskledger.check_rights(caller.owner_id, task.type, task.queue);
    IF coalesce((SELECT k.sensitive FROM public.task_types k WHERE k.name = task.type), true) THEN
        RAISE EXCEPTION 'tasks of type % cannot be told anything through SQL: it is encrypted by the service', task.type
            USING ERRCODE = 'feature_not_supported', HINT = 'POST /api/v1/tasks/{id}/signals/{name}';
    ELSIF task.finished_at IS NOT NULL THEN
        RAISE EXCEPTION 'task % is %; nothing waits for a signal any more', task.id, task.status
            USING ERRCODE = 'object_not_in_prerequisite_state';
    ELSIF (SELECT count(*) FROM public.signals s WHERE s.target = task.id AND s.taken_by IS NULL) >= 100 THEN
        RAISE EXCEPTION 'there are 100 signals of task % that nothing has taken', task.id
            USING ERRCODE = 'program_limit_exceeded';
    END IF;
    PERFORM taskledger.note_on_task('admin.send_signal', task.id);
    PERFORM taskledger.note_in_audit_log('signal.sent', caller.owner_id, 'task:' || task.id,
        jsonb_build_object('signal', signal.name));
    INSERT INTO public.signals (target, name, data, sent_by, at)
    VALUES (task.id, signal.name, coalesce(signal.data, 'null'), caller.owner_id, clock_timestamp());
    IF task.status = 'WAITING' AND task.cancel_requested_at IS NULL AND task.waits_for ->> 'signal' = signal.name THEN
        UPDATE public.tasks t
        SET status = 'PENDING', due_at = clock_timestamp(), dispatched_at = NULL,
            reason = format('the signal %s came', signal.name)
        WHERE t.id = task.id;
        PERFORM taskledger.wake_dispatcher();
        RETURN 'PENDING';
    END IF;
    RETURN task.status;
END $$;
COMMENT ON FUNCTION taskledger.signal(uuid, text, jsonb)
    IS 'Tells a task what it waits for, or will wait for; returns its status: PENDING where that woke it';
REVOKE ALL ON FUNCTION taskledger.signal(uuid, text, jsonb) FROM PUBLIC;

CREATE VIEW taskledger.v_signals WITH (security_barrier) AS
SELECT s.id, s.target AS task_id, s.name,
       taskledger.shown(s.data, k.sensitive, '{}', NULL) AS data,
       s.at, s.sent_by, s.taken_by
FROM public.signals s
JOIN public.tasks t ON t.id = s.target
LEFT JOIN public.task_types k ON k.name = t.type
WHERE (SELECT reads_all FROM taskledger.caller()) OR t.owner_id = (SELECT owner_id FROM taskledger.caller());
COMMENT ON VIEW taskledger.v_signals IS 'What tasks were told, taken or not';
COMMENT ON COLUMN taskledger.v_signals.id IS 'Order in which they came';
COMMENT ON COLUMN taskledger.v_signals.task_id IS 'The task';
COMMENT ON COLUMN taskledger.v_signals.name IS 'What is waited for';
COMMENT ON COLUMN taskledger.v_signals.data IS 'What was told, without what is secret in it';
COMMENT ON COLUMN taskledger.v_signals.at IS 'When it was sent';
COMMENT ON COLUMN taskledger.v_signals.sent_by IS 'Account that sent it; null: the service itself';
COMMENT ON COLUMN taskledger.v_signals.taken_by IS 'The step that took it; null: nothing has';

CREATE VIEW taskledger.v_steps WITH (security_barrier) AS
SELECT s.task_id, s.name, s.kind, s.state,
       taskledger.shown(s.result, k.sensitive, '{}', NULL) AS result,
       CASE WHEN coalesce(k.sensitive, true) THEN s.error ->> 'type'
            ELSE nullif(concat_ws(': ', s.error ->> 'type', s.error ->> 'message'), '') END AS error,
       s.child_id, s.until, s.ended_at
FROM public.task_steps s
JOIN public.tasks t ON t.id = s.task_id
LEFT JOIN public.task_types k ON k.name = t.type
WHERE (SELECT reads_all FROM taskledger.caller()) OR t.owner_id = (SELECT owner_id FROM taskledger.caller());
COMMENT ON VIEW taskledger.v_steps IS 'What durable tasks remember';
COMMENT ON COLUMN taskledger.v_steps.task_id IS 'The task';
COMMENT ON COLUMN taskledger.v_steps.name IS 'What its handler calls the step';
COMMENT ON COLUMN taskledger.v_steps.kind IS 'once, sleep, signal, call, gather, run or checkpoint';
COMMENT ON COLUMN taskledger.v_steps.state IS 'BEGUN, DONE, FAILED or UNDONE';
COMMENT ON COLUMN taskledger.v_steps.result IS 'What came of it, without what is secret in it';
COMMENT ON COLUMN taskledger.v_steps.error IS 'What it failed with; of sensitive types the type of the error alone';
COMMENT ON COLUMN taskledger.v_steps.child_id IS 'The task that does it';
COMMENT ON COLUMN taskledger.v_steps.until IS 'Until when is waited';
COMMENT ON COLUMN taskledger.v_steps.ended_at IS 'When it ended';
