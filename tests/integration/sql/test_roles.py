"""What the two roles may do, and what they never see."""

import json
import re

import psycopg2
import pytest
import sqlalchemy as sa

from app.cli import register
from app.clock import utcnow
from app.factory import create_app
from app.models import Status
from app.services.sql import published, roles
from taskledger_sdk import TaskContext, registry, task_type
from taskledger_sdk.registry import load_types
from tasks.masking import SECRET_NAME, is_secret_name, masked
from tests.support.factories import bring_to, make_task
from tests.support.people import make_person

pytestmark = pytest.mark.usefixtures("known_types")
SECRET = "s3cr3t-do-not-show"


def everything_of(connection) -> str:
    """All that a role can read, of all views, as text; what it may not read raises."""
    views = connection("SELECT relname FROM pg_class WHERE relnamespace = 'taskledger'::regnamespace AND relkind = 'v'")
    assert len(views) >= 7
    return json.dumps([connection(f"SELECT * FROM taskledger.{row['relname']}") for row in views], default=str)


@pytest.fixture
def secrets(session, person, monkeypatch):
    """Secrets wherever they may be: payloads of sensitive types and of ordinary ones, results, errors, history."""
    monkeypatch.setattr(registry, "_types", dict(registry._types))
    monkeypatch.setattr(registry, "_found", None)

    @task_type("hush_read", sensitive=True)
    def hush_read(task: TaskContext, payload: str) -> None:
        """Say nothing."""

    published.types(session, load_types().values(), now=utcnow())
    request = {"url": f"https://u:{SECRET}@example.com/?token={SECRET}", "headers": {"Authorization": SECRET}}
    error = sa.text(
        "UPDATE tasks SET error = jsonb_set(error, '{message}', to_jsonb(CAST(:secret AS text))) WHERE id = :id"
    )
    for kind, payload in (
        ("hush_read", SECRET),
        ("hush_read", {"$sealed": {"key": "k", "data": SECRET}}),
        ("http_request", request),
        ("gone_type", {"anything": SECRET}),
        ("fetch_orders", {"customer_id": "c", "nested": [{"api_key": SECRET}], "password": SECRET}),
    ):
        task = make_task(session, type=kind, payload=payload, owner_id=person.id)
        bring_to(session, Status.FAILED, task.id)
        if kind in ("hush_read", "gone_type"):
            session.execute(error, {"id": task.id, "secret": SECRET})
            session.execute(
                sa.text("UPDATE tasks SET status = 'PENDING', payload = '5' WHERE id = :id"), {"id": task.id}
            )
        finished = make_task(session, type=kind, payload=payload, owner_id=person.id)
        bring_to(session, Status.COMPLETED, finished.id)
        session.execute(
            sa.text("UPDATE tasks SET result = CAST(:result AS jsonb) WHERE id = :id"),
            {"id": finished.id, "result": json.dumps({"session_token": SECRET})},
        )
    session.commit()


