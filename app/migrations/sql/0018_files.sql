-- How many bytes of stored files each account has: kept by the database, whoever writes the rows.

CREATE FUNCTION taskledger.count_stored_bytes() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, taskledger, pg_temp AS $$
BEGIN
    -- In the order of accounts, so that two statements over files of several never wait for each other crosswise.
    IF TG_OP = 'INSERT' THEN
        INSERT INTO public.stored_bytes AS s (owner_id, bytes)
        SELECT owner_id, sum(size) FROM made WHERE stored_at IS NOT NULL AND owner_id IS NOT NULL
        GROUP BY owner_id ORDER BY owner_id
        ON CONFLICT (owner_id) DO UPDATE SET bytes = s.bytes + excluded.bytes;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO public.stored_bytes AS s (owner_id, bytes)
        SELECT owner_id, -sum(size) FROM gone WHERE stored_at IS NOT NULL AND owner_id IS NOT NULL
        GROUP BY owner_id ORDER BY owner_id
        ON CONFLICT (owner_id) DO UPDATE SET bytes = s.bytes + excluded.bytes;
    ELSE
        INSERT INTO public.stored_bytes AS s (owner_id, bytes)
        SELECT owner_id, sum(size) FROM (
            SELECT owner_id, size FROM made WHERE stored_at IS NOT NULL
            UNION ALL SELECT owner_id, -size FROM gone WHERE stored_at IS NOT NULL) AS changed
        WHERE owner_id IS NOT NULL GROUP BY owner_id HAVING sum(size) <> 0 ORDER BY owner_id
        ON CONFLICT (owner_id) DO UPDATE SET bytes = s.bytes + excluded.bytes;
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION taskledger.count_stored_bytes() IS 'Keeps stored_bytes in step with artifacts';

REVOKE ALL ON FUNCTION taskledger.count_stored_bytes() FROM PUBLIC;

CREATE TRIGGER count_stored_bytes_made AFTER INSERT ON artifacts
    REFERENCING NEW TABLE AS made FOR EACH STATEMENT EXECUTE FUNCTION taskledger.count_stored_bytes();
CREATE TRIGGER count_stored_bytes_changed AFTER UPDATE ON artifacts
    REFERENCING OLD TABLE AS gone NEW TABLE AS made FOR EACH STATEMENT EXECUTE FUNCTION taskledger.count_stored_bytes();
CREATE TRIGGER count_stored_bytes_gone AFTER DELETE ON artifacts
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION taskledger.count_stored_bytes();

INSERT INTO stored_bytes (owner_id, bytes)
SELECT owner_id, sum(size) FROM artifacts WHERE stored_at IS NOT NULL AND owner_id IS NOT NULL GROUP BY owner_id;
