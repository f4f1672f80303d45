-- v_workflow_runs: runs of workflows, how far they are and what they wait for.

CREATE VIEW taskledger.v_workflow_runs WITH (security_barrier) AS
SELECT r.id, r.workflow_name AS workflow, r.version, r.status, r.reason, r.owner_id AS owner, r.labels, r.priority,
       coalesce(s.steps, 0) AS steps, coalesce(s.ended, 0) AS ended, coalesce(s.failed, 0) AS failed,
       CASE WHEN s.steps > 0 THEN round(100.0 * s.ended / s.steps) END AS percent,
       s.running_steps, s.failed_steps, r.created_at, r.starts_at, r.finished_at,
       date_trunc('milliseconds', coalesce(r.finished_at, now()) - r.created_at) AS age
FROM public.workflow_runs r
LEFT JOIN LATERAL (
    SELECT count(*) AS steps,
           count(*) FILTER (WHERE state NOT IN ('WAITING', 'STARTED')) AS ended,
           count(*) FILTER (WHERE state = 'FAILED') AS failed,
           array_agg(key ORDER BY position) FILTER (WHERE state = 'STARTED') AS running_steps,
           array_agg(key ORDER BY position) FILTER (WHERE state = 'FAILED') AS failed_steps
    FROM public.workflow_steps WHERE run_id = r.id
) AS s ON true
WHERE (SELECT reads_all FROM taskledger.caller()) OR r.owner_id = (SELECT owner_id FROM taskledger.caller());
COMMENT ON VIEW taskledger.v_workflow_runs IS 'Runs of workflows, and how far each one is';
COMMENT ON COLUMN taskledger.v_workflow_runs.id IS 'The run';
COMMENT ON COLUMN taskledger.v_workflow_runs.workflow IS 'Name of the workflow when it was started';
COMMENT ON COLUMN taskledger.v_workflow_runs.version IS 'The version that it goes by';
COMMENT ON COLUMN taskledger.v_workflow_runs.status IS 'Where it stands; docs/reference/workflows.md';
COMMENT ON COLUMN taskledger.v_workflow_runs.reason IS 'Why the status is what it is, where that is not obvious';
COMMENT ON COLUMN taskledger.v_workflow_runs.owner IS 'Account it belongs to; null: the service itself';
COMMENT ON COLUMN taskledger.v_workflow_runs.labels IS 'Strings by name; its tasks carry them, too';
COMMENT ON COLUMN taskledger.v_workflow_runs.priority IS 'Of its tasks: high, normal or low';
COMMENT ON COLUMN taskledger.v_workflow_runs.steps IS 'How many steps it has';
COMMENT ON COLUMN taskledger.v_workflow_runs.ended IS 'How many of them have ended, or were skipped';
COMMENT ON COLUMN taskledger.v_workflow_runs.failed IS 'How many of them have failed';
COMMENT ON COLUMN taskledger.v_workflow_runs.percent IS 'Ended steps of all';
COMMENT ON COLUMN taskledger.v_workflow_runs.running_steps IS 'Keys of the steps that have a task under way; null: none';
COMMENT ON COLUMN taskledger.v_workflow_runs.failed_steps IS 'Keys of the steps that have failed; null: none';
COMMENT ON COLUMN taskledger.v_workflow_runs.created_at IS 'When it was started';
COMMENT ON COLUMN taskledger.v_workflow_runs.starts_at IS 'No step begins before';
COMMENT ON COLUMN taskledger.v_workflow_runs.finished_at IS 'When it ended, the last time';
COMMENT ON COLUMN taskledger.v_workflow_runs.age IS 'From its start to its end, or until now';
