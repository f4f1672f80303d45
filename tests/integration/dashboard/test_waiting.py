"""The page of a task that waits: what for, the form to answer it, what it was told, and what it remembers."""

import re

import pytest
import sqlalchemy as sa

from app.models import Status
from tests.integration.dashboard.conftest import send
from tests.support.factories import bring_to, make_task, read_task
from tests.support.waiting_tasks import ANSWER, make_waiting, remember


@pytest.fixture
def waiting(session, somebody):
    return make_waiting(session, owner_id=somebody.id, waits={"signal": "approved", "schema": ANSWER})


def form_of(page, task_id):
    shown = page.get(f"/tasks/{task_id}/signals/approved").text
    return shown, re.search(r'name="key" value="([^"]+)"', shown)[1]


def test_the_page_says_what_it_waits_for_and_leads_to_the_form(page, waiting):
    shown = page.get(f"/tasks/{waiting}").text

    assert "It waits for the signal approved" in shown
    assert f'href="/tasks/{waiting}/signals/approved"' in shown


def test_the_form_has_a_field_for_each_property_of_the_schema(page, waiting):
    shown, _ = form_of(page, waiting)

    assert 'type="checkbox" name="data.approved"' in shown
    assert 'name="data.note"' in shown


def test_an_answer_wakes_the_task_and_stands_on_its_page(page, session, waiting):
    _, key = form_of(page, waiting)

    answer = send(page, f"/tasks/{waiting}/signals/approved", key=key, **{"data.approved": "1", "data.note": "fine"})

    assert answer.status_code == 302
    assert read_task(session, waiting).status == Status.PENDING
    assert session.scalar(sa.text("SELECT data FROM signals")) == {"approved": True, "note": "fine"}
    shown = page.get(f"/tasks/{waiting}").text
    assert "What it was told" in shown
    assert "by its owner" in shown


def test_a_double_click_answers_once(page, session, waiting):
    _, key = form_of(page, waiting)

    for _ in range(2):
        send(page, f"/tasks/{waiting}/signals/approved", key=key, **{"data.approved": "1"})

    assert session.scalar(sa.text("SELECT count(*) FROM signals")) == 1


def test_what_people_answer_is_in_the_audit_log(page, session, somebody, waiting):
    _, key = form_of(page, waiting)
    send(page, f"/tasks/{waiting}/signals/approved", key=key, **{"data.approved": "1"})

    query = "SELECT actor_id, subject, detail FROM audit_log WHERE action = 'signal.sent'"
    [entry] = session.execute(sa.text(query))
    assert tuple(entry) == (somebody.id, f"task:{waiting}", {"signal": "approved"})


def test_what_the_wait_does_not_take_is_said_at_its_field(page, session, waiting):
    _, key = form_of(page, waiting)

    answer = send(page, f"/tasks/{waiting}/signals/approved", key=key, **{"data.note": "x" * 501})

    assert answer.status_code == 422
    assert "field-error" in answer.text
    assert read_task(session, waiting).status == Status.WAITING


def test_without_a_schema_anything_can_be_answered(page, session, somebody):
    task_id = make_waiting(session, owner_id=somebody.id)
    _, key = form_of(page, task_id)

    send(page, f"/tasks/{task_id}/signals/approved", key=key, data='{"a": [1]}')

    assert session.scalar(sa.text("SELECT data FROM signals")) == {"a": [1]}


def test_what_has_ended_cannot_be_answered(page, session, somebody):
    task = make_task(session, owner_id=somebody.id)
    bring_to(session, Status.COMPLETED, task.id)
    session.commit()

    shown = page.get(f"/tasks/{task.id}/signals/approved").text
    answer = send(page, f"/tasks/{task.id}/signals/approved", data="yes")

    assert "nothing waits for an answer any more" in shown
    assert "data-submit" not in shown
    assert answer.status_code == 409


def test_steps_are_shown_with_what_came_of_them(page, session, somebody):
    task, child = (make_task(session, owner_id=somebody.id) for _ in range(2))
    remember(session, task.id, "charge", 1, result='{"receipt": 7}', undo='{"type": "refund"}')
    remember(session, task.id, "render", 2, kind="call", state="BEGUN", result=None, child_id=child.id, ended_at=None)
    session.commit()

    shown = page.get(f"/tasks/{task.id}").text

    assert "What it remembers" in shown
    assert "receipt" in shown
    assert "can be undone" in shown
    assert f'href="/tasks/{child.id}"' in shown


def test_a_dead_letter_that_remembers_can_be_made_to_forget(page, session, somebody):
    task = make_task(session, owner_id=somebody.id)
    remember(session, task.id, "charge", 1)
    bring_to(session, Status.FAILED, task.id)
    session.commit()
    assert "Forget and start over" in page.get(f"/tasks/{task.id}").text

    answer = send(page, f"/tasks/{task.id}/forget")

    assert answer.status_code == 302
    assert read_task(session, task.id).status == Status.PENDING
    assert session.scalar(sa.text("SELECT count(*) FROM task_steps")) == 0


def test_the_list_and_the_queues_count_what_waits(page, waiting):
    shown = page.get("/tasks?status=WAITING").text

    assert f'href="/tasks/{waiting}"' in shown
    assert "waits for approved" in shown
    assert '<td class="num" data-label="Waiting">1</td>' in page.get("/queues").text
