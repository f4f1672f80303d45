"""Deliveries to receivers that are well, down, slow, broken, gone, or that lead elsewhere."""

import json
from datetime import timedelta

import pytest
import sqlalchemy as sa
from pytest_httpserver import HTTPServer
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from werkzeug import Response

from app import clock
from app.services import webhooks
from tasks.handlers import webhook_delivery as handler
from tests.support.factories import read_task
from tests.support.people import make_person
from tests.support.servers.attempts import run_attempt


@pytest.fixture
def allowed(monkeypatch):
    monkeypatch.setenv("OUTBOUND_ALLOW", "127.0.0.1")


@pytest.fixture
def owner_id(database_url, engine):
    return make_person(database_url).id


@pytest.fixture
def send(session, owner_id):
    """Make a webhook for a URL and run the first attempt of a test to it; the delivery, its task and the secret."""

    def sent(url, **changes):
        now = clock.utcnow()
        wanted = webhooks.NewWebhook(url=url)
        webhook, secret = webhooks.create(session, wanted, owner_id=owner_id, key=None, keys=(), now=now)
        for name, value in changes.items():
            session.execute(sa.text(f"UPDATE webhooks SET {name} = :value"), {"value": value})
        delivery = webhooks.send_test(session, webhook.id, owner=None, now=now)
        session.commit()
        run(session, delivery.task_id)
        return webhook, secret

    return sent


def run(session, task_id):
    session.execute(sa.text("UPDATE tasks SET dispatched_at = now() WHERE id = :id"), {"id": task_id})
    session.commit()
    run_attempt("webhook_delivery", task_id)
    session.rollback()


def outcome(session, webhook):
    [delivery], _ = webhooks.find_deliveries(session, webhook.id, owner=None, before=None, limit=5)
    return delivery, read_task(session, delivery.task_id), webhooks.read(session, webhook.id, owner=None)


def test_a_receiver_gets_the_event_signed(session, send, allowed, httpserver: HTTPServer):
    httpserver.expect_request("/hook", method="POST").respond_with_data("thanks")

    webhook, secret = send(httpserver.url_for("/hook"))

    [(request, _)] = httpserver.log
    body = Webhook(secret).verify(request.data, dict(request.headers))
    delivery, task, _ = outcome(session, webhook)
    assert body["type"] == "webhook.test"
    assert request.headers["webhook-id"] == str(delivery.id)
    assert (task.status, delivery.attempts[0]["status"]) == ("COMPLETED", 200)
    assert delivery.delivered_at is not None


def test_after_a_rotation_both_secrets_verify_and_no_other(session, send, allowed, httpserver: HTTPServer):
    httpserver.expect_request("/hook").respond_with_data("thanks")
    webhook, old = send(httpserver.url_for("/hook"))
    now = clock.utcnow()
    _, new = webhooks.rotate(session, webhook.id, owner=None, keys=(), now=now)
    delivery = webhooks.send_test(session, webhook.id, owner=None, now=now)
    session.commit()

    run(session, delivery.task_id)

    request = httpserver.log[-1][0]
    for secret in (old, new):
        Webhook(secret).verify(request.data, dict(request.headers))
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + "A" * 32).verify(request.data, dict(request.headers))


def test_a_receiver_that_is_down_is_tried_again(session, send, allowed):
    webhook, _ = send("http://127.0.0.1:9/hook")

    delivery, task, after = outcome(session, webhook)
    assert task.status == "RETRYING"
    assert "refused" in delivery.attempts[0]["error"].lower()
    assert after.failing_since is not None
    assert after.enabled


def test_a_receiver_that_answers_500_is_tried_again(session, send, allowed, httpserver: HTTPServer):
    httpserver.expect_request("/hook").respond_with_data("oh", status=500)

    webhook, _ = send(httpserver.url_for("/hook"))

    delivery, task, _ = outcome(session, webhook)
    assert (task.status, delivery.attempts[0]["status"]) == ("RETRYING", 500)


def test_a_receiver_that_answers_404_is_tried_again(session, send, allowed, httpserver: HTTPServer):
    httpserver.expect_request("/hook").respond_with_data("oh", status=404)

    webhook, _ = send(httpserver.url_for("/hook"))

    assert outcome(session, webhook)[1].status == "RETRYING"


def test_a_receiver_that_is_slow_is_tried_again(session, send, allowed, httpserver: HTTPServer, monkeypatch):
    import threading

    released = threading.Event()

    def wait(_):
        released.wait(10)
        return Response("late")

    httpserver.expect_request("/hook").respond_with_handler(wait)
    monkeypatch.setattr(handler, "SECONDS", 0.3)

    webhook, _ = send(httpserver.url_for("/hook"))
    released.set()

    delivery, task, _ = outcome(session, webhook)
    assert task.status == "RETRYING"
    assert "within 0.3 s" in delivery.attempts[0]["error"]


