-- Who calls: the SQL role that logged in, and the account it stands for. SET ROLE changes nothing about it.

CREATE FUNCTION taskledger.caller(
    OUT role_name text, OUT is_known boolean, OUT owner_id uuid, OUT acts_for_all boolean, OUT reads_all boolean
) LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, taskledger, pg_temp AS $$
DECLARE
    found_role public.sql_roles;
    account public.users;
BEGIN
    role_name := session_user;
    is_known := false;
    acts_for_all := false;
    reads_all := false;
    SELECT * INTO found_role FROM public.sql_roles r WHERE r.role_name = session_user;
    IF NOT FOUND THEN
        -- Whoever owns the tables (the service's own role, a superuser) can change them without asking.
        IF pg_has_role(session_user, (SELECT relowner FROM pg_class WHERE oid = 'public.tasks'::regclass), 'USAGE') THEN
            is_known := true;
            acts_for_all := true;
            reads_all := true;
        END IF;
        RETURN;
    END IF;
    SELECT * INTO account FROM public.users u WHERE u.id = found_role.owner_id AND u.disabled_at IS NULL;
    IF NOT FOUND THEN
        RETURN;  -- its account was closed
    END IF;
    is_known := true;
    owner_id := account.id;
    acts_for_all := account.role = 'admin';
    reads_all := found_role.reads_all;
END $$;
COMMENT ON FUNCTION taskledger.caller()
    IS 'The account that the SQL role which logged in stands for, by sql_roles; the owner of the tables is the service itself';

CREATE FUNCTION taskledger.known_caller(
    OUT role_name text, OUT owner_id uuid, OUT acts_for_all boolean
) LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, taskledger, pg_temp AS $$
DECLARE
    is_known boolean;
BEGIN
    SELECT c.role_name, c.is_known, c.owner_id, c.acts_for_all INTO role_name, is_known, owner_id, acts_for_all
    FROM taskledger.caller() c;
    IF NOT is_known THEN
        RAISE EXCEPTION 'the role % stands for no open account', session_user
            USING ERRCODE = 'insufficient_privilege',
                  HINT = format('flask --app app sql-roles add %s --owner EMAIL --operate', session_user);
    END IF;
END $$;
COMMENT ON FUNCTION taskledger.known_caller() IS 'As caller(); raises insufficient_privilege for one that stands for nobody';

CREATE FUNCTION taskledger.admin_caller(OUT role_name text, OUT owner_id uuid)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, taskledger, pg_temp AS $$
DECLARE
    is_admin boolean;
BEGIN
    SELECT c.role_name, c.owner_id, c.acts_for_all INTO role_name, owner_id, is_admin FROM taskledger.known_caller() c;
    IF NOT is_admin THEN
        RAISE EXCEPTION 'only admins pause and resume; the role % stands for an account that is none', session_user
            USING ERRCODE = 'insufficient_privilege';
    END IF;
END $$;
COMMENT ON FUNCTION taskledger.admin_caller() IS 'As known_caller(); raises insufficient_privilege for who is no admin';

CREATE FUNCTION taskledger.wake_dispatcher() RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, taskledger, pg_temp AS $$
    INSERT INTO public.sql_arrivals (transaction_id, since)
    VALUES (pg_current_xact_id()::text::bigint, now()) ON CONFLICT DO NOTHING;
$$;
COMMENT ON FUNCTION taskledger.wake_dispatcher()
    IS 'Tells the dispatcher, once a transaction and when it commits, to look for rows that have been due since it began';
