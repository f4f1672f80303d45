-- Telling the processes in which remote workers wait that a hint has come.

CREATE FUNCTION taskledger.tell_of_hints() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    -- Where hints wait already, nobody waits for one: commits that notify are done one after the other.
    PERFORM pg_notify('taskledger_work', first.type)
    FROM (SELECT type, min(seq) AS seq FROM new_hints GROUP BY type) AS first
    WHERE NOT EXISTS (SELECT FROM hints WHERE hints.type = first.type AND hints.seq < first.seq);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION taskledger.tell_of_hints() IS 'Notifies taskledger_work of each type whose line of hints was empty';

CREATE TRIGGER tell_of_hints AFTER INSERT ON hints
REFERENCING NEW TABLE AS new_hints FOR EACH STATEMENT EXECUTE FUNCTION taskledger.tell_of_hints();

REVOKE ALL ON FUNCTION taskledger.tell_of_hints() FROM PUBLIC;
