"""Through SQL and through HTTP: the same rows and the same events."""

import pytest
import sqlalchemy as sa
from psycopg2.extras import Json

from app.clock import utcnow
from app.dispatcher.dispatch import Dispatch
from app.models import Status
from app.services import lifecycle
from tests.integration.dispatcher.publisher import ScriptedPublisher
from tests.support.factories import HOLDER, bring_to, make_task

pytestmark = pytest.mark.usefixtures("known_types")
TASKS = "/api/v1/tasks"
OF_ITS_OWN = ("id", "lease", "request_id", "traceparent")
SUBMISSIONS = [
    {},
    {"priority": "high", "name": "a name", "labels": {"team": "billing"}, "max_retries": 1, "timeout": 30},
    {"scheduled_at": "2099-01-01T00:00:00+00:00"},
    {"scheduled_at": "2020-01-01T00:00:00+00:00", "expires_at": "2099-01-01T00:00:00+00:00"},
]


def row_and_events(session, task_id) -> tuple:
    """What is left of a task, but for what differs between any two: ids, moments, requests, and who wrote by hand."""
    session.rollback()
    row = dict(session.execute(sa.text("SELECT * FROM tasks WHERE id = :id"), {"id": task_id}).mappings().one())
    moments = {name: value is not None for name, value in row.items() if name.endswith("_at")}
    kept = {name: row[name] for name in ("scheduled_at", "expires_at")}
    rest = {name: value for name, value in row.items() if not name.endswith("_at") and name not in OF_ITS_OWN}
    events = session.execute(
        sa.text(
            "SELECT type, status, previous_status, attempt, worker, detail FROM task_events "
            "WHERE task_id = :id ORDER BY id"
        ),
        {"id": task_id},
    )
    return rest, moments, kept, [tuple(event) for event in events]


@pytest.mark.parametrize("fields", SUBMISSIONS)
def test_submitting(person, application, log_in, session, fields):
    body = {"type": "reverse_string", "payload": "hello", **fields}
    answer = person.client(application).post(TASKS, json=body)
    assert answer.status_code == 201, answer.text
    arguments = "".join(f", {name} => %s" for name in fields)
    values = [_adapted(value) for value in fields.values()]
    by_sql = log_in(person).one(f"SELECT taskledger.submit('reverse_string', '\"hello\"'{arguments})", *values)

    Dispatch(ScriptedPublisher()).run_once(utcnow())  # what the API publishes at once, the dispatcher publishes

    assert row_and_events(session, by_sql) == row_and_events(session, answer.json["id"])


def _adapted(value):
    return Json(value) if isinstance(value, dict) else value


def two_tasks(session, person, status):
    """Two of the same, in a status."""
    tasks = [make_task(session, owner_id=person.id).id for _ in range(2)]
    if status != Status.PENDING:
        bring_to(session, status, *tasks)
    session.commit()
    return tasks


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("action", ["cancel", "retry"])
def test_cancelling_and_retrying_from_every_status(person, application, log_in, session, action, status):
    by_http, by_sql = two_tasks(session, person, status)
    ana = log_in(person)

    answer = person.client(application).post(f"{TASKS}/{by_http}/{action}")
    answered, refused = None, None
    try:
        answered = ana.one(f"SELECT taskledger.{action}(%s)", str(by_sql))
    except Exception as error:
        refused = error

    assert (refused is not None) == (answer.status_code == 409), (refused, answer.text)
    if refused is None:
        assert answered == answer.json["status"]
    assert row_and_events(session, by_sql) == row_and_events(session, by_http)


def test_a_cancelled_run_ends_alike(person, application, log_in, session):
    """PROCESSING to CANCELLED: asked for by either way, confirmed by the worker."""
    tasks = [make_task(session, owner_id=person.id).id for _ in range(2)]
    claims = lifecycle.claim(session, "reverse_string", tasks, holder=HOLDER, lease_seconds=60, now=utcnow())
    session.commit()
    person.client(application).post(f"{TASKS}/{tasks[0]}/cancel")
    log_in(person).one("SELECT taskledger.cancel(%s)", str(tasks[1]))

    for claim in claims:
        lifecycle.stopped(session, claim, receipt="stopped", now=utcnow())
    session.commit()

    assert row_and_events(session, tasks[1]) == row_and_events(session, tasks[0])


def test_retrying_by_cause(person, application, log_in, session):
    http = person.client(application)
    by_http = two_tasks(session, person, Status.FAILED)
    token = http.post("/api/v1/dead-letters/replay", json={"filter": {"type": "reverse_string"}, "dry_run": True})
    assert http.post("/api/v1/dead-letters/replay", json={"token": token.json["token"]}).json["count"] == 2
    by_sql = two_tasks(session, person, Status.FAILED)

    assert log_in(person).one("SELECT taskledger.retry_where('reverse_string')") == 2

    assert [row_and_events(session, id_) for id_ in by_sql] == [row_and_events(session, id_) for id_ in by_http]


def test_somebody_elses_task_is_not_there(admin, person, log_in, session):
    [task_id, _] = two_tasks(session, admin, Status.FAILED)
    ana = log_in(person)

    for call in ("cancel(%s)", "retry(%s)"):
        with pytest.raises(Exception, match="there is no task"):
            ana(f"SELECT taskledger.{call}", str(task_id))
    assert ana.one("SELECT taskledger.retry_where('reverse_string')") == 0
    assert log_in(admin).one("SELECT taskledger.retry_where('reverse_string')") == 2


@pytest.mark.parametrize(
    ("kind", "name", "path"), [("queue", "tasks", "queues"), ("type", "fibonacci_calc", "task-types")]
)
def test_pausing_and_resuming(client, admin, log_in, session, kind, name, path):
    ada = log_in(admin)
    left = []
    for pause, resume in (
        (
            lambda: client.post(f"/api/v1/{path}/{name}/pause", json={"reason": "tea"}),
            lambda: client.post(f"/api/v1/{path}/{name}/resume").json["resumed"],
        ),
        (
            lambda: ada(f"SELECT taskledger.pause_{kind}(%s, 'tea')", name),
            lambda: ada.one(f"SELECT taskledger.resume_{kind}(%s)", name),
        ),
    ):
        told = session.scalar(sa.text("SELECT last_id FROM audit_chain"))
        pause()
        paused = _pauses(session)
        assert resume() is True
        left.append((paused, _pauses(session), resume(), _audited(session, after=told)))
        session.execute(sa.text("DELETE FROM pauses"))
        session.commit()

    assert left[0] == left[1]


def _pauses(session) -> list[tuple]:
    session.rollback()
    query = "SELECT kind, name, paused_by, reason, resumed_at IS NULL FROM pauses"
    return [tuple(row) for row in session.execute(sa.text(query))]


def _audited(session, *, after: int) -> list[tuple]:
    query = "SELECT action, actor_id, subject, detail - 'db_user' FROM audit_log WHERE id > :after ORDER BY id"
    return [tuple(row) for row in session.execute(sa.text(query), {"after": after})]


def test_pausing_is_for_admins(person, log_in):
    with pytest.raises(Exception, match="only admins pause"):
        log_in(person)("SELECT taskledger.pause_queue('tasks')")


def test_a_queue_that_nobody_knows_cannot_be_paused(admin, log_in):
    with pytest.raises(Exception, match="there is no queue called 'nonsense'"):
        log_in(admin)("SELECT taskledger.pause_queue('nonsense')")
