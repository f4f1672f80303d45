"""What admins do with things of others leaves entries in the audit log; what they do with their own leaves none."""

import io

import pytest
import sqlalchemy as sa

from app.models import Status
from tests.integration.api.conftest import TASKS
from tests.support.factories import create_schedule, make_task, pass_events_on
from tests.support.people import make_admin, make_person
from tests.support.runs import create_workflow, step

API = "/api/v1"
WEBHOOK = {"url": "https://example.com/hooks"}


@pytest.fixture
def person(engine, database_url):
    return make_person(database_url)


@pytest.fixture
def theirs(person, application):
    return person.client(application)


@pytest.fixture
def told(session, admin):
    """The entries about what the admin did: action, subject, detail."""

    def entries(prefix: str = "admin.") -> list[tuple]:
        session.rollback()
        query = (
            "SELECT action, subject, detail FROM audit_log "
            "WHERE actor_id = :me AND starts_with(action, :prefix) ORDER BY id"
        )
        return [tuple(row) for row in session.execute(sa.text(query), {"me": admin.id, "prefix": prefix})]

    return entries


@pytest.fixture
def things(session, person, theirs):
    """One thing of each kind, of the person."""
    schedule = create_schedule(session, owner_id=person.id)
    create_workflow(session, {"a": step()}, name="flow", owner_id=person.id)
    session.commit()
    file = {"file": (io.BytesIO(b"of theirs"), "notes.txt")}
    return {
        "task": theirs.post(TASKS, json={"type": "reverse_string", "payload": "of theirs"}).json["id"],
        "schedule": str(schedule.id),
        "run": theirs.post(f"{API}/workflows/flow/runs", json={}).json["id"],
        "artifact": theirs.post(f"{API}/artifacts", data=file, content_type="multipart/form-data").json["id"],
        "webhook": theirs.post(f"{API}/webhooks", json=WEBHOOK).json["id"],
    }


ACTS = [
    ("GET", "/tasks/{task}", "task", "admin.read_task"),
    ("GET", "/tasks/{task}/attempts", "task", None),
    ("GET", "/tasks/{task}/events", "task", None),
    ("GET", "/tasks/{task}/why", "task", None),
    ("PATCH", "/tasks/{task}", "task", None),
    ("POST", "/tasks/{task}/cancel", "task", "admin.cancel_task"),
    ("POST", "/tasks/{task}/retry", "task", None),
    ("POST", "/tasks/{task}/compensate", "task", None),
    ("DELETE", "/tasks/{task}", "task", "admin.delete_task"),
    ("GET", "/runs/{run}", "run", "admin.read_run"),
    ("GET", "/runs/{run}/graph.svg", "run", None),
    ("POST", "/runs/{run}/pause", "run", None),
    ("POST", "/runs/{run}/cancel", "run", None),
    ("POST", "/runs/{run}/retry", "run", None),
    ("GET", "/schedules/{schedule}", "schedule", "admin.read_schedule"),
    ("PATCH", "/schedules/{schedule}", "schedule", None),
    ("POST", "/schedules/{schedule}/run", "schedule", None),
    ("DELETE", "/schedules/{schedule}", "schedule", "admin.delete_schedule"),
    ("GET", "/webhooks/{webhook}", "webhook", "admin.read_webhook"),
    ("GET", "/webhooks/{webhook}/deliveries", "webhook", None),
    ("PATCH", "/webhooks/{webhook}", "webhook", None),
    ("POST", "/webhooks/{webhook}/secret", "webhook", None),
    ("DELETE", "/webhooks/{webhook}", "webhook", "admin.delete_webhook"),
    ("GET", "/artifacts/{artifact}", "artifact", "admin.read_artifact"),
    ("GET", "/artifacts/{artifact}/content", "artifact", None),
    ("HEAD", "/artifacts/{artifact}/content", "artifact", None),
    ("DELETE", "/artifacts/{artifact}", "artifact", "admin.delete_artifact"),
]


@pytest.mark.parametrize(("method", "path", "kind", "action"), ACTS)
def test_an_act_on_a_thing_of_somebody_else_leaves_one_entry(
    client, person, things, told, session, method, path, kind, action
):
    client.open(f"{API}{path.format(**things)}", method=method, json=None if method in ("GET", "HEAD") else {})

    [(said, subject, detail)] = told()
    assert subject == f"{kind}:{things[kind]}"
    assert (detail["owner"], detail["method"]) == (str(person.id), method)
    assert action in (None, said)
    assert "of theirs" not in str(detail)


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_an_act_on_a_workflow_of_somebody_else_leaves_one_entry(client, things, told, session, method):
    client.open(f"{API}/workflows/flow", method=method, json=None if method == "GET" else {"description": "x"})

    [(_, subject, _)] = told()
    assert subject.startswith("workflow:")


def test_an_act_on_ones_own_leaves_none(client, submit, told):
    mine = submit()["id"]

    assert client.get(f"{TASKS}/{mine}").status_code == 200
    assert client.get(TASKS).json["items"]
    assert client.post(f"{TASKS}/{mine}/cancel").status_code == 200
    assert told("") == []


