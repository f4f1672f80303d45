"""What admins do through SQL with what is somebody else's: an entry in the same transaction, chained as others are."""

import psycopg2
import pytest
import sqlalchemy as sa

from app.clock import utcnow
from app.database import Session
from app.models import Status
from app.services.accounts import audit, audit_chain
from app.services.accounts.audit import COMMAND_LINE
from tests.support.factories import bring_to, make_task

pytestmark = pytest.mark.usefixtures("known_types")
ENTRIES = "SELECT action, actor_id, subject, detail FROM audit_log WHERE id > :after ORDER BY id"


@pytest.fixture
def entries(session, admin, person):
    """What was added to the log since the accounts were made; the log verifies."""
    began = session.scalar(sa.text("SELECT last_id FROM audit_chain"))
    session.commit()

    def added():
        session.rollback()
        assert audit_chain.verify(session, newest=None).fault is None
        return [tuple(row) for row in session.execute(sa.text(ENTRIES), {"after": began})]

    return added


@pytest.fixture
def ada(log_in, admin):
    """An admin in psql."""
    return log_in(admin)


def task_of(session, owner, status=Status.PENDING):
    task = make_task(session, owner_id=owner and owner.id)
    if status != Status.PENDING:
        bring_to(session, status, task.id)
    session.commit()
    return task.id


@pytest.mark.parametrize(
    ("call", "status", "action"),
    [
        ("cancel", Status.PENDING, "admin.cancel_task"),
        ("cancel", Status.PROCESSING, "admin.cancel_task"),
        ("retry", Status.FAILED, "admin.retry_task"),
    ],
)
def test_what_is_done_to_a_task_of_somebody_else_leaves_an_entry(
    session, ada, admin, person, entries, call, status, action
):
    theirs = task_of(session, person, status)

    ada(f"SELECT taskledger.{call}(%s)", str(theirs))

    [role] = ada("SELECT session_user")
    detail = {"owner": str(person.id), "db_user": role["session_user"]}
    assert entries() == [(action, admin.id, f"task:{theirs}", detail)]


def test_it_is_the_entry_that_the_api_leaves(session, ada, admin, client, person, entries):
    by_http, by_sql = task_of(session, person), task_of(session, person)

    assert client.post(f"/api/v1/tasks/{by_http}/cancel").status_code == 200
    ada("SELECT taskledger.cancel(%s)", str(by_sql))

    [of_http, of_sql] = entries()
    assert of_sql[:2] == of_http[:2]
    assert (of_http[2], of_sql[2]) == (f"task:{by_http}", f"task:{by_sql}")
    assert of_sql[3]["owner"] == of_http[3]["owner"] == str(person.id)


def test_what_is_ones_own_leaves_none(session, ada, admin, log_in, person, entries):
    ana = log_in(person)

    ada("SELECT taskledger.cancel(%s)", str(task_of(session, admin)))
    ana("SELECT taskledger.cancel(%s)", str(task_of(session, person)))
    ana("SELECT taskledger.retry(%s)", str(task_of(session, person, Status.FAILED)))
    ana("SELECT taskledger.retry_where('reverse_string')")
    task_of(session, admin, Status.FAILED)
    assert ada.one("SELECT taskledger.retry_where('reverse_string')") == 1

    assert entries() == []


def test_starting_dead_letters_over_leaves_one_entry_with_the_count(session, ada, admin, person, entries):
    for owner in (person, person, admin, None):
        task_of(session, owner, Status.FAILED)
    session.execute(sa.text("UPDATE tasks SET error_fingerprint = 'f1'"))
    session.commit()

    assert ada.one("SELECT taskledger.retry_where('reverse_string', 'f1')") == 4

    [(action, actor, subject, detail)] = entries()
    assert (action, actor, subject) == ("dead_letters.replayed", admin.id, None)
    assert (detail["count"], detail["of_others"]) == (4, 3)
    assert detail["filter"] == {"type": "reverse_string", "fingerprint": "f1"}


def test_the_service_itself_is_named_by_its_role(session, psql, person, entries):
    theirs, nobodys = task_of(session, person), task_of(session, None)

    psql("SELECT taskledger.cancel(%s)", str(theirs))
    psql("SELECT taskledger.cancel(%s)", str(nobodys))

    [(action, actor, subject, detail)] = entries()
    assert (action, actor, subject) == ("admin.cancel_task", None, f"task:{theirs}")
    assert detail["db_user"] == psql.one("SELECT session_user")


def test_what_is_rolled_back_or_refused_leaves_neither_change_nor_entry(session, ada, person, entries):
    theirs, ended = task_of(session, person), task_of(session, person, Status.COMPLETED)

    ada("BEGIN")
    ada("SELECT taskledger.cancel(%s)", str(theirs))
    ada("SELECT taskledger.pause_queue('tasks')")
    ada("ROLLBACK")
    with pytest.raises(psycopg2.Error, match="what has ended cannot be cancelled"):
        ada("SELECT taskledger.cancel(%s)", str(ended))

    assert entries() == []
    assert session.scalar(sa.text("SELECT status FROM tasks WHERE id = :id"), {"id": theirs}) == "PENDING"
    assert session.scalar(sa.text("SELECT count(*) FROM audit_notes")) == 0


def test_entries_of_one_transaction_are_in_their_order_and_leave_no_note(session, ada, person, entries):
    theirs = task_of(session, person)
    ada("BEGIN")
    ada("SELECT taskledger.pause_queue('tasks', 'tea')")
    ada("SELECT taskledger.cancel(%s)", str(theirs))
    ada("SELECT taskledger.retry(%s)", str(theirs))
    ada("SELECT taskledger.resume_queue('tasks')")
    ada("COMMIT")

    found = [action for action, *_ in entries()]
    assert found == ["queue.paused", "admin.cancel_task", "admin.retry_task", "queue.resumed"]
    assert session.scalar(sa.text("SELECT count(*) FROM audit_notes")) == 0


@pytest.mark.parametrize("call", ["cancel('{}')", "pause_queue('tasks')"])
def test_a_transaction_that_stays_open_holds_up_nobody_who_logs_in(session, engine, ada, person, entries, call):
    theirs = task_of(session, person)
    ada("BEGIN")
    ada(f"SELECT taskledger.{call.format(theirs)}")

    with Session(engine) as other:
        other.execute(sa.text("SET LOCAL lock_timeout = '2s'"))
        audit.record(other, "user.logged_in", COMMAND_LINE, now=utcnow())
        other.commit()
    ada("COMMIT")

    assert [action for action, *_ in entries()] == ["user.logged_in", entries()[1][0]]
    assert len(entries()) == 2


def test_nobody_but_the_service_reads_or_writes_notes(ada):
    for statement in (
        "SELECT * FROM audit_notes",
        "DELETE FROM audit_notes",
        "INSERT INTO audit_notes (at, action, detail) VALUES (now(), 'user.logged_in', '{}')",
        "SELECT taskledger.note_on_task('user.logged_in', gen_random_uuid())",
        "SELECT taskledger.note_in_audit_log('user.logged_in', NULL, NULL, '{}')",
    ):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            ada(statement)
