-- v_throughput: what was done, by hour and type. Exact: what has been passed on is counted, the rest is in the outbox.

CREATE VIEW taskledger.v_throughput WITH (security_barrier) AS
SELECT hour, type,
       coalesce(sum(n) FILTER (WHERE previous_status IS NULL), 0)::bigint AS submitted,
       coalesce(sum(n) FILTER (WHERE status = 'PROCESSING'), 0)::bigint AS started,
       coalesce(sum(n) FILTER (WHERE status = 'COMPLETED'), 0)::bigint AS completed,
       coalesce(sum(n) FILTER (WHERE status = 'FAILED'), 0)::bigint AS failed,
       coalesce(sum(n) FILTER (WHERE status = 'CANCELLED'), 0)::bigint AS cancelled,
       coalesce(sum(n) FILTER (WHERE status = 'RETRYING'), 0)::bigint AS retries,
       coalesce(sum(n) FILTER (WHERE previous_status IN ('FAILED', 'CANCELLED')), 0)::bigint AS replayed
FROM (
    SELECT hour, owner_id, type, previous_status, status, n FROM public.task_counts
    UNION ALL
    SELECT date_trunc('hour', e.at, 'UTC'), e.owner_id, e.type, e.previous_status, e.status, 1
    FROM public.event_outbox o JOIN public.task_events e ON e.id = o.event_id AND e.at = o.at
) AS counted
WHERE (SELECT reads_all FROM taskledger.caller()) OR owner_id = (SELECT owner_id FROM taskledger.caller())
GROUP BY hour, type;
COMMENT ON VIEW taskledger.v_throughput IS 'What was done in each hour, by type; hours without any are not there';
COMMENT ON COLUMN taskledger.v_throughput.hour IS 'The hour (UTC)';
COMMENT ON COLUMN taskledger.v_throughput.type IS 'Task type';
COMMENT ON COLUMN taskledger.v_throughput.submitted IS 'Tasks that were submitted';
COMMENT ON COLUMN taskledger.v_throughput.started IS 'Attempts that were started';
COMMENT ON COLUMN taskledger.v_throughput.completed IS 'Tasks that completed';
COMMENT ON COLUMN taskledger.v_throughput.failed IS 'Tasks that failed for good';
COMMENT ON COLUMN taskledger.v_throughput.cancelled IS 'Tasks that were cancelled';
COMMENT ON COLUMN taskledger.v_throughput.retries IS 'Attempts that failed and are followed by another';
COMMENT ON COLUMN taskledger.v_throughput.replayed IS 'Dead letters and cancelled tasks that were started over';
