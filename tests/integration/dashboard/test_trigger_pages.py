"""Triggers on pages: created, paused, deleted, and what became of an event."""

import re

import pytest
import sqlalchemy as sa

from app.clock import utcnow
from app.models import new_id
from app.services import triggers
from app.services.triggers import NewEvent, NewTrigger, TaskTemplate
from tests.integration.dashboard.conftest import send

FORM = {
    "event": "order.paid",
    "when": '{"at_least": [{"$from": "event.data.total"}, 100]}',
    "starts": "type:reverse_string",
    "template": '{"$from": "event.data.order_id"}',
    "name": "large orders",
}


@pytest.fixture
def trigger(session, somebody):
    task = TaskTemplate(type="reverse_string", payload={"$from": "event.data.order_id"})
    wanted = NewTrigger(event="order.paid", task=task, name="large orders")
    made = triggers.create(session, wanted, new_id(), owner_id=somebody.id, now=utcnow())
    session.commit()
    return made


def test_a_trigger_is_created_once_by_its_form(page, session):
    key = re.search(r'name="key" value="([^"]+)"', page.get("/triggers").text).group(1)

    answers = [send(page, "/triggers", **FORM, key=key) for _ in range(2)]

    made = session.execute(sa.text("SELECT id, event, condition, target FROM triggers")).one()
    assert {answer.headers["Location"] for answer in answers} == {f"/triggers/{made.id}"}
    assert made.target == {"task": {"type": "reverse_string", "payload": {"$from": "event.data.order_id"}}}
    assert "large orders" in page.get("/triggers").text
    assert "order.paid" in page.get(f"/triggers/{made.id}").text
    assert session.execute(sa.text("SELECT action FROM audit_log")).scalars().all() == ["trigger.created"]


@pytest.mark.parametrize(
    "changed", [{"event": "no spaces"}, {"when": "{"}, {"when": '{"above": 1}'}, {"starts": "type:nobody"}]
)
def test_a_form_that_is_refused_is_shown_again_with_the_reason(changed, page, session):
    answer = send(page, "/triggers", **FORM | changed)

    assert answer.status_code == 422
    assert 'role="alert"' in answer.text
    assert "large orders" in answer.text
    assert session.scalar(sa.text("SELECT count(*) FROM triggers")) == 0


def test_a_trigger_is_disabled_enabled_and_deleted(page, trigger, session):
    assert "Disable this trigger?" in page.get(f"/triggers/{trigger.id}/disable").text
    send(page, f"/triggers/{trigger.id}/disable")
    assert "Disabled" in page.get("/triggers").text
    send(page, f"/triggers/{trigger.id}/enable")
    assert "Enabled" in page.get(f"/triggers/{trigger.id}").text
    send(page, f"/triggers/{trigger.id}/delete")

    assert session.scalar(sa.text("SELECT count(*) FROM triggers")) == 0
    told = session.execute(sa.text("SELECT action FROM audit_log ORDER BY id")).scalars().all()
    assert told == ["trigger.changed", "trigger.changed", "trigger.deleted"]


def test_the_page_of_an_event_tells_what_became_of_it(page, trigger, session, somebody):
    new = NewEvent(name="order.paid", data={"order_id": "A-17", "token": "hunter2"})
    event, _ = triggers.receive_once(session, new, key=None, owner_id=somebody.id, now=utcnow())
    triggers.apply_some(session, event.id, now=utcnow())
    session.commit()

    text = page.get(f"/triggers/events/{event.id}").text

    assert "Of 1 trigger for" in text
    assert "A-17" in text
    assert "hunter2" not in text
    assert f"/triggers/events/{event.id}" in page.get(f"/triggers/{trigger.id}").text
