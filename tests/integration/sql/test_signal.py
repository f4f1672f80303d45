"""taskledger.signal, against the API: the same row, the same events; and what views show of work that waits."""

import psycopg2
import pytest
import sqlalchemy as sa

from app.models import Status
from tests.support.factories import bring_to, make_task
from tests.support.waiting_tasks import make_waiting, remember

pytestmark = pytest.mark.usefixtures("known_types")
OF_ITS_OWN = ("id", "payload")


def left(session, task_id):
    """The row, the signals and the history, but for what differs between any two."""
    session.rollback()
    row = dict(session.execute(sa.text("SELECT * FROM tasks WHERE id = :id"), {"id": task_id}).mappings().one())
    row = {
        name: value is not None if name.endswith("_at") else value
        for name, value in row.items()
        if name not in (*OF_ITS_OWN, "lease")
    }
    signals = session.execute(
        sa.text("SELECT name, data, key, sent_by, taken_by FROM signals WHERE target = :id ORDER BY id"),
        {"id": task_id},
    )
    events = session.execute(
        sa.text("SELECT status, previous_status, attempt, detail FROM task_events WHERE task_id = :id ORDER BY id"),
        {"id": task_id},
    )
    return row, [tuple(each) for each in signals], [tuple(each) for each in events]


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("name", ["approved", "other"])
def test_it_does_what_the_api_does_in_every_status(person, application, log_in, session, status, name):
    by_http, by_sql = (make_task(session, owner_id=person.id).id for _ in range(2))
    if status != Status.PENDING:
        bring_to(session, status, by_http, by_sql)
    session.commit()
    client, ana = person.client(application), log_in(person)

    body = {"data": {"approved": True}}
    answer = client.post(f"/api/v1/tasks/{by_http}/signals/{name}", json=body, headers={"Idempotency-Key": "x"})
    session.execute(sa.text("UPDATE signals SET key = NULL"))
    session.commit()
    refused = said = None
    try:
        said = ana.one("SELECT taskledger.signal(%s, %s, '{\"approved\": true}')", str(by_sql), name)
    except psycopg2.errors.ObjectNotInPrerequisiteState as error:
        refused = error

    assert (refused is not None) == (answer.status_code == 409), (refused, answer.text)
    assert left(session, by_sql) == left(session, by_http)
    if refused is None:
        assert said == session.scalar(sa.text("SELECT status FROM tasks WHERE id = :id"), {"id": by_sql})


REFUSED = [
    ("'a b', '1'", "no signal can be called 'a b'", psycopg2.errors.InvalidParameterValue),
    ("NULL, '1'", "no signal can be called null", psycopg2.errors.InvalidParameterValue),
    ("'a', to_jsonb(repeat('x', 65535))", "data has 65537 bytes", psycopg2.errors.ProgramLimitExceeded),
    ("'a', (repeat('[', 64) || repeat(']', 64))::jsonb", "nested too deeply", psycopg2.errors.ProgramLimitExceeded),
    ("'a', ('1' || repeat('0', 400))::jsonb", "beyond the range of a double", psycopg2.errors.InvalidParameterValue),
]


@pytest.mark.parametrize(("arguments", "message", "error"), REFUSED, ids=[message for _, message, _ in REFUSED])
def test_what_the_api_would_refuse_is_refused(log_in, person, session, arguments, message, error):
    task = make_task(session, owner_id=person.id)
    session.commit()

    with pytest.raises(error, match=message):
        log_in(person)(f"SELECT taskledger.signal(%s, {arguments})", str(task.id))


def test_data_may_be_left_out(log_in, person, session, psql):
    task = make_task(session, owner_id=person.id)
    session.commit()

    log_in(person)("SELECT taskledger.signal(%s, 'go')", str(task.id))

    assert psql.one("SELECT data::text FROM signals") == "null"


def test_a_hundred_may_lie_untaken(log_in, person, session, psql):
    task = make_task(session, owner_id=person.id)
    session.commit()
    ana = log_in(person)
    ana("SELECT taskledger.signal(%s, 'go') FROM generate_series(1, 100)", str(task.id))

    with pytest.raises(psycopg2.errors.ProgramLimitExceeded, match="100 signals"):
        ana("SELECT taskledger.signal(%s, 'go')", str(task.id))


def test_somebody_elses_task_is_not_there(log_in, person, admin, session):
    task_id = make_waiting(session, owner_id=admin.id)

    with pytest.raises(psycopg2.errors.NoDataFound, match="there is no task"):
        log_in(person)("SELECT taskledger.signal(%s, 'approved')", str(task_id))


def test_an_account_that_may_not_use_the_type_cannot(log_in, person, session, psql):
    task_id = make_waiting(session, owner_id=person.id)
    psql("UPDATE users SET allowed_types = ARRAY['fibonacci_calc'] WHERE id = %s", str(person.id))

    with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="may not use tasks of type"):
        log_in(person)("SELECT taskledger.signal(%s, 'approved')", str(task_id))


def test_what_is_rolled_back_was_not_said(log_in, person, session, psql):
    task_id = make_waiting(session, owner_id=person.id)
    ana = log_in(person)

    ana("BEGIN")
    ana("SELECT taskledger.signal(%s, 'approved')", str(task_id))
    ana("ROLLBACK")

    assert psql.one("SELECT status FROM tasks") == "WAITING"
    assert psql.one("SELECT count(*) FROM signals") == 0


def test_it_is_in_the_audit_log(log_in, person, admin, session):
    own, theirs = make_waiting(session, owner_id=admin.id), make_waiting(session, owner_id=person.id)
    ada = log_in(admin)

    for task_id in (own, theirs):
        ada("SELECT taskledger.signal(%s, 'approved')", str(task_id))

    session.rollback()
    query = "SELECT action, actor_id, subject FROM audit_log WHERE action LIKE '%signal%' ORDER BY id"
    assert [tuple(row) for row in session.execute(sa.text(query))] == [
        ("signal.sent", admin.id, f"task:{own}"),
        ("admin.send_signal", admin.id, f"task:{theirs}"),
        ("signal.sent", admin.id, f"task:{theirs}"),
    ]


def test_views_show_what_waits_what_was_told_and_what_is_remembered(log_in, person, admin, session):
    task_id = make_waiting(session, owner_id=person.id)
    remember(session, task_id, "charge", 1, result='{"receipt": 7, "password": "x"}')
    session.commit()
    ana = log_in(person)
    ana('SELECT taskledger.signal(%s, \'other\', \'{"token": "x", "ok": true}\')', str(task_id))

    [waits] = ana("SELECT status, waiting_on, until FROM taskledger.v_waiting_on")
    [told] = ana("SELECT * FROM taskledger.v_signals")
    [step] = ana("SELECT * FROM taskledger.v_steps")

    assert waits == {"status": "WAITING", "waiting_on": "the signal approved", "until": None}
    assert (told["task_id"], told["name"], told["sent_by"]) == (str(task_id), "other", str(person.id))
    assert told["data"]["ok"] is True
    assert told["data"]["token"] != "x"
    assert (step["name"], step["state"], step["result"]["receipt"]) == ("charge", "DONE", 7)
    assert step["result"]["password"] != "x"
    other = log_in(admin)
    assert other("SELECT * FROM taskledger.v_signals") == other("SELECT * FROM taskledger.v_steps") == []
