-- What becomes of a repair's copies of payloads when their tasks are deleted, by whatever way.

CREATE FUNCTION taskledger.forget_repaired_payloads() RETURNS trigger LANGUAGE plpgsql
SET enable_seqscan = off SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    UPDATE public.repair_items AS i SET old_payload = NULL
    FROM old_rows AS o
    WHERE i.task_id = o.id AND i.old_payload IS NOT NULL;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION taskledger.forget_repaired_payloads() IS 'Whoever deletes a task wants its payload gone, too';
CREATE TRIGGER forget_repaired_payloads AFTER DELETE ON tasks
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION taskledger.forget_repaired_payloads();
