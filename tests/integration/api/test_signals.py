"""POST and GET /tasks/{id}/signals, the same of runs, and what waking a task leaves in its row."""

import json

import pytest
import sqlalchemy as sa

from app.models import Status, new_id
from app.services.signals import MAX_BYTES, MAX_UNTAKEN
from tests.integration.api.conftest import TASKS
from tests.support.factories import bring_to, make_task, read_task, statuses_of
from tests.support.people import make_key, make_person
from tests.support.waiting_tasks import ANSWER, make_waiting

APPROVED = {"data": {"approved": True}}


def path_of(task_id, name="approved"):
    return f"{TASKS}/{task_id}/signals/{name}"


def test_a_signal_wakes_the_task_that_waits_for_it(client, session, admin):
    task_id = make_waiting(session, owner_id=admin.id)

    answer = client.post(path_of(task_id), json=APPROVED)

    assert answer.status_code == 201, answer.text
    sent = answer.json
    assert (sent["name"], sent["data"], sent["sent_by"]) == ("approved", {"approved": True}, str(admin.id))
    assert (sent["taken_by"], sent["taken_at"]) == (None, None)
    task = read_task(session, task_id)
    assert (task.status, task.dispatched_at, task.waits_for) == (Status.PENDING, None, None)
    assert task.due_at is not None
    assert statuses_of(session, task_id)[-2:] == ["WAITING", "PENDING"]


@pytest.mark.parametrize("status", [Status.SCHEDULED, Status.PENDING, Status.PROCESSING, Status.RETRYING])
def test_one_that_comes_before_anything_waits_is_kept(client, session, status):
    task = make_task(session)
    if status != Status.PENDING:
        bring_to(session, status, task.id)
    session.commit()

    assert client.post(path_of(task.id), json=APPROVED).status_code == 201

    assert read_task(session, task.id).status == status
    [kept] = client.get(f"{TASKS}/{task.id}/signals").json["items"]
    assert (kept["name"], kept["data"], kept["taken_by"]) == ("approved", {"approved": True}, None)


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "once"}])
def test_it_costs_three_statements_a_lock_a_row_and_a_wake_up(application, database_url, session, headers):
    person, statements = make_person(database_url), []
    client, task_id = person.client(application), make_waiting(session, owner_id=person.id)
    client.post(path_of(task_id, "early"), json=APPROVED)  # from here on the caller's API key is known

    def note(connection, cursor, statement, *rest):
        first, second, *_ = statement.rpartition("; ")[2].split()  # prepared ones have their settings before them
        statements.append(second if first == "EXECUTE" else first)

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        answer = client.post(path_of(task_id), json=APPROVED, headers=headers)
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)

    assert answer.status_code == 201
    assert statements == ["SELECT", "taskledger_record_signal", "taskledger_wake_for_signal"]


def test_what_the_end_of_a_run_has_told_a_task_is_listed_without_data(client, session):
    """A run that is a step of another one tells its end by a signal without data, not even null."""
    task_id = make_waiting(session)
    values = {"target": task_id, "name": f"run:{task_id}"}
    session.execute(sa.text("INSERT INTO signals (target, name, at) VALUES (:target, :name, now())"), values)
    session.commit()

    answer = client.get(f"{TASKS}/{task_id}/signals")

    assert answer.status_code == 200, answer.text
    assert [(each["name"], each["data"]) for each in answer.json["items"]] == [(f"run:{task_id}", None)]


def test_another_name_wakes_nobody(client, session):
    task_id = make_waiting(session)

    assert client.post(path_of(task_id, "aproved"), json=APPROVED).status_code == 201

    assert read_task(session, task_id).status == Status.WAITING


def test_data_may_be_anything_and_left_out(client, session):
    task = make_task(session)
    session.commit()

    for data in (None, "yes", 5, [1], {"a": {"b": None}}):
        assert client.post(path_of(task.id), json={"data": data}).json["data"] == data
    assert client.post(path_of(task.id)).json["data"] is None


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.FAILED, Status.CANCELLED])
def test_what_has_ended_is_told_nothing(client, session, status):
    task = make_task(session)
    bring_to(session, status, task.id)
    session.commit()

    answer = client.post(path_of(task.id), json=APPROVED)

    assert (answer.status_code, answer.json["code"]) == (409, "wrong_status")
    assert client.get(f"{TASKS}/{task.id}/signals").json["items"] == []