def test_a_redirect_to_a_private_address_is_not_followed(session, send, allowed, httpserver: HTTPServer):
    away = {"Location": "http://169.254.169.254/latest/meta-data"}
    httpserver.expect_request("/hook").respond_with_response(Response(status=302, headers=away))

    webhook, _ = send(httpserver.url_for("/hook"))

    delivery, task, _ = outcome(session, webhook)
    assert (task.status, delivery.attempts[0]["status"]) == ("RETRYING", 302)
    assert len(httpserver.log) == 1


def test_a_private_address_is_refused_for_good(session, send, monkeypatch):
    monkeypatch.delenv("OUTBOUND_ALLOW", raising=False)

    webhook, _ = send("http://127.0.0.1:9/hook")

    delivery, task, _ = outcome(session, webhook)
    assert task.status == "FAILED"
    assert "private" in delivery.attempts[0]["error"]


def test_a_receiver_that_is_gone_is_disabled(session, send, allowed, httpserver: HTTPServer):
    httpserver.expect_request("/hook").respond_with_data("", status=410)

    webhook, _ = send(httpserver.url_for("/hook"))

    _, task, after = outcome(session, webhook)
    assert task.status == "FAILED"
    assert (after.enabled, after.disabled_reason) == (False, "it answered 410 Gone")


def test_a_webhook_that_has_failed_for_days_is_disabled(session, send, allowed):
    webhook, _ = send("http://127.0.0.1:9/hook", failing_since=clock.utcnow() - timedelta(days=6))

    _, _, after = outcome(session, webhook)
    assert not after.enabled
    assert "every attempt failed" in after.disabled_reason


def test_a_success_forgets_past_failures(session, send, allowed, httpserver: HTTPServer):
    httpserver.expect_request("/hook").respond_with_data("thanks")

    webhook, _ = send(httpserver.url_for("/hook"), failing_since=clock.utcnow() - timedelta(days=6))

    assert outcome(session, webhook)[2].failing_since is None


def test_a_delivery_for_a_webhook_disabled_meanwhile_is_not_made(session, send, allowed, httpserver: HTTPServer):
    webhook, _ = send(httpserver.url_for("/hook"), enabled=True)
    sent = len(httpserver.log)
    delivery = webhooks.send_test(session, webhook.id, owner=None, now=clock.utcnow())
    webhooks.change(session, webhook.id, {"enabled": False}, owner=None, now=clock.utcnow())
    session.commit()

    run(session, delivery.task_id)

    assert (read_task(session, delivery.task_id).status, len(httpserver.log)) == ("FAILED", sent)


def test_sending_again_uses_the_same_id(session, send, allowed, httpserver: HTTPServer):
    httpserver.expect_request("/hook").respond_with_data("", status=410)
    webhook, _ = send(httpserver.url_for("/hook"))
    webhooks.change(session, webhook.id, {"enabled": True}, owner=None, now=clock.utcnow())
    [delivery], _ = webhooks.find_deliveries(session, webhook.id, owner=None, before=None, limit=5)
    again = webhooks.send_again(session, webhook.id, delivery.id, owner=None, now=clock.utcnow())
    session.commit()

    run(session, again.task_id)

    ids = {request.headers["webhook-id"] for request, _ in httpserver.log}
    assert (len(httpserver.log), ids) == (2, {str(delivery.id)})
    assert len(outcome(session, webhook)[0].attempts) == 2


def test_a_task_that_was_not_made_for_it_sends_nothing(session, send, allowed, httpserver: HTTPServer):
    from tests.support.factories import make_task

    httpserver.expect_request("/hook").respond_with_data("thanks")
    webhook, _ = send(httpserver.url_for("/hook"))
    [delivery], _ = webhooks.find_deliveries(session, webhook.id, owner=None, before=None, limit=5)
    intruder = make_task(session, type="webhook_delivery", payload={"delivery_id": str(delivery.id)}, owner_id=None)
    session.commit()

    run(session, intruder.id)

    assert (read_task(session, intruder.id).status, len(httpserver.log)) == ("FAILED", 1)


def test_a_callback_is_signed_with_the_accounts_secret_once_there_is_one(session, owner_id, allowed, httpserver):
    from app.models import new_id

    httpserver.expect_request("/done").respond_with_data("thanks")
    now = clock.utcnow()
    secret, _ = webhooks.rotate_account(session, owner_id, keys=(), now=now)
    delivery_id, task_id = new_id(), new_id()
    session.execute(
        sa.text(
            "INSERT INTO webhook_deliveries (id, owner_id, position, event, url, body, task_id, created_at) "
            "VALUES (:id, :owner, 1, 'task.completed', :url, CAST(:body AS jsonb), :task, :now)"
        ),
        {
            "id": delivery_id,
            "owner": owner_id,
            "url": httpserver.url_for("/done"),
            "body": json.dumps({"type": "task.completed"}),
            "task": task_id,
            "now": now,
        },
    )
    from tests.support.factories import make_task

    make_task(session, id=task_id, type="webhook_delivery", payload={"delivery_id": str(delivery_id)})
    session.commit()

    run(session, task_id)

    [(request, _)] = httpserver.log
    assert Webhook(secret).verify(request.data, dict(request.headers)) == {"type": "task.completed"}
