-- v_stuck, v_dead_letters, v_waiting_on: what is wrong, and what is waited for.

CREATE VIEW taskledger.v_stuck WITH (security_barrier) AS
SELECT t.id, t.type, t.status, t.queue, t.owner_id AS owner, problem.what, problem.since,
       date_trunc('seconds', now() - problem.since) AS stuck_for
FROM public.tasks t
CROSS JOIN LATERAL (
    SELECT 'past due: is a dispatcher running, and the broker reachable?' AS what, t.due_at AS since
    WHERE t.due_at < now() - interval '60 seconds'
    UNION ALL
    SELECT 'its worker is gone: the dispatcher moves it on within 20 s', t.started_at
    WHERE t.status = 'PROCESSING' AND NOT EXISTS (
        SELECT FROM public.workers w
        WHERE w.id = t.leased_by AND w.stopped_at IS NULL AND w.last_seen_at > now() - interval '15 seconds')
    UNION ALL
    SELECT 'asked to stop, and still running', t.cancel_requested_at
    WHERE t.status = 'PROCESSING' AND t.cancel_requested_at < now() - interval '60 seconds'
) AS problem
WHERE t.due_at IS NOT NULL
  AND ((SELECT reads_all FROM taskledger.caller()) OR t.owner_id = (SELECT owner_id FROM taskledger.caller()));
COMMENT ON VIEW taskledger.v_stuck IS 'Unfinished tasks that something is wrong with, a row for each problem; empty when all is well';
COMMENT ON COLUMN taskledger.v_stuck.id IS 'The task';
COMMENT ON COLUMN taskledger.v_stuck.type IS 'Its type';
COMMENT ON COLUMN taskledger.v_stuck.status IS 'Its status';
COMMENT ON COLUMN taskledger.v_stuck.queue IS 'Its queue';
COMMENT ON COLUMN taskledger.v_stuck.owner IS 'Account it belongs to; null: the service itself';
COMMENT ON COLUMN taskledger.v_stuck.what IS 'What is wrong';
COMMENT ON COLUMN taskledger.v_stuck.since IS 'Since when';
COMMENT ON COLUMN taskledger.v_stuck.stuck_for IS 'For how long';

CREATE VIEW taskledger.v_dead_letters WITH (security_barrier) AS
SELECT t.error_fingerprint AS fingerprint,
       t.type,
       max(t.error ->> 'type') AS error_type,
       CASE WHEN bool_or(coalesce(k.sensitive, true)) THEN NULL ELSE max(t.error ->> 'message') END AS message,
       count(*) AS count,
       min(t.finished_at) AS first_at,
       max(t.finished_at) AS last_at,
       (array_agg(t.id ORDER BY t.id DESC))[1] AS example_id
FROM public.tasks t LEFT JOIN public.task_types k ON k.name = t.type
WHERE t.status = 'FAILED'
  AND ((SELECT reads_all FROM taskledger.caller()) OR t.owner_id = (SELECT owner_id FROM taskledger.caller()))
GROUP BY t.error_fingerprint, t.type;
COMMENT ON VIEW taskledger.v_dead_letters IS 'FAILED tasks by cause; retry_where(type, fingerprint) starts those of one row over';
COMMENT ON COLUMN taskledger.v_dead_letters.fingerprint IS 'The cause';
COMMENT ON COLUMN taskledger.v_dead_letters.type IS 'Task type';
COMMENT ON COLUMN taskledger.v_dead_letters.error_type IS 'What was raised';
COMMENT ON COLUMN taskledger.v_dead_letters.message IS 'The message of one of them; null for sensitive types';
COMMENT ON COLUMN taskledger.v_dead_letters.count IS 'How many';
COMMENT ON COLUMN taskledger.v_dead_letters.first_at IS 'When the first of them failed';
COMMENT ON COLUMN taskledger.v_dead_letters.last_at IS 'When the latest of them failed';
COMMENT ON COLUMN taskledger.v_dead_letters.example_id IS 'The newest of them';

CREATE VIEW taskledger.v_waiting_on WITH (security_barrier) AS
SELECT t.id, t.type, t.status, t.queue, t.priority, t.owner_id AS owner,
       CASE
           WHEN t.status = 'SCHEDULED' THEN 'its start'
           WHEN t.status = 'RETRYING' THEN 'its next attempt'
           WHEN type_pause.name IS NOT NULL THEN 'its type is paused'
           WHEN queue_pause.name IS NOT NULL THEN 'its queue is paused'
           WHEN NOT EXISTS (SELECT FROM public.workers w WHERE t.queue = ANY (w.queues) AND w.stopped_at IS NULL
                            AND w.last_seen_at > now() - interval '15 seconds') THEN 'no live worker serves its queue'
           WHEN NOT EXISTS (SELECT FROM public.workers w WHERE t.queue = ANY (w.queues) AND w.types ? t.type
                            AND w.stopped_at IS NULL AND w.last_seen_at > now() - interval '15 seconds')
               THEN 'no live worker of its queue knows its type'
           WHEN t.dispatched_at IS NULL THEN 'the dispatcher'
           ELSE 'a free worker'
       END AS waiting_on,
       coalesce(type_pause.reason, queue_pause.reason, t.reason) AS reason,
       CASE WHEN t.status = 'PENDING' THEN NULL ELSE t.due_at END AS until,
       date_trunc('milliseconds', now() - t.created_at) AS age
FROM public.tasks t
LEFT JOIN public.pauses type_pause
       ON type_pause.kind = 'type' AND type_pause.name = t.type AND type_pause.resumed_at IS NULL
LEFT JOIN public.pauses queue_pause
       ON queue_pause.kind = 'queue' AND queue_pause.name = t.queue AND queue_pause.resumed_at IS NULL
WHERE t.due_at IS NOT NULL AND t.status IN ('SCHEDULED', 'PENDING', 'RETRYING')
  AND ((SELECT reads_all FROM taskledger.caller()) OR t.owner_id = (SELECT owner_id FROM taskledger.caller()));
COMMENT ON VIEW taskledger.v_waiting_on IS 'Tasks that wait, and what for';
COMMENT ON COLUMN taskledger.v_waiting_on.id IS 'The task';
COMMENT ON COLUMN taskledger.v_waiting_on.type IS 'Its type';
COMMENT ON COLUMN taskledger.v_waiting_on.status IS 'SCHEDULED, PENDING or RETRYING';
COMMENT ON COLUMN taskledger.v_waiting_on.queue IS 'Its queue';
COMMENT ON COLUMN taskledger.v_waiting_on.priority IS 'high, normal or low';
COMMENT ON COLUMN taskledger.v_waiting_on.owner IS 'Account it belongs to; null: the service itself';
COMMENT ON COLUMN taskledger.v_waiting_on.waiting_on IS 'What it waits for';
COMMENT ON COLUMN taskledger.v_waiting_on.reason IS 'Why that is so, where somebody or something said so';
COMMENT ON COLUMN taskledger.v_waiting_on.until IS 'The moment it waits for; null where none is set';
COMMENT ON COLUMN taskledger.v_waiting_on.age IS 'Since it was submitted';