@pytest.mark.parametrize("operates", [False, True])
def test_neither_role_sees_a_sensitive_payload_a_digest_or_a_key(log_in, person, secrets, operates, session):
    session.execute(sa.text("UPDATE users SET password_hash = :secret"), {"secret": f"$argon2id${SECRET}"})
    session.commit()
    reader = log_in(person, operates=operates, reads_all=True)

    seen = everything_of(reader)

    assert str(person.id) in seen
    assert SECRET not in seen
    assert person.key not in seen
    for table in reader("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            reader(f"SELECT * FROM public.{table['tablename']}")


def test_what_is_no_secret_is_shown(log_in, person, secrets):
    reader = log_in(person, reads_all=True)

    [row] = reader("SELECT payload FROM taskledger.v_tasks WHERE type = 'http_request' AND status = 'FAILED'")
    [orders] = reader("SELECT payload FROM taskledger.v_tasks WHERE type = 'fetch_orders' AND status = 'FAILED'")

    assert row["payload"] == {"url": "[redacted]", "headers": "[redacted]"}
    hidden = {"nested": [{"api_key": "[redacted]"}], "password": "[redacted]"}
    assert orders["payload"] == {"customer_id": "c", **hidden}


def test_views_show_nothing_that_the_api_hides(session, psql):
    """Every example of every type: what a view shows differs from the API in being masked, or not at all."""
    for name, kind in load_types().items():
        for example in kind.examples:
            task = make_task(session, type=name, payload=example)
            session.commit()
            shown = psql.one("SELECT payload FROM taskledger.v_tasks WHERE id = %s", str(task.id))
            by_api = masked(name, example)
            if isinstance(shown, dict) and isinstance(by_api, dict):
                assert all(shown[key] in (by_api[key], "[redacted]") for key in by_api), name
            else:
                assert shown == by_api


NAMES = """
    Authorization authorization X-Api-Key api_key apikey key monkey keyboard public-key client.key password PASSWD pwd
    token access_token session_id cookie Set-Cookie signature sig X-Sig design credential author authors author_id
    author_name idempotency-key Idempotency-Key www-authenticate proxy-authenticate sec-fetch-mode customer_id name to
    keys private_key account-key functions_key subscription.key passphrase
"""


def test_the_database_knows_the_names_of_secrets(psql):
    secret = psql("SELECT name FROM unnest(%s) AS name WHERE taskledger.is_secret_name(name)", NAMES.split())

    assert [row["name"] for row in secret] == [name for name in NAMES.split() if is_secret_name(name)]


def test_the_database_has_the_same_pattern_of_secret_names(psql):
    source = psql.one("SELECT prosrc FROM pg_proc WHERE proname = 'is_secret_name'")

    assert re.sub(r"'\s*'", "", source).count(SECRET_NAME.pattern) == 1


def test_a_role_sees_its_own_rows_unless_it_was_given_all(log_in, person, admin, session):
    for owner in (person.id, admin.id, None):
        bring_to(session, Status.FAILED, make_task(session, owner_id=owner).id)
    session.commit()
    count = "SELECT count(*) FROM taskledger.v_tasks"

    assert log_in(person, operates=False).one(count) == 1
    assert log_in(person, operates=False, reads_all=True).one(count) == 3
    own = log_in(person, operates=False)
    for view in ("v_events", "v_dead_letters"):
        assert str(admin.id) not in json.dumps(own(f"SELECT * FROM taskledger.{view}"), default=str)
    assert own.one("SELECT count(DISTINCT task_id) FROM taskledger.v_events") == 1


def test_a_leaky_condition_sees_no_row_of_somebody_else(log_in, person, admin, session):
    """Without a security barrier the planner would call it before it filters."""
    make_task(session, owner_id=admin.id, name="theirs")
    session.commit()
    own = log_in(person, operates=False)
    own(
        "CREATE FUNCTION pg_temp.leak(text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS $$ "
        "BEGIN RAISE EXCEPTION 'leaked %', $1; END $$"
    )

    assert own("SELECT * FROM taskledger.v_tasks WHERE pg_temp.leak(name)") == []


def test_a_reader_may_not_change_anything(log_in, person, session):
    reader = log_in(person, operates=False, reads_all=True)
    for call in (
        "SELECT taskledger.submit('reverse_string', '\"a\"')",
        "SELECT taskledger.cancel(gen_random_uuid())",
        "SELECT taskledger.retry_where('reverse_string')",
        "SELECT taskledger.pause_queue('tasks')",
        "UPDATE tasks SET status = 'CANCELLED'",
        "DELETE FROM taskledger.v_tasks",
        "UPDATE taskledger.v_tasks SET name = 'x'",
    ):
        with pytest.raises((psycopg2.errors.InsufficientPrivilege, psycopg2.errors.ObjectNotInPrerequisiteState)):
            reader(call)


def test_helpers_behind_the_functions_cannot_be_called(log_in, admin):
    ada = log_in(admin)
    for call in (
        "replay('{}')",
        "pause('queue', 'tasks', '')",
        "note_in_audit_log('x', NULL, 'x', '{}')",
        "wake_dispatcher()",
        "check_room(gen_random_uuid())",
        "locked_status(gen_random_uuid())",
    ):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            ada(f"SELECT taskledger.{call}")


def test_a_role_of_a_closed_account_can_do_nothing(log_in, person, psql):
    ana = log_in(person)
    psql("UPDATE users SET disabled_at = now() WHERE id = %s", str(person.id))

    assert ana("SELECT * FROM taskledger.v_tasks") == []
    with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="stands for no open account"):
        ana("SELECT taskledger.submit('reverse_string', '\"a\"')")


def test_a_role_that_was_granted_but_not_added_sees_nothing(log_in, person, psql, session):
    ana = log_in(person, reads_all=True)
    make_task(session, owner_id=person.id)
    session.commit()
    assert ana.one("SELECT count(*) FROM taskledger.v_tasks") == 1

    psql("DELETE FROM sql_roles")

    assert ana("SELECT * FROM taskledger.v_tasks") == []
    assert ana("SELECT * FROM taskledger.v_queue_status") == []


def test_set_role_changes_nothing_about_who_calls(log_in, person, psql):
    ana = log_in(person)
    ana("SET ROLE taskledger_operate")

    task_id = ana.one("SELECT taskledger.submit('reverse_string', '\"a\"')")

    assert psql.one("SELECT owner_id FROM tasks WHERE id = %s", task_id) == str(person.id)


