"""What admins do on pages with things of others leaves entries in the audit log, as through the API."""

import pytest
import sqlalchemy as sa

from app.models import Status
from tests.integration.dashboard.conftest import send
from tests.support.factories import create_schedule, pass_events_on


@pytest.fixture
def told(session):
    """The entries about admins: action, subject, detail."""

    def entries() -> list[tuple]:
        session.rollback()
        query = "SELECT action, subject, detail FROM audit_log ORDER BY id"
        return [tuple(row) for row in session.execute(sa.text(query))]

    return entries


def test_looking_at_a_task_and_cancelling_it(boss, store, somebody, told):
    task = store(owner_id=somebody.id)

    assert boss.get(f"/tasks/{task.id}").status_code == 200
    send(boss, f"/tasks/{task.id}/cancel")

    assert [(action, subject) for action, subject, _ in told()] == [
        ("admin.show_task", f"task:{task.id}"),
        ("admin.act", f"task:{task.id}"),
    ]
    assert told()[1][2] == {
        "owner": str(somebody.id),
        "action": "cancel",
        "method": "POST",
        "route": "/tasks/<task_id>/<any(cancel, retry, forget, compensate, delete):action>",
    }


def test_copying_a_task_reads_it(boss, store, somebody, told):
    task = store(owner_id=somebody.id, payload="of theirs")

    assert "of theirs" in boss.get(f"/submit/reverse_string?copy_of={task.id}").text
    assert [(action, subject) for action, subject, _ in told()] == [("admin.show_form", f"task:{task.id}")]


def test_running_a_schedule_of_somebody_else(boss, session, somebody, told):
    schedule = create_schedule(session, owner_id=somebody.id)
    session.commit()

    send(boss, f"/schedules/{schedule.id}/run")

    assert [(subject, detail["action"]) for _, subject, detail in told()] == [(f"schedule:{schedule.id}", "run")]


def test_selected_tasks_leave_one_entry_that_names_those_of_others(boss, page, store, somebody, told):
    theirs = [str(store(owner_id=somebody.id).id) for _ in range(3)]
    send(page, "/tasks/selected", action="cancel", id=theirs[:1], confirmed="1")
    assert told() == []

    send(boss, "/tasks/selected", action="cancel", id=theirs, confirmed="1")

    [(action, _, detail)] = told()
    assert (action, detail) == ("admin.act_on_selected", {"action": "cancel", "count": 3, "ids": sorted(theirs)})


@pytest.mark.parametrize(("action", "done"), [("replay", "replayed"), ("purge", "purged")])
def test_dead_letters_leave_their_count(boss, store, somebody, session, told, action, done):
    for _ in range(2):
        store(status=Status.FAILED, owner_id=somebody.id)
    pass_events_on(session)

    send(boss, f"/dead-letters/{action}", failed_before="2099-01-01T00:00:00Z")

    assert [(said, detail.get("count")) for said, _, detail in told()] == [
        (f"dead_letters.{action}_begun", None),
        (f"dead_letters.{done}", 2),
    ]


def test_a_list_that_renews_itself_leaves_one_entry(boss, store, somebody, told):
    store(owner_id=somebody.id)

    for _ in range(3):
        assert boss.get("/tasks").status_code == 200
    boss.get("/")

    assert [action for action, _, _ in told()] == ["admin.list_tasks"]
