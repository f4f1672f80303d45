-- v_waiting_on as it was before tasks could be WAITING.

CREATE OR REPLACE VIEW taskledger.v_waiting_on WITH (security_barrier) AS
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
COMMENT ON COLUMN taskledger.v_waiting_on.status IS 'SCHEDULED, PENDING or RETRYING';
