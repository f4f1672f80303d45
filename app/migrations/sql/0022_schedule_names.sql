-- Names of schedules are unique within an account.

CREATE FUNCTION taskledger.number_schedule_name() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, taskledger, pg_temp AS $$
DECLARE
    wanted text := NEW.name;
    number integer := 1;
    nobody CONSTANT uuid := '00000000-0000-0000-0000-000000000000';  -- in the place of the service itself
BEGIN
    -- The lock under which the service counts and names the schedules of an account: nobody takes a name in between.
    PERFORM pg_advisory_xact_lock(hashtext('taskledger.schedules'), hashtext(coalesce(NEW.owner_id::text, 'None')));
    WHILE EXISTS (
        SELECT FROM public.schedules s
        WHERE coalesce(s.owner_id, nobody) = coalesce(NEW.owner_id, nobody) AND s.name = NEW.name AND s.id <> NEW.id
    ) LOOP
        number := number + 1;
        NEW.name := left(wanted, 190) || ' (' || number || ')';
    END LOOP;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION taskledger.number_schedule_name()
    IS 'Gives a name that another schedule of the account has a number; the service itself refuses such names before';

CREATE TRIGGER number_schedule_name BEFORE INSERT OR UPDATE OF name, owner_id ON public.schedules
FOR EACH ROW WHEN (NEW.name IS NOT NULL) EXECUTE FUNCTION taskledger.number_schedule_name();

-- Those that are there twice, but for the oldest; a number that is taken, too, becomes the next one by the trigger.
UPDATE public.schedules s SET name = left(s.name, 190) || ' (' || same.number || ')'
FROM (
    SELECT id, row_number() OVER (PARTITION BY owner_id, name ORDER BY id) AS number
    FROM public.schedules WHERE name IS NOT NULL
) AS same
WHERE same.id = s.id AND same.number > 1;

CREATE UNIQUE INDEX uq_schedules_owner_name
ON public.schedules (coalesce(owner_id, '00000000-0000-0000-0000-000000000000'::uuid), name) WHERE name IS NOT NULL;
