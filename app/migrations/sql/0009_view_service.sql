-- v_queue_status and v_schedule_next: the service as a whole, and what is to come.

CREATE VIEW taskledger.v_queue_status AS
WITH counted AS (
    SELECT queue, count(*) FILTER (WHERE status = 'PENDING') AS pending,
           count(*) FILTER (WHERE status = 'PROCESSING') AS running,
           count(*) FILTER (WHERE status IN ('SCHEDULED', 'RETRYING')) AS later,
           min(created_at) FILTER (WHERE status = 'PENDING') AS oldest
    FROM public.tasks WHERE due_at IS NOT NULL GROUP BY queue
), serving AS (
    SELECT queue, count(*) AS workers FROM public.workers, unnest(queues) AS queue
    WHERE stopped_at IS NULL AND last_seen_at > now() - interval '15 seconds' GROUP BY queue
), paused AS (
    SELECT name AS queue, paused_at, reason FROM public.pauses WHERE kind = 'queue' AND resumed_at IS NULL
), known AS (
    SELECT 'tasks' AS queue UNION SELECT queue FROM public.task_types WHERE retired_at IS NULL
    UNION SELECT queue FROM counted UNION SELECT queue FROM serving UNION SELECT queue FROM paused
)
SELECT queue AS name, coalesce(pending, 0) AS pending, coalesce(running, 0) AS running, coalesce(later, 0) AS later,
       extract(epoch FROM now() - oldest)::double precision AS oldest_pending_seconds,
       coalesce(workers, 0) AS workers, paused_at, reason AS pause_reason
FROM known LEFT JOIN counted USING (queue) LEFT JOIN serving USING (queue) LEFT JOIN paused USING (queue)
WHERE (SELECT is_known FROM taskledger.caller());
COMMENT ON VIEW taskledger.v_queue_status IS 'Every queue that a type uses, a task waits in or a worker serves';
COMMENT ON COLUMN taskledger.v_queue_status.name IS 'Queue';
COMMENT ON COLUMN taskledger.v_queue_status.pending IS 'Tasks that are PENDING';
COMMENT ON COLUMN taskledger.v_queue_status.running IS 'Tasks that are PROCESSING';
COMMENT ON COLUMN taskledger.v_queue_status.later IS 'Tasks that are SCHEDULED or RETRYING';
COMMENT ON COLUMN taskledger.v_queue_status.oldest_pending_seconds IS 'Age of the oldest PENDING task; null when there is none';
COMMENT ON COLUMN taskledger.v_queue_status.workers IS 'Live workers that serve it';
COMMENT ON COLUMN taskledger.v_queue_status.paused_at IS 'Paused since; null: it is not paused';
COMMENT ON COLUMN taskledger.v_queue_status.pause_reason IS 'Why it is paused, in the words of who paused it';

CREATE VIEW taskledger.v_schedule_next WITH (security_barrier) AS
SELECT s.id, s.name, s.owner_id AS owner, s.cron, s.time_zone, s.enabled, s.next_at,
       s.next_at AT TIME ZONE s.time_zone AS next_local,
       date_trunc('seconds', s.next_at - now()) AS due_in,
       s.target -> 'task' ->> 'type' AS type,
       s.last_slot_at, s.last_task_id, last.status AS last_status, s.overlap, s.misfire, s.problem
FROM public.schedules s LEFT JOIN public.tasks last ON last.id = s.last_task_id
WHERE (SELECT reads_all FROM taskledger.caller()) OR s.owner_id = (SELECT owner_id FROM taskledger.caller());
COMMENT ON VIEW taskledger.v_schedule_next IS 'Schedules, and when each one fires next';
COMMENT ON COLUMN taskledger.v_schedule_next.id IS 'The schedule';
COMMENT ON COLUMN taskledger.v_schedule_next.name IS 'A name for people; not unique';
COMMENT ON COLUMN taskledger.v_schedule_next.owner IS 'Account it belongs to; null: the service itself';
COMMENT ON COLUMN taskledger.v_schedule_next.cron IS 'Five fields or an alias, in local time; null: a one-off';
COMMENT ON COLUMN taskledger.v_schedule_next.time_zone IS 'The zone in which cron is read';
COMMENT ON COLUMN taskledger.v_schedule_next.enabled IS 'Whether it has slots now';
COMMENT ON COLUMN taskledger.v_schedule_next.next_at IS 'The next slot, or when it is computed again; null: disabled, or none will come';
COMMENT ON COLUMN taskledger.v_schedule_next.next_local IS 'The same moment in its own time zone, by this database''s zone data';
COMMENT ON COLUMN taskledger.v_schedule_next.due_in IS 'From now until then';
COMMENT ON COLUMN taskledger.v_schedule_next.type IS 'Task type that a slot submits; null: a slot starts something else';
COMMENT ON COLUMN taskledger.v_schedule_next.last_slot_at IS 'The newest slot that fired';
COMMENT ON COLUMN taskledger.v_schedule_next.last_task_id IS 'Its task';
COMMENT ON COLUMN taskledger.v_schedule_next.last_status IS 'The status of that task; null once it is deleted';
COMMENT ON COLUMN taskledger.v_schedule_next.overlap IS 'While the last task is unfinished: allow, skip or queue_one';
COMMENT ON COLUMN taskledger.v_schedule_next.misfire IS 'Slots noticed late: skip, run_once or run_all';
COMMENT ON COLUMN taskledger.v_schedule_next.problem IS 'Why the next slot cannot be computed; null: it can';
