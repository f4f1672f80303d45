-- The end of a run that is a step of another one: a signal to the task that waits for it, and news, so that the duty looks.

CREATE FUNCTION taskledger.tell_waiting_task() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.signals (target, name, at) VALUES (NEW.tells_id, 'run:' || NEW.id, clock_timestamp());
    INSERT INTO public.workflow_news (task_id) VALUES (NEW.tells_id);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION taskledger.tell_waiting_task() IS 'Tells the task that waits for a run that it has ended';
CREATE TRIGGER tell_waiting_task AFTER UPDATE OF status ON workflow_runs FOR EACH ROW
    WHEN (NEW.tells_id IS NOT NULL AND NEW.finished_at IS NOT NULL AND OLD.finished_at IS NULL)
    EXECUTE FUNCTION taskledger.tell_waiting_task();