def test_the_same_key_sends_it_once_and_says_so(client, session):
    task_id = make_waiting(session)
    headers = {"Idempotency-Key": "answer-17"}

    first, again = (client.post(path_of(task_id), json=APPROVED, headers=headers) for _ in range(2))
    other = client.post(path_of(task_id), json={"data": {"approved": 1}}, headers=headers)

    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json == first.json
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (other.status_code, other.json["code"]) == (422, "idempotency_key_reused")
    assert len(client.get(f"{TASKS}/{task_id}/signals").json["items"]) == 1


def test_a_key_is_answered_after_the_task_has_ended(client, session):
    task = make_task(session)
    session.commit()
    headers = {"Idempotency-Key": "answer-17"}
    client.post(path_of(task.id), json=APPROVED, headers=headers)
    bring_to(session, Status.COMPLETED, task.id)
    session.commit()

    assert client.post(path_of(task.id), json=APPROVED, headers=headers).status_code == 200


@pytest.mark.parametrize("name", ["-", ".a", "a b", "a%00", "a" * 101, "ü"])
def test_names_that_no_wait_has_are_refused(client, session, name):
    task = make_task(session)
    session.commit()

    assert client.post(path_of(task.id, name), json=APPROVED).status_code == 422


def test_data_is_bounded(client, session):
    task = make_task(session)
    session.commit()

    fits = client.post(path_of(task.id), json={"data": "x" * (MAX_BYTES - 2)})
    large = client.post(path_of(task.id), json={"data": "x" * (MAX_BYTES - 1)})

    assert fits.status_code == 201
    assert (large.status_code, large.json["code"], list(large.json["errors"])) == (422, "signal_too_large", ["data"])


def test_so_many_may_lie_untaken(client, session):
    task = make_task(session)
    session.execute(
        sa.text("INSERT INTO signals (target, name, data, at) SELECT :id, 'a', '1', now() FROM generate_series(2, :n)"),
        {"id": task.id, "n": MAX_UNTAKEN},
    )
    session.commit()

    last, one_more = (client.post(path_of(task.id), json=APPROVED) for _ in range(2))
    session.execute(sa.text("UPDATE signals SET taken_by = 'a' WHERE id = (SELECT min(id) FROM signals)"))
    session.commit()

    assert last.status_code == 201
    assert (one_more.status_code, one_more.json["code"]) == (409, "too_many_signals")
    assert client.post(path_of(task.id), json=APPROVED).status_code == 201


def test_data_that_the_wait_does_not_take_is_refused_and_wakes_nobody(client, session):
    task_id = make_waiting(session, waits={"signal": "approved", "schema": ANSWER})

    answer = client.post(path_of(task_id), json={"data": {"approved": "maybe"}})

    assert (answer.status_code, answer.json["code"]) == (422, "signal_refused")
    assert list(answer.json["errors"]["data"]) == ["approved"]
    assert read_task(session, task_id).status == Status.WAITING
    assert client.post(path_of(task_id), json=APPROVED).status_code == 201
    assert read_task(session, task_id).status == Status.PENDING


def test_a_task_that_is_being_cancelled_is_not_woken(client, session):
    task_id = make_waiting(session)
    session.execute(sa.text("UPDATE tasks SET cancel_requested_at = now() WHERE id = :id"), {"id": task_id})
    session.commit()

    assert client.post(path_of(task_id), json=APPROVED).status_code == 201

    assert read_task(session, task_id).status == Status.WAITING


def test_the_list_says_who_when_and_what_took_it_newest_first_page_by_page(client, session, admin):
    task = make_task(session, owner_id=admin.id)
    session.commit()
    for number in range(3):
        client.post(path_of(task.id, f"step-{number}"), json={"data": number})
    session.execute(sa.text("UPDATE signals SET taken_by = 'step-0' WHERE name = 'step-0'"))
    session.execute(
        sa.text(
            "INSERT INTO task_steps (task_id, name, seq, kind, state, ended_at) "
            "VALUES (:id, 'step-0', 1, 'signal', 'DONE', '2026-03-02T12:00:00Z')"
        ),
        {"id": task.id},
    )
    session.commit()

    page = client.get(f"{TASKS}/{task.id}/signals?limit=2").json
    rest = client.get(f"{TASKS}/{task.id}/signals?limit=2&cursor={page['next']}").json

    assert [each["name"] for each in page["items"]] == ["step-2", "step-1"]
    [first] = rest["items"]
    assert (first["name"], first["taken_by"], first["taken_at"]) == ("step-0", "step-0", "2026-03-02T12:00:00Z")
    assert rest["next"] is None


