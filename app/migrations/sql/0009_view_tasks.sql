-- v_tasks and v_events: what there is, readable. Views run with their owner's rights and filter by caller(): whoever may
-- select from them sees what the role's row in sql_roles says, and needs no right on any table.

CREATE VIEW taskledger.v_tasks WITH (security_barrier) AS
SELECT t.id,
       t.type,
       t.name,
       t.status,
       date_trunc('milliseconds', now() - t.created_at) AS age,
       date_trunc('milliseconds', greatest(
           CASE WHEN t.attempt > t.attempt_base THEN t.started_at ELSE coalesce(t.finished_at, now()) END
           - greatest(t.created_at, t.scheduled_at), interval '0')) AS waiting,
       date_trunc('milliseconds', CASE
           WHEN t.status = 'PROCESSING' THEN now() - t.started_at
           WHEN t.finished_at >= t.started_at AND t.attempt > t.attempt_base THEN t.finished_at - t.started_at
       END) AS running,
       t.attempt AS attempts,
       CASE WHEN t.finished_at IS NULL
            THEN greatest(t.max_retries - greatest(t.attempt - t.attempt_base - 1, 0), 0) END AS retries_left,
       CASE WHEN t.error IS NULL THEN NULL
            WHEN coalesce(k.sensitive, true) THEN t.error ->> 'type'
            ELSE concat_ws(': ', t.error ->> 'type', t.error ->> 'message') END AS last_error,
       t.error_fingerprint AS fingerprint,
       t.reason,
       t.priority,
       t.queue,
       t.owner_id AS owner,
       t.labels,
       t.progress,
       taskledger.shown(t.payload, k.sensitive, k.masked_keys, k.known_keys) AS payload,
       taskledger.shown(t.result, k.sensitive, '{}', NULL) AS result,
       t.leased_by AS worker,
       t.created_at,
       t.scheduled_at,
       t.expires_at,
       t.started_at,
       t.finished_at,
       t.due_at,
       t.dispatched_at,
       t.cancel_requested_at,
       t.cancel_receipt
FROM public.tasks t LEFT JOIN public.task_types k ON k.name = t.type
WHERE (SELECT reads_all FROM taskledger.caller()) OR t.owner_id = (SELECT owner_id FROM taskledger.caller());
COMMENT ON VIEW taskledger.v_tasks IS 'Tasks, readable: how old, how long waiting and running, attempts, last error';
COMMENT ON COLUMN taskledger.v_tasks.id IS 'UUIDv7: ids sort by creation';
COMMENT ON COLUMN taskledger.v_tasks.type IS 'Task type';
COMMENT ON COLUMN taskledger.v_tasks.name IS 'A name for people; not unique';
COMMENT ON COLUMN taskledger.v_tasks.status IS 'Where it stands; docs/reference/statuses.md';
COMMENT ON COLUMN taskledger.v_tasks.age IS 'Since it was submitted';
COMMENT ON COLUMN taskledger.v_tasks.waiting IS 'From when it could first start to the start of its latest attempt, or until now';
COMMENT ON COLUMN taskledger.v_tasks.running IS 'How long its latest attempt has run, or ran until the task finished';
COMMENT ON COLUMN taskledger.v_tasks.attempts IS 'Attempts so far, those before a replay included';
COMMENT ON COLUMN taskledger.v_tasks.retries_left IS 'Retries it still has; null once finished';
COMMENT ON COLUMN taskledger.v_tasks.last_error IS 'Its last failure, type and message; of sensitive types the type alone';
COMMENT ON COLUMN taskledger.v_tasks.fingerprint IS 'Same for failures with the same cause';
COMMENT ON COLUMN taskledger.v_tasks.reason IS 'Why the status is what it is, where that is not obvious';
COMMENT ON COLUMN taskledger.v_tasks.priority IS 'high, normal or low';
COMMENT ON COLUMN taskledger.v_tasks.queue IS 'Broker queue that carries its hints';
COMMENT ON COLUMN taskledger.v_tasks.owner IS 'Account it belongs to; null: the service itself';
COMMENT ON COLUMN taskledger.v_tasks.labels IS 'Strings by name';
COMMENT ON COLUMN taskledger.v_tasks.progress IS 'What the handler last reported: fraction 0..1 and message';
COMMENT ON COLUMN taskledger.v_tasks.payload IS 'What the handler is given, without what is secret in it';
COMMENT ON COLUMN taskledger.v_tasks.result IS 'What the handler returned, without what is secret in it';
COMMENT ON COLUMN taskledger.v_tasks.worker IS 'The worker that runs it now';
COMMENT ON COLUMN taskledger.v_tasks.created_at IS 'When the submission was accepted';
COMMENT ON COLUMN taskledger.v_tasks.scheduled_at IS 'Not before this moment';
COMMENT ON COLUMN taskledger.v_tasks.expires_at IS 'Cancelled when not started by then';
COMMENT ON COLUMN taskledger.v_tasks.started_at IS 'When the latest attempt started';
COMMENT ON COLUMN taskledger.v_tasks.finished_at IS 'When it was COMPLETED, FAILED or CANCELLED';
COMMENT ON COLUMN taskledger.v_tasks.due_at IS 'When the service looks at it again; null once finished';
COMMENT ON COLUMN taskledger.v_tasks.dispatched_at IS 'When its last hint was published; null: held by the ledger';
COMMENT ON COLUMN taskledger.v_tasks.cancel_requested_at IS 'When it was asked to stop while it ran';
COMMENT ON COLUMN taskledger.v_tasks.cancel_receipt IS 'What a cancellation found: never_started, stopped, killed or finished_first';

CREATE VIEW taskledger.v_events WITH (security_barrier) AS
SELECT e.id, e.at, e.task_id, e.type, e.previous_status, e.status, e.attempt, e.worker, e.db_user,
       e.detail ->> 'reason' AS reason,
       CASE WHEN coalesce(k.sensitive, true) THEN e.detail -> 'error' ->> 'type'
            ELSE nullif(concat_ws(': ', e.detail -> 'error' ->> 'type', e.detail -> 'error' ->> 'message'), '')
       END AS error
FROM public.task_events e
JOIN public.tasks t ON t.id = e.task_id
LEFT JOIN public.task_types k ON k.name = e.type
WHERE (SELECT reads_all FROM taskledger.caller()) OR t.owner_id = (SELECT owner_id FROM taskledger.caller());
COMMENT ON VIEW taskledger.v_events IS 'The history of the tasks there are: every change of a status, and who made it by hand';
COMMENT ON COLUMN taskledger.v_events.id IS 'A task''s events are in the order of their ids';
COMMENT ON COLUMN taskledger.v_events.at IS 'When';
COMMENT ON COLUMN taskledger.v_events.task_id IS 'The task';
COMMENT ON COLUMN taskledger.v_events.type IS 'Its type';
COMMENT ON COLUMN taskledger.v_events.previous_status IS 'Its status before; null: it was submitted';
COMMENT ON COLUMN taskledger.v_events.status IS 'Its status from here on';
COMMENT ON COLUMN taskledger.v_events.attempt IS 'Number of the attempt it had reached';
COMMENT ON COLUMN taskledger.v_events.worker IS 'The worker that claimed or ran the attempt';
COMMENT ON COLUMN taskledger.v_events.db_user IS 'The database user who made the change through SQL; null: the service';
COMMENT ON COLUMN taskledger.v_events.reason IS 'Why, where that is not obvious';
COMMENT ON COLUMN taskledger.v_events.error IS 'How the attempt failed; of sensitive types the type of the error alone';
