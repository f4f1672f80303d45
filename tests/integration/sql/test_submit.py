"""taskledger.submit: in the user's own transaction, checked by the database."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import pairwise
from uuid import UUID

import psycopg2
import psycopg2.extras
import pytest
import sqlalchemy as sa

from app.clock import utcnow
from app.dispatcher.dispatch import Dispatch
from app.dispatcher.duty import ScanCursor
from app.services.sql import published
from taskledger_sdk import TaskContext, registry, task_type
from taskledger_sdk.registry import MAX_TIMEOUT_SECONDS, get_type, load_types
from tests.integration.dispatcher.publisher import ScriptedPublisher

pytestmark = pytest.mark.usefixtures("known_types")
SUBMIT = "SELECT taskledger.submit('reverse_string', '\"hello\"')"


def test_a_submitted_task_is_its_owners_and_due_now(log_in, person, psql):
    task_id = log_in(person).one(SUBMIT)

    columns = "status, owner_id, dispatched_at, queue, max_retries, schema_hash"
    [task] = psql(f"SELECT {columns} FROM tasks WHERE id = %s", task_id)
    assert task == {
        "schema_hash": load_types()["reverse_string"].schema_hash,
        "status": "PENDING",
        "owner_id": str(person.id),
        "dispatched_at": None,
        "queue": "tasks",
        "max_retries": load_types()["reverse_string"].retry.max_retries,
    }


def test_a_rolled_back_submission_leaves_nothing(log_in, person, psql):
    ana = log_in(person)
    ana("BEGIN")
    ana.one("SELECT taskledger.submit('reverse_string', '\"hello\"', idempotency_key => 'once')")
    ana("ROLLBACK")

    for table in ("tasks", "task_events", "idempotency_keys", "sql_arrivals", "sql_counts"):
        assert psql.one(f"SELECT count(*) FROM {table}") == 0, table


def test_what_a_long_transaction_submitted_is_dispatched_when_it_commits(log_in, person, session, psql):
    """Its rows have been due since before the moment from which on the dispatcher looks."""
    publisher = ScriptedPublisher()
    dispatch = Dispatch(publisher)
    ana = log_in(person)
    ana("BEGIN")
    task_id = ana.one(SUBMIT)
    later = utcnow() + ScanCursor.OVERLAP + timedelta(seconds=10)
    assert dispatch.run_once(later) == 0

    ana("COMMIT")

    assert dispatch.run_once(later + timedelta(seconds=1)) == 1
    assert [str(id_) for id_ in publisher.ids] == [task_id]
    assert psql.one("SELECT count(*) FROM sql_arrivals") == 0


def test_many_submissions_of_one_transaction_are_dispatched_in_chunks(log_in, person):
    publisher = ScriptedPublisher()
    ana = log_in(person)
    ana("SELECT taskledger.submit('reverse_string', to_jsonb('number ' || n)) FROM generate_series(1, 250) AS n")

    while Dispatch(publisher).run_once(utcnow()):
        pass

    assert get_type("reverse_string").chunk == 200
    assert [len(hint.ids) for hint in publisher.published] == [200, 50]


NESTED = "(repeat('[', {levels}) || repeat(']', {levels}))::jsonb"
REFUSED = [
    ("'nonsense', '1'", "there is no task type 'nonsense'"),
    ("NULL, '1'", "there is no task type null"),
    ("'reverse_string', '5'", "payload of reverse_string must be string, not number"),
    ("'reverse_string', NULL", "payload is null"),
    ("'fetch_orders', '{\"customer_id\": \"a\"}'", "lacks: date_from, date_to"),
    ('\'send_email\', \'{"to": "a@b", "subject": "s", "body": 1}\'', "has unknown keys: body"),
    ("'reverse_string', '\"a\"', priority => 'urgent'", "priority must be"),
    ("'reverse_string', '\"a\"', priority => NULL", "priority must be"),
    ("'reverse_string', '\"a\"', max_retries => 101", "max_retries must be"),
    (f"'reverse_string', '\"a\"', timeout => {MAX_TIMEOUT_SECONDS + 1}", "timeout must be from 1 to"),
    ("'reverse_string', '\"a\"', name => repeat('a', 201)", "name must have"),
    ("'reverse_string', '\"a\"', labels => '[]'", "labels must be an object"),
    ("'reverse_string', '\"a\"', labels => NULL", "labels must be an object"),
    ("'reverse_string', '\"a\"', labels => '{\"-\": \"a\"}'", "label '-' is refused"),
    ("'reverse_string', '\"a\"', labels => '{\"a\": 5}'", "label 'a' is refused"),
    ("'reverse_string', '\"a\"', expires_at => now() - interval '1 hour'", "expires_at must be in the future"),
    (
        "'reverse_string', '\"a\"', expires_at => now() + interval '1 h', scheduled_at => now() + interval '2 h'",
        "after scheduled_at",
    ),
    ("'reverse_string', to_jsonb(repeat('a', 1048577))", "at most 1048576 are accepted"),
    ("'reverse_string', '\"a\"', idempotency_key => ''", "idempotency_key must have"),
    # What Python could not read would be in the way of whoever reads the row among others.
    (f"'data_processing', {NESTED.format(levels=64)}", "nested too deeply: 63 levels"),
    (f"'data_processing', {NESTED.format(levels=6000)}", "nested too deeply: 63 levels"),
    ("'fibonacci_calc', to_jsonb(('1' || repeat('0', 5000))::numeric)", "beyond the range of a double"),
    ("'fibonacci_calc', '-1e309'", "beyond the range of a double"),
    ("'reverse_string', '\"a\"', scheduled_at => '20000-01-01'", "must be in the years 1 to 9999"),
    ("'reverse_string', '\"a\"', scheduled_at => '0044-03-15 BC'", "must be in the years 1 to 9999"),
    ("'reverse_string', '\"a\"', expires_at => 'infinity'", "must be in the years 1 to 9999"),
    ("'webhook_delivery', '{\"delivery_id\": \"018f3c5e-7d2a-7000-8000-0123456789ab\"}'", "by the service itself only"),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_what_the_database_can_tell_is_refused(log_in, person, arguments, message):
    with pytest.raises(psycopg2.Error, match=message):
        log_in(person)(f"SELECT taskledger.submit({arguments})")


@pytest.mark.parametrize("payload", [NESTED.format(levels=62), "'[1e308]'", "to_jsonb(repeat('[{9', 400))"])
def test_what_http_takes_is_not_too_deep_or_too_large(log_in, person, payload):
    """Whatever else its type says of it: the worker checks the rest."""
    whole = f"jsonb_build_object('operation', 'x', 'dataset', {payload})"

    assert log_in(person).one(f"SELECT taskledger.submit('data_processing', {whole})")


def test_an_idempotency_key_does_not_depend_on_the_time_zone(log_in, person):
    ana = log_in(person)
    at = "2030-01-01 00:00Z"
    submit = f"SELECT taskledger.submit('reverse_string', '\"x\"', scheduled_at => '{at}', idempotency_key => 'k')"
    first = ana.one(submit)

    ana("SET timezone = 'Asia/Tokyo'")

    assert ana.one(submit) == first


def test_the_hint_for_an_unknown_type_names_no_internal_one(log_in, person):
    with pytest.raises(psycopg2.Error) as refused:
        log_in(person)("SELECT taskledger.submit('nonsense', '1')")

    assert "reverse_string" in refused.value.diag.message_hint
    assert "webhook_delivery" not in refused.value.diag.message_hint


def test_every_example_of_every_type_is_accepted(log_in, person, psql):
    ana = log_in(person)
    examples = [(name, each) for name, kind in load_types().items() if not kind.internal for each in kind.examples]

    for name, example in examples:
        ana("SELECT taskledger.submit(%s, %s)", name, psycopg2.extras.Json(example))

    assert psql.one("SELECT count(*) FROM tasks") == len(examples)


def test_a_disabled_type_is_refused_and_stays_disabled_when_it_is_published_again(log_in, person, psql, session):
    psql("UPDATE task_types SET enabled = false, summary = '' WHERE name = 'reverse_string'")
    published.types(session, load_types().values(), now=utcnow())
    session.commit()

    with pytest.raises(psycopg2.errors.ObjectNotInPrerequisiteState, match="it is disabled"):
        log_in(person)(SUBMIT)


def test_a_type_that_left_the_code_is_refused(log_in, person, session):
    published.retire_others(session, [name for name in load_types() if name != "reverse_string"], now=utcnow())
    session.commit()

    with pytest.raises(psycopg2.errors.InvalidParameterValue, match="there is no task type"):
        log_in(person)(SUBMIT)


def test_sensitive_types_are_refused(log_in, person, session, monkeypatch):
    monkeypatch.setattr(registry, "_types", dict(registry._types))
    monkeypatch.setattr(registry, "_found", None)

    @task_type("hush_sql", sensitive=True)
    def hush_sql(task: TaskContext, payload: str) -> None:
        """Say nothing."""

    published.types(session, load_types().values(), now=utcnow())
    session.commit()

    with pytest.raises(psycopg2.errors.FeatureNotSupported, match="encrypted by the service"):
        log_in(person)("SELECT taskledger.submit('hush_sql', '\"the plan\"')")


def test_an_idempotency_key_submits_once(log_in, person, psql):
    ana = log_in(person)
    keyed = "SELECT taskledger.submit('reverse_string', %s, idempotency_key => 'k')"

    first = ana.one(keyed, '"a"')

    assert ana.one(keyed, '"a"') == first
    assert psql.one("SELECT count(*) FROM tasks") == 1
    with pytest.raises(psycopg2.errors.UniqueViolation, match="with other arguments"):
        ana(keyed, '"b"')


def test_a_quota_holds_within_a_transaction_too(log_in, person, psql):
    psql("UPDATE users SET max_waiting_tasks = 7 WHERE id = %s", str(person.id))
    ana = log_in(person)

    with pytest.raises(psycopg2.errors.ProgramLimitExceeded, match="7 of your tasks are waiting and 7 may"):
        ana("SELECT taskledger.submit('reverse_string', '\"a\"') FROM generate_series(1, 8)")

    ana("SELECT taskledger.submit('reverse_string', '\"a\"') FROM generate_series(1, 7)")
    with pytest.raises(psycopg2.errors.ProgramLimitExceeded):
        ana(SUBMIT)
    psql("SELECT taskledger.cancel(id) FROM (SELECT id FROM tasks LIMIT 1) AS one")
    ana(SUBMIT)


def test_two_transactions_at_once_pass_no_quota(log_in, person, psql):
    psql("UPDATE users SET max_waiting_tasks = 5 WHERE id = %s", str(person.id))
    together = threading.Barrier(10)
    sessions = [log_in(person) for _ in range(10)]

    def one(own):
        together.wait()
        try:
            own(SUBMIT)
        except psycopg2.errors.ProgramLimitExceeded:
            return False
        return True

    with ThreadPoolExecutor(10) as threads:
        assert sum(threads.map(one, sessions)) == 5
    assert psql.one("SELECT count(*) FROM tasks") == 5


def test_a_transaction_that_submits_much_takes_its_places_in_blocks(log_in, person, psql):
    psql("UPDATE users SET max_waiting_tasks = 500 WHERE id = %s", str(person.id))
    ana, ben = log_in(person), log_in(person)
    ana("BEGIN")
    ana("SELECT taskledger.submit('reverse_string', '\"a\"') FROM generate_series(1, 500)")
    with pytest.raises(psycopg2.errors.ProgramLimitExceeded):
        ana(SUBMIT)
    ana("ROLLBACK")

    ben("SELECT taskledger.submit('reverse_string', '\"a\"') FROM generate_series(1, 500)")
    assert psql.one("SELECT count(*) FROM tasks") == 500


def test_starting_over_needs_room(log_in, person, psql):
    ana = log_in(person)
    ids = [ana.one(SUBMIT) for _ in range(2)]
    for id_ in ids:
        ana("SELECT taskledger.cancel(%s)", id_)
    psql("UPDATE users SET max_waiting_tasks = 1 WHERE id = %s", str(person.id))

    ana("SELECT taskledger.retry(%s)", ids[0])
    with pytest.raises(psycopg2.errors.ProgramLimitExceeded, match="no room for the 1"):
        ana("SELECT taskledger.retry(%s)", ids[1])


MAIL = """SELECT taskledger.submit('send_email', '{"to": "a@example.org", "subject": "a", "text": "b"}')"""


@pytest.mark.parametrize(
    ("column", "value", "statement", "hint"),
    [
        ("allowed_types", ["uppercase_text"], SUBMIT, "allowed_types"),
        ("allowed_queues", ["other"], SUBMIT, "allowed_queues"),
        ("may_reach_outside", False, MAIL, "may_reach_outside"),
    ],
)
def test_an_account_submits_only_what_it_may_use(column, value, statement, hint, log_in, person, psql):
    ana = log_in(person)
    kept = ana.one(statement)
    ana("SELECT taskledger.cancel(%s)", kept)
    psql(f"UPDATE users SET {column} = %s WHERE id = %s", value, str(person.id))

    with pytest.raises(psycopg2.errors.InsufficientPrivilege) as refused:
        ana(statement)
    assert hint in refused.value.diag.message_hint
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        ana("SELECT taskledger.retry(%s)", kept)


def test_of_who_registered_the_setting_decides(log_in, person, psql):
    psql("UPDATE users SET may_reach_outside = NULL WHERE id = %s", str(person.id))
    ana = log_in(person)
    ana(MAIL)
    psql("UPDATE sql_limits SET value = 0 WHERE name = 'new_accounts_reach_outside'")

    with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="send_email reach outside"):
        ana(MAIL)


def test_ids_are_uuid_7_in_the_order_of_submission(psql):
    ids = [UUID(row["id"]) for row in psql("SELECT taskledger.new_id()::text AS id FROM generate_series(1, 200)")]

    assert {id_.version for id_ in ids} == {7}
    assert len(set(ids)) == 200
    assert sum(earlier < later for earlier, later in pairwise(ids)) > 100  # mostly: several may share a microsecond
    assert abs(int.from_bytes(ids[0].bytes[:6]) / 1000 - utcnow().timestamp()) < 60


def test_a_submission_tells_nobody_by_notify(log_in, person, session):
    """NOTIFY takes a lock over all databases at commit: it would serialise everybody who submits.

    One trigger may: that of the hints of remote types, which no submission of another type writes.
    """
    query = "SELECT proname, prosrc FROM pg_proc WHERE pronamespace = 'taskledger'::regnamespace"
    sources = session.execute(sa.text(query)).all()
    query = "SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgfoid = 'taskledger.tell_of_hints'::regproc"
    publisher = ScriptedPublisher()

    log_in(person)(SUBMIT)
    assert Dispatch(publisher).run_once(utcnow()) == 1

    telling = [row.proname for row in sources if "notify" in row.prosrc.lower().replace("no notify", "")]
    assert telling == ["tell_of_hints"]
    assert session.scalars(sa.text(query)).all() == ["hints"]
    assert session.scalar(sa.text("SELECT count(*) FROM hints")) == 0
    assert len(publisher.published) == 1