def test_what_users_do_and_what_is_refused_to_them_leaves_none(theirs, things, session, store, admin):
    other = store(owner_id=admin.id)

    assert theirs.get(f"{TASKS}/{things['task']}").status_code == 200
    assert theirs.get(f"{TASKS}/{other.id}").status_code == 404
    assert theirs.get(TASKS).status_code == 200
    assert session.scalar(sa.text("SELECT count(*) FROM audit_log WHERE starts_with(action, 'admin.')")) == 0


@pytest.mark.parametrize("id_", ["nonsense", "00000000-0000-7000-8000-00000000dead"])
def test_what_is_not_there_leaves_none(client, told, id_):
    assert client.get(f"{TASKS}/{id_}").status_code == 404
    assert told() == []


def test_the_same_read_again_leaves_no_second_entry_and_the_same_act_does(client, things, told):
    for _ in range(3):
        client.get(f"{TASKS}/{things['task']}")
    for _ in range(2):
        client.post(f"{TASKS}/{things['task']}/cancel")

    assert [action for action, _, _ in told()] == ["admin.read_task", "admin.cancel_task", "admin.cancel_task"]


@pytest.mark.parametrize("path", ["tasks", "runs", "schedules", "webhooks", "artifacts", "workflows"])
def test_a_list_with_things_of_others_leaves_one_entry(client, theirs, things, told, path):
    for _ in range(3):
        theirs.post(TASKS, json={"type": "reverse_string", "payload": "another"})
    assert client.get(f"{API}/{path}?limit=50").json["items"]

    [(action, subject, detail)] = told()
    assert (action.startswith("admin.list_"), subject, detail["parameters"]) == (True, None, ["limit"])


@pytest.mark.parametrize("path", ["stats", "queues/failed-count", "queues/pending-count", "limits/usage", "queues"])
def test_figures_leave_none(client, things, told, path):
    assert client.get(f"{API}/{path}").status_code == 200
    assert told("") == []


def test_an_act_is_not_done_when_it_cannot_be_told(client, things, session):
    session.execute(sa.text("ALTER TABLE audit_log ADD CONSTRAINT full_disk CHECK (action !~ '^admin') NOT VALID"))
    session.commit()
    try:
        answer = client.delete(f"{TASKS}/{things['task']}")
    finally:
        session.execute(sa.text("ALTER TABLE audit_log DROP CONSTRAINT full_disk"))
        session.commit()

    assert answer.status_code >= 500
    assert client.get(f"{TASKS}/{things['task']}").status_code == 200


@pytest.mark.parametrize(("action", "done"), [("replay", "replayed"), ("purge", "purged")])
def test_many_dead_letters_leave_two_entries_with_the_count(client, store, person, told, session, action, done):
    for _ in range(3):
        store(status=Status.FAILED, owner_id=person.id)
    pass_events_on(session)  # before that they cannot be purged
    path = f"{API}/dead-letters/{action}"
    counted = client.post(path, json={"dry_run": True, "filter": {"type": "reverse_string"}}).json
    assert told("dead_letters.") == []

    assert client.post(path, json={"token": counted["token"]}).json["count"] == 3

    begun, ended = told("dead_letters.")
    assert (begun[0], "count" in begun[2]) == (f"dead_letters.{action}_begun", False)
    assert (ended[0], ended[2]["count"]) == (f"dead_letters.{done}", 3)
    assert begun[2]["filter"] == ended[2]["filter"]
    assert ended[2]["filter"]["type"] == "reverse_string"


def test_a_purge_of_a_queue_tells_how_many_also_when_it_breaks_half_way(client, store, person, told, monkeypatch):
    from app.services.tasks import purge

    for _ in range(3):
        store(owner_id=person.id)
    monkeypatch.setattr(purge, "BATCH", 2)
    path = f"{API}/queues/tasks/purge"
    whole, batches = purge.purge_batch, []

    def breaks(*arguments, **options):
        batches.append(1)
        if len(batches) > 1:
            raise RuntimeError("half-way")
        return whole(*arguments, **options)

    token = client.post(path, json={"dry_run": True}).json["token"]
    monkeypatch.setattr(purge, "purge_batch", breaks)
    client.application.config["PROPAGATE_EXCEPTIONS"] = False
    try:
        assert client.post(path, json={"token": token}).status_code == 500
    finally:
        client.application.config["PROPAGATE_EXCEPTIONS"] = None
    monkeypatch.setattr(purge, "purge_batch", whole)
    token = client.post(path, json={"dry_run": True}).json["token"]
    assert client.post(path, json={"token": token}).json["count"] == 1

    assert [(action, detail.get("count")) for action, _, detail in told("queue.")] == [
        ("queue.purge_begun", None), ("queue.purged", 2), ("queue.purge_begun", None), ("queue.purged", 1),
    ]  # fmt: skip


def test_each_admin_has_their_own_entries(client, things, session, database_url, application):
    other = make_admin(database_url)
    for one in (client, other.client(application)):
        one.get(f"{TASKS}/{things['task']}")

    query = "SELECT count(DISTINCT actor_id) FROM audit_log WHERE action = 'admin.read_task'"
    assert session.scalar(sa.text(query)) == 2


def test_things_of_the_service_can_be_read_without_an_entry_and_not_changed(client, session, told):
    task = make_task(session, owner_id=None)
    session.commit()

    client.get(f"{TASKS}/{task.id}")
    assert told() == []
    client.post(f"{TASKS}/{task.id}/cancel")
    assert [(action, detail["owner"]) for action, _, detail in told()] == [("admin.cancel_task", None)]
