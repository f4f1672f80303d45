"""Webhooks on pages: made, tested, disabled, and their deliveries."""

import re

import pytest
import sqlalchemy as sa

from app.clock import utcnow
from app.services import webhooks
from tests.integration.dashboard.conftest import send

URL = "https://example.com/hooks"


@pytest.fixture
def webhook(session, somebody):
    wanted = webhooks.NewWebhook(url=URL)
    made, _ = webhooks.create(session, wanted, owner_id=somebody.id, key=None, keys=(), now=utcnow())
    session.commit()
    return made


def test_the_secret_of_a_new_webhook_is_shown_once(page, session):
    answer = send(page, "/webhooks", url=URL, event=["task.failed"], type=["reverse_string"], description="pager")

    secret = re.search(r"whsec_[A-Za-z0-9+/=]+", answer.text).group(0)
    made = session.execute(sa.text("SELECT id, events, types, description FROM webhooks")).one()
    assert (made.events, made.types, made.description) == (["task.failed"], ["reverse_string"], "pager")
    assert secret not in page.get(f"/webhooks/{made.id}").text
    assert session.execute(sa.text("SELECT action FROM audit_log")).scalars().all() == ["webhook.created"]


def test_the_page_of_a_new_webhook_that_is_reloaded_makes_no_other(page, session):
    key = re.search(r'name="key" value="([^"]+)"', page.get("/webhooks").text).group(1)
    form = {"url": URL, "event": ["task.failed"], "key": key}

    first, again = send(page, "/webhooks", **form), send(page, "/webhooks", **form)

    assert "whsec_" in first.text
    assert "whsec_" not in again.text
    assert "This form was sent before" in again.text
    assert session.execute(sa.text("SELECT count(*) FROM webhooks")).scalar_one() == 1
    assert session.execute(sa.text("SELECT count(*) FROM audit_log")).scalar_one() == 1


@pytest.mark.parametrize("form", [{"url": "nowhere", "event": ["task.failed"]}, {"url": URL, "event": ["task.eaten"]},
                                  {"url": URL}])  # fmt: skip
def test_a_webhook_that_is_refused_is_shown_again_with_the_reason(form, page, session):
    answer = send(page, "/webhooks", **form)

    assert answer.status_code == 422
    assert 'role="alert"' in answer.text
    assert f'value="{form["url"]}"' in answer.text
    assert session.execute(sa.text("SELECT count(*) FROM webhooks")).scalar_one() == 0


def test_a_test_is_sent_and_stands_in_the_delivery_log(page, webhook, session):
    send(page, f"/webhooks/{webhook.id}/test")

    text = page.get(f"/webhooks/{webhook.id}").text
    task_id = session.execute(sa.text("SELECT task_id FROM webhook_deliveries")).scalar_one()
    assert "webhook.test" in text
    assert f"/tasks/{task_id}" in text


def test_a_webhook_is_disabled_enabled_and_deleted(page, webhook, session):
    send(page, f"/webhooks/{webhook.id}/disable")
    assert "Disabled" in page.get("/webhooks").text
    assert send(page, f"/webhooks/{webhook.id}/test").status_code == 409

    send(page, f"/webhooks/{webhook.id}/enable")
    assert "Enabled" in page.get("/webhooks").text
    told = session.execute(sa.text("SELECT action FROM audit_log")).scalars().all()
    assert told == ["webhook.changed", "webhook.changed"]

    send(page, f"/webhooks/{webhook.id}/delete")
    assert session.execute(sa.text("SELECT count(*) FROM webhooks")).scalar_one() == 0


def test_a_new_secret_is_shown_once(page, webhook):
    text = send(page, f"/webhooks/{webhook.id}/rotate").text

    assert len(set(re.findall(r"whsec_[A-Za-z0-9+/=]{20,}", text))) == 1
    assert "signs, too, until" in text
