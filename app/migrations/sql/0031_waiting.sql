-- Tasks that wait: news for those whose children have ended, what a replay forgets, and what they wait for.

CREATE FUNCTION taskledger.has_open_children(id uuid) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT FROM public.task_steps s
        WHERE s.task_id = has_open_children.id AND s.child_id IS NOT NULL AND s.ended_at IS NULL);
$$;
COMMENT ON FUNCTION taskledger.has_open_children(uuid) IS 'Whether a task waits for children that have not ended';

CREATE FUNCTION taskledger.may_be_replayed(id uuid, parent_id uuid, step text) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT (may_be_replayed.parent_id IS NULL OR may_be_replayed.step IS NULL OR may_be_replayed.step = '#undo'
            OR NOT EXISTS (SELECT FROM public.tasks p
                           WHERE p.id = may_be_replayed.parent_id AND p.status <> 'COMPLETED'))
       AND NOT EXISTS (SELECT FROM public.task_steps s JOIN public.tasks u ON u.id = s.child_id
                       WHERE s.task_id = may_be_replayed.id AND s.name = '#undo' AND u.finished_at IS NULL);
$$;
COMMENT ON FUNCTION taskledger.may_be_replayed(uuid, uuid, text)
    IS 'Whether a task may be started over by itself: its parent does not do that, and it is not being undone';

-- News are for the duty `waiting`, which locks the parent: whoever ends a child never does.
CREATE FUNCTION taskledger.tell_parent() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        INSERT INTO public.workflow_news (task_id) VALUES (OLD.parent_id);
        RETURN NULL;
    END IF;
    IF NEW.parent_id IS NOT NULL AND NEW.step IS NOT NULL THEN
        INSERT INTO public.workflow_news (task_id) VALUES (NEW.parent_id);
    END IF;
    -- What it has done may have to be undone, and its children cancelled.
    IF NEW.status <> 'COMPLETED' AND EXISTS (
        SELECT FROM public.task_steps WHERE task_id = NEW.id AND kind <> 'checkpoint') THEN
        INSERT INTO public.workflow_news (task_id) VALUES (NEW.id);
    END IF;
    RETURN NULL;
END $$;
ALTER FUNCTION taskledger.tell_parent() SET enable_seqscan = off;
COMMENT ON FUNCTION taskledger.tell_parent() IS 'Notes that a child has ended, or a task with steps has, whoever ended it';
CREATE TRIGGER tell_parent AFTER UPDATE OF status ON tasks FOR EACH ROW
    WHEN (NEW.finished_at IS NOT NULL AND OLD.finished_at IS NULL
          AND (NEW.status <> 'COMPLETED' OR (NEW.parent_id IS NOT NULL AND NEW.step IS NOT NULL)))
    EXECUTE FUNCTION taskledger.tell_parent();
CREATE TRIGGER tell_parent_of_deletion AFTER DELETE ON tasks FOR EACH ROW
    WHEN (OLD.parent_id IS NOT NULL AND OLD.step IS NOT NULL AND OLD.finished_at IS NULL)
    EXECUTE FUNCTION taskledger.tell_parent();

-- A replay goes on from what was done; failures are not remembered. Children that failed are started over when their
-- turn comes: such a step is FAILED, and has not ended.
CREATE FUNCTION taskledger.forget_failures() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM public.task_steps WHERE task_id = NEW.id AND state = 'UNDONE') THEN
        DELETE FROM public.task_steps WHERE task_id = NEW.id;
        RETURN NULL;
    END IF;
    DELETE FROM public.task_steps
    WHERE task_id = NEW.id AND (name = '#undo' OR (kind = 'signal' AND state = 'FAILED'));
    UPDATE public.task_steps AS s SET state = 'FAILED', error = NULL, ended_at = NULL, released_at = NULL
    WHERE s.task_id = NEW.id AND s.child_id IS NOT NULL
      AND (s.state = 'FAILED' OR (s.ended_at IS NULL AND EXISTS (
          SELECT FROM public.tasks c WHERE c.id = s.child_id AND c.status IN ('FAILED', 'CANCELLED'))));
    RETURN NULL;
END $$;
ALTER FUNCTION taskledger.forget_failures() SET enable_seqscan = off;
COMMENT ON FUNCTION taskledger.forget_failures() IS 'Lets a task that is started over try again what had failed';
CREATE TRIGGER forget_failures AFTER UPDATE OF status ON tasks FOR EACH ROW
    WHEN (OLD.finished_at IS NOT NULL AND NEW.finished_at IS NULL)
    EXECUTE FUNCTION taskledger.forget_failures();

CREATE OR REPLACE VIEW taskledger.v_waiting_on WITH (security_barrier) AS
SELECT t.id, t.type, t.status, t.queue, t.priority, t.owner_id AS owner,
       CASE
           WHEN t.status = 'WAITING' THEN CASE
               WHEN t.waits_for ? 'signal' THEN format('the signal %s', t.waits_for ->> 'signal')
               WHEN t.waits_for ? 'children' THEN 'its children'
               ELSE 'a moment' END
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
       CASE WHEN t.status = 'PENDING' OR t.due_at >= '9999-06-01 00:00:00+00' THEN NULL ELSE t.due_at END AS until,
       date_trunc('milliseconds', now() - t.created_at) AS age
FROM public.tasks t
LEFT JOIN public.pauses type_pause
       ON type_pause.kind = 'type' AND type_pause.name = t.type AND type_pause.resumed_at IS NULL
LEFT JOIN public.pauses queue_pause
       ON queue_pause.kind = 'queue' AND queue_pause.name = t.queue AND queue_pause.resumed_at IS NULL
WHERE t.due_at IS NOT NULL AND t.status IN ('SCHEDULED', 'PENDING', 'RETRYING', 'WAITING')
  AND ((SELECT reads_all FROM taskledger.caller()) OR t.owner_id = (SELECT owner_id FROM taskledger.caller()));
COMMENT ON COLUMN taskledger.v_waiting_on.status IS 'SCHEDULED, PENDING, RETRYING or WAITING';
