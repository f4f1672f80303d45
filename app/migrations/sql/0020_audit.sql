-- The chain of the audit log: hashes, the trigger that adds them, what refuses changes, and pruning.

CREATE FUNCTION taskledger.audit_hash(previous bytea, entry public.audit_log) RETURNS bytea LANGUAGE sql STABLE AS $$
    -- An array, so that no content can be moved from one column into the next; UTC, whatever the session's time zone.
    SELECT pg_catalog.sha256(previous || pg_catalog.convert_to(pg_catalog.jsonb_build_array(
        entry.id, pg_catalog.to_char(entry.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), entry.action,
        entry.actor_id, entry.key_id, entry.subject, entry.address, entry.request_id, entry.detail)::text, 'UTF8'))
$$;
COMMENT ON FUNCTION taskledger.audit_hash(bytea, public.audit_log)
    IS 'SHA-256 of the hash of the entry before and of the content of an entry of audit_log';

-- The id is given here and not by the sequence, so that ids follow each other in the order in which entries are
-- committed: a number that is missing is an entry that was removed.
CREATE FUNCTION taskledger.chain_audit_log() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, taskledger, pg_temp AS $$
DECLARE
    chain public.audit_chain;
BEGIN
    SELECT * INTO chain FROM public.audit_chain FOR UPDATE;  -- until the transaction ends, others wait here
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the row of audit_chain is gone: bring it back from a backup; no entry can be added without it';
    END IF;
    NEW.id := chain.last_id + 1;
    NEW.previous_hash := chain.last_hash;
    NEW.hash := taskledger.audit_hash(chain.last_hash, NEW);
    UPDATE public.audit_chain SET last_id = NEW.id, last_hash = NEW.hash;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION taskledger.chain_audit_log() IS 'Gives a new entry of the audit log its id and its hashes';

CREATE OR REPLACE FUNCTION taskledger.keep_audit_log() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, taskledger, pg_temp AS $$
BEGIN
    -- prune_audit_log() moves the beginning of the chain first; what lies before it may go.
    IF TG_OP = 'DELETE' AND OLD.id <= (SELECT c.pruned_id FROM public.audit_chain c) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION '% is only ever added to; % refused', TG_TABLE_NAME, lower(TG_OP)
        USING HINT = 'old entries are removed by flask --app app audit prune';
END $$;

CREATE FUNCTION taskledger.keep_audit_chain() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, taskledger, pg_temp AS $$
BEGIN
    IF TG_OP <> 'UPDATE' THEN
        RAISE EXCEPTION 'audit_chain keeps its one row; % refused', lower(TG_OP);
    END IF;
    IF (NEW.last_id, NEW.last_hash) IS DISTINCT FROM (OLD.last_id, OLD.last_hash) AND pg_trigger_depth() < 2 THEN
        RAISE EXCEPTION 'the end of audit_chain moves when an entry is added to audit_log, and not otherwise';
    END IF;
    IF (NEW.pruned_id, NEW.pruned_hash) IS DISTINCT FROM (OLD.pruned_id, OLD.pruned_hash) AND NOT EXISTS (
        SELECT FROM public.audit_log a WHERE a.id = NEW.pruned_id AND a.hash = NEW.pruned_hash
            AND a.at < clock_timestamp() - interval '30 days')
    THEN
        RAISE EXCEPTION 'the beginning of audit_chain moves to an entry of more than 30 days ago, and not otherwise';
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION taskledger.keep_audit_chain() IS 'Refuses to move the ends of the chain of the audit log by hand';

CREATE FUNCTION taskledger.prune_audit_log(older_than timestamptz) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, taskledger, pg_temp AS $$
DECLARE
    first_kept bigint;
    anchor public.audit_log;
    removed bigint;
BEGIN
    IF older_than IS NULL OR older_than > clock_timestamp() - interval '30 days' THEN
        RAISE EXCEPTION 'entries of the last 30 days stay in the audit log' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM FROM public.audit_chain FOR UPDATE;
    SELECT min(a.id) INTO first_kept FROM public.audit_log a WHERE a.at >= older_than;
    SELECT * INTO anchor FROM public.audit_log a WHERE first_kept IS NULL OR a.id < first_kept ORDER BY a.id DESC LIMIT 1;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    UPDATE public.audit_chain SET pruned_id = anchor.id, pruned_hash = anchor.hash;
    DELETE FROM public.audit_log a WHERE a.id <= anchor.id;
    GET DIAGNOSTICS removed = ROW_COUNT;
    INSERT INTO public.audit_log (at, action, subject, detail)
    VALUES (clock_timestamp(), 'audit.pruned', 'audit_log', jsonb_build_object(
        'count', removed, 'older_than', older_than, 'last_id', anchor.id, 'db_user', session_user::text));
    RETURN removed;
END $$;
COMMENT ON FUNCTION taskledger.prune_audit_log(timestamptz)
    IS 'Removes entries of the audit log that are older, and than 30 days; the rest still verifies. Returns how many';
REVOKE ALL ON FUNCTION taskledger.prune_audit_log(timestamptz) FROM PUBLIC;
REVOKE ALL ON FUNCTION taskledger.audit_hash(bytea, public.audit_log) FROM PUBLIC;
REVOKE ALL ON FUNCTION taskledger.chain_audit_log(), taskledger.keep_audit_log(), taskledger.keep_audit_chain() FROM PUBLIC;
REVOKE UPDATE, DELETE, TRUNCATE ON public.audit_log, public.audit_chain FROM PUBLIC;

-- What is there already becomes the beginning of the chain. The trigger is off, and back on, in this transaction, which
-- has the table for itself.
ALTER TABLE public.audit_log DISABLE TRIGGER keep_audit_log;
DO $$
DECLARE
    entry public.audit_log;
    before_id bigint := 0;
    before_hash bytea := '';
BEGIN
    FOR entry IN SELECT * FROM public.audit_log ORDER BY id LOOP
        UPDATE public.audit_log a SET previous_hash = before_hash, hash = taskledger.audit_hash(before_hash, entry)
        WHERE a.id = entry.id RETURNING a.id, a.hash INTO before_id, before_hash;
    END LOOP;
    INSERT INTO public.audit_chain (id, last_id, last_hash, pruned_id, pruned_hash)
    VALUES (1, before_id, before_hash, 0, '');
END $$;
ALTER TABLE public.audit_log ENABLE TRIGGER keep_audit_log;

CREATE TRIGGER chain_audit_log BEFORE INSERT ON public.audit_log
    FOR EACH ROW EXECUTE FUNCTION taskledger.chain_audit_log();
CREATE TRIGGER keep_audit_log_whole BEFORE TRUNCATE ON public.audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION taskledger.keep_audit_log();
CREATE TRIGGER keep_audit_chain BEFORE INSERT OR UPDATE OR DELETE ON public.audit_chain
    FOR EACH ROW EXECUTE FUNCTION taskledger.keep_audit_chain();
CREATE TRIGGER keep_audit_chain_whole BEFORE TRUNCATE ON public.audit_chain
    FOR EACH STATEMENT EXECUTE FUNCTION taskledger.keep_audit_chain();
