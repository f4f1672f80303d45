-- v_children: the tasks that a task's handler submitted. Found by the key of task_children, not by reading all tasks.

CREATE VIEW taskledger.v_children WITH (security_barrier) AS
SELECT c.parent_id, t.id, c.key, t.type, t.name, t.status, t.created_at, t.started_at, t.finished_at
FROM public.task_children c JOIN public.tasks t ON t.id = c.child_id
WHERE (SELECT reads_all FROM taskledger.caller()) OR t.owner_id = (SELECT owner_id FROM taskledger.caller());
COMMENT ON VIEW taskledger.v_children IS 'The tasks that handlers submitted, by the task whose handler did';
COMMENT ON COLUMN taskledger.v_children.parent_id IS 'The task whose handler submitted the other';
COMMENT ON COLUMN taskledger.v_children.id IS 'The task that was submitted';
COMMENT ON COLUMN taskledger.v_children.key IS 'What the handler calls it; null: nothing';
COMMENT ON COLUMN taskledger.v_children.type IS 'Its task type';
COMMENT ON COLUMN taskledger.v_children.name IS 'A name for people; not unique';
COMMENT ON COLUMN taskledger.v_children.status IS 'Where it stands; docs/reference/statuses.md';
COMMENT ON COLUMN taskledger.v_children.created_at IS 'When the submission was accepted';
COMMENT ON COLUMN taskledger.v_children.started_at IS 'When the latest attempt started';
COMMENT ON COLUMN taskledger.v_children.finished_at IS 'When it was COMPLETED, FAILED or CANCELLED';
