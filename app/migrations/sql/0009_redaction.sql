-- What of payloads and results a view may show: as tasks/redaction.py, and never more.

CREATE FUNCTION taskledger.is_secret_name(name text) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT name ~* ('auth|cookie|passw|passphrase|pwd|secret|token|credential|signature|session|'
                    '(?:^|[-_.])(?:api|access|private|client|account|subscription|functions)?[-_.]?key(?:$|[-_.])|'
                    '(?:^|[-_.])sig(?:$|[-_.])')
       AND name !~* '^(?:idempotency-key|(?:www|proxy)-authenticate|author(?:s|_id|_name)?|sec-fetch-.*)$'
$$;
COMMENT ON FUNCTION taskledger.is_secret_name(text) IS 'Whether a field of this name holds a credential, as far as names tell';

CREATE FUNCTION taskledger.mask_named(value jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    CASE jsonb_typeof(value)
        WHEN 'object' THEN
            RETURN (SELECT coalesce(jsonb_object_agg(key, CASE
                        WHEN taskledger.is_secret_name(key) AND below <> 'null' THEN '"[redacted]"'
                        ELSE taskledger.mask_named(below) END), '{}')
                    FROM jsonb_each(value) AS each (key, below));
        WHEN 'array' THEN
            RETURN (SELECT coalesce(jsonb_agg(taskledger.mask_named(below) ORDER BY place), '[]')
                    FROM jsonb_array_elements(value) WITH ORDINALITY AS each (below, place));
        ELSE RETURN value;
    END CASE;
END $$;
COMMENT ON FUNCTION taskledger.mask_named(jsonb) IS 'Hides what stands under the name of a secret, at any depth';

CREATE FUNCTION taskledger.shown(value jsonb, is_sensitive boolean, masked_keys text[], known_keys text[]) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    IF value IS NULL OR value = 'null' THEN
        RETURN value;
    ELSIF coalesce(is_sensitive, true) OR value ? '$sealed' THEN
        RETURN '{"$redacted": true}';  -- of a type that is not known, too: nobody says what is secret in it
    ELSIF '*' = ANY (masked_keys) OR (masked_keys <> '{}' AND jsonb_typeof(value) <> 'object') THEN
        RETURN '"[redacted]"';
    ELSIF masked_keys <> '{}' THEN
        value := (SELECT coalesce(jsonb_object_agg(key, CASE
                      WHEN key = ANY (masked_keys) OR NOT key = ANY (known_keys) THEN '"[redacted]"'
                      ELSE below END), '{}')
                  FROM jsonb_each(value) AS each (key, below));
    END IF;
    RETURN taskledger.mask_named(value);
END $$;
COMMENT ON FUNCTION taskledger.shown(jsonb, boolean, text[], text[])
    IS 'A payload or result as views show it: sensitive ones not at all, others without what is secret in them';