def test_objects_of_the_callers_own_are_never_used_by_a_function(log_in, person, psql):
    """A temporary table of the name of one of ours is found by nobody but its maker."""
    ana = log_in(person)
    ana("CREATE TEMP TABLE sql_roles (role_name text, owner_id uuid, reads_all boolean, created_at timestamptz)")
    ana("CREATE TEMP TABLE task_types (name text)")
    ana("SET search_path = pg_temp, public")

    task_id = ana.one("SELECT taskledger.submit('reverse_string', '\"a\"')")

    assert psql.one("SELECT owner_id FROM tasks WHERE id = %s", task_id) == str(person.id)


def test_submissions_and_changes_through_sql_name_the_role(log_in, person, psql):
    ana = log_in(person)
    task_id = ana.one("SELECT taskledger.submit('reverse_string', '\"a\"')")
    ana("SELECT taskledger.cancel(%s)", task_id)

    names = psql("SELECT DISTINCT db_user FROM task_events WHERE task_id = %s", task_id)

    assert names == ana("SELECT session_user::text AS db_user")


@pytest.fixture
def command(settings, engine):
    """Runs a command."""
    application = create_app(settings)
    register(application)
    return application.test_cli_runner().invoke


def test_the_commands_add_show_and_remove_a_role(command, session, database_url, psql):
    owner = make_person(database_url, email="ana@example.com")

    added = command(
        args=["sql-roles", "add", "test_ana", "--owner", owner.email, "--operate", "--create", "--password-stdin"],
        input="a few words\n",
    )
    listed = command(args=["sql-roles", "list"], env={"COLUMNS": "120"})
    stored = psql.one("SELECT rolpassword FROM pg_authid WHERE rolname = 'test_ana'")
    removed = command(args=["sql-roles", "remove", "test_ana"])
    again = command(args=["sql-roles", "remove", "test_ana"])
    psql("DROP ROLE test_ana")

    assert added.exit_code == 0, added.output
    assert "test_ana may operate for ana@example.com, and sees its own rows." in added.output
    assert "test_ana" in listed.output
    assert stored.startswith("SCRAM-SHA-256$")
    assert removed.exit_code == 0
    assert again.exit_code == 1
    assert psql.one("SELECT array_agg(action ORDER BY id) FROM audit_log") == ["sql_role.added", "sql_role.removed"]


def test_the_statements_can_be_printed_for_an_administrator(command):
    shown = command(args=["sql-roles", "create", "--print"])

    assert shown.exit_code == 0
    assert "GRANT SELECT ON taskledger.v_children, taskledger.v_dead_letters" in shown.output
    assert roles.OPERATE in shown.output


def test_an_operator_is_named_in_the_history_whatever_it_says_of_itself(log_in, person, psql):
    ana = log_in(person)
    ana("SET taskledger.service = 'on'")

    cancelled = ana.one("SELECT taskledger.submit('reverse_string', '\"x\"')")
    ana("SELECT taskledger.cancel(%s)", cancelled)
    ana("SELECT taskledger.retry(%s)", cancelled)

    name = ana.one("SELECT session_user::text")
    events = psql("SELECT status, db_user FROM task_events WHERE task_id = %s ORDER BY id", cancelled)
    assert [(each["status"], each["db_user"]) for each in events] == [
        ("PENDING", name), ("CANCELLED", name), ("PENDING", name)
    ]  # fmt: skip


def test_every_view_is_a_security_barrier(psql):
    views = psql(
        "SELECT relname FROM pg_class WHERE relnamespace = 'taskledger'::regnamespace AND relkind = 'v' "
        "AND NOT coalesce(reloptions, '{}') @> '{security_barrier=true}'"
    )

    assert [row["relname"] for row in views] == []


def test_operators_of_a_reader_see_nothing_of_what_a_view_hides(log_in, person, session, psql):
    """A role may have a schema of its own, where it writes beside its submissions."""
    payload = {"url": "https://example.com", "headers": {"Authorization": SECRET}}
    make_task(session, type="http_request", payload=payload, owner_id=person.id)
    session.commit()
    rita = log_in(person, operates=False)
    name = rita.one("SELECT session_user::text")
    psql(f"CREATE SCHEMA spying AUTHORIZATION {name}")
    rita("SET search_path = spying, pg_catalog")
    for operator, right in (("=", "jsonb"), ("<>", "text[]")):
        function = f"spying.spy_{right.rstrip('[]')}"
        rita(
            f"CREATE FUNCTION {function}({right}, {right}) RETURNS boolean LANGUAGE plpgsql AS "
            "$$BEGIN RAISE NOTICE '%', $1; RETURN false; END$$"
        )
        rita(f"CREATE OPERATOR spying.{operator} (LEFTARG = {right}, RIGHTARG = {right}, FUNCTION = {function})")

    [row] = rita("SELECT payload FROM taskledger.v_tasks")

    psql("DROP SCHEMA spying CASCADE")
    assert SECRET not in json.dumps(row)
    assert rita.connection.notices == []
