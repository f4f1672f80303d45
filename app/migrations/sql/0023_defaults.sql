-- Keys and labels that a task type takes from the payload: what sdk/python/taskledger_sdk/defaults.py computes, for SQL.

CREATE FUNCTION taskledger.text_of(template jsonb, payload jsonb, most integer, what text) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    made text := '';
    part jsonb;
    value jsonb;
    piece text;
BEGIN
    IF jsonb_typeof(template) IS DISTINCT FROM 'array' THEN
        RETURN NULL;
    END IF;
    FOR part IN SELECT jsonb_array_elements(template) LOOP
        IF jsonb_typeof(part) = 'string' THEN
            piece := part #>> '{}';
        ELSE
            value := payload #> ARRAY(SELECT jsonb_array_elements_text(part -> 'path'));
            piece := CASE coalesce(jsonb_typeof(value), 'missing')
                WHEN 'missing' THEN part ->> 'default'
                WHEN 'number' THEN trim_scale((value #>> '{}')::numeric)::text
                WHEN 'string' THEN nullif(value #>> '{}', '')
                WHEN 'boolean' THEN value #>> '{}'
            END;
        END IF;
        IF piece IS NULL THEN
            RETURN NULL;
        END IF;
        made := made || piece;
    END LOOP;
    IF length(made) > most THEN
        RAISE EXCEPTION 'the payload makes the %, which the type takes from it, longer than % characters', what, most
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN made;
END $$;
COMMENT ON FUNCTION taskledger.text_of(jsonb, jsonb, integer, text)
    IS 'What a template of texts and paths comes to for a payload; null where a value is missing';

CREATE FUNCTION taskledger.default_labels(defaults jsonb, payload jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(jsonb_object_agg(name, value) FILTER (WHERE value IS NOT NULL), '{}')
    FROM (
        SELECT key AS name, taskledger.text_of(label.value, payload, 256, 'label ' || key) AS value
        FROM jsonb_each(coalesce(defaults -> 'labels', '{}')) AS label
    ) AS made
$$;
COMMENT ON FUNCTION taskledger.default_labels(jsonb, jsonb) IS 'The labels that a type gives a task with this payload';

REVOKE ALL ON FUNCTION taskledger.text_of(jsonb, jsonb, integer, text), taskledger.default_labels(jsonb, jsonb) FROM PUBLIC;