def test_a_key_for_other_types_cannot_send(application, database_url, session):
    owner = make_person(database_url)
    task_id = make_waiting(session, owner_id=owner.id)
    key = make_key(database_url, owner, scopes=("tasks:write",), allowed_types=["fibonacci_calc"]).client(application)

    answer = key.post(path_of(task_id), json=APPROVED)

    assert (answer.status_code, answer.json["code"]) == (403, "type_not_allowed")
    assert read_task(session, task_id).status == Status.WAITING


def entries(session):
    query = "SELECT action, subject, detail ->> 'signal' FROM audit_log WHERE action LIKE '%signal%' ORDER BY id"
    return [tuple(row) for row in session.execute(sa.text(query))]


def test_what_an_admin_says_to_a_task_of_somebody_else_is_in_the_audit_log(client, session, database_url):
    owner = make_person(database_url)
    task_id = make_waiting(session, owner_id=owner.id)

    client.post(path_of(task_id), json=APPROVED)

    assert ("admin.send_signal", f"task:{task_id}", None) in entries(session)


# Runs


@pytest.fixture
def run_id(session, admin):
    """A run with a step whose task waits for a signal to the run."""
    version, run = new_id(), new_id()
    session.execute(
        sa.text(
            "INSERT INTO workflow_versions (id, number, definition, digest, created_at) "
            "VALUES (:id, 1, CAST(:definition AS jsonb), 'x', now())"
        ),
        {"id": version, "definition": json.dumps({"steps": {"a": {"type": "reverse_string", "payload": "a"}}})},
    )
    session.execute(
        sa.text(
            "INSERT INTO workflow_runs (id, workflow_name, version_id, version, owner_id, status, input, labels, "
            "priority, created_at, updated_at) VALUES (:id, 'billing', :version, 1, :owner, 'RUNNING', '{}', '{}', "
            "'normal', now(), now())"
        ),
        {"id": run, "version": version, "owner": admin.id},
    )
    task_id = make_waiting(session, owner_id=admin.id, waits={"signal": "approved", "target": str(run)})
    session.execute(sa.text("UPDATE tasks SET run_id = :run, step = 'a' WHERE id = :id"), {"run": run, "id": task_id})
    session.execute(
        sa.text(
            "INSERT INTO workflow_steps (run_id, key, position, type, state, task_id) "
            "VALUES (:run, 'a', 0, 'reverse_string', 'STARTED', :task)"
        ),
        {"run": run, "task": task_id},
    )
    session.commit()
    return run, task_id


def test_a_signal_to_a_run_wakes_the_step_that_waits_for_it(client, session, run_id):
    run, task_id = run_id

    answer = client.post(f"/api/v1/runs/{run}/signals/approved", json=APPROVED)

    assert answer.status_code == 201, answer.text
    assert read_task(session, task_id).status == Status.PENDING
    assert [each["name"] for each in client.get(f"/api/v1/runs/{run}/signals").json["items"]] == ["approved"]


def test_a_signal_to_the_step_itself_wakes_it_too(client, session, run_id):
    run, task_id = run_id

    assert client.post(path_of(task_id), json=APPROVED).status_code == 201

    assert read_task(session, task_id).status == Status.PENDING
    assert client.get(f"/api/v1/runs/{run}/signals").json["items"] == []


def test_a_run_that_has_ended_is_told_nothing(client, session, run_id):
    run, _ = run_id
    session.execute(
        sa.text("UPDATE workflow_runs SET status = 'COMPLETED', finished_at = now() WHERE id = :id"), {"id": run}
    )
    session.commit()

    assert client.post(f"/api/v1/runs/{run}/signals/approved", json=APPROVED).status_code == 409
