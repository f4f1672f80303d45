"""Secrets in payloads: kept for the handler, never shown, wherever a task is shown."""

import sqlalchemy as sa
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from app.models import Task
from tests.integration.api.conftest import TASKS

PAYLOAD = {"url": "https://api.example.org/?token=hidden-1", "headers": {"Authorization": "Bearer hidden-2"}}


def test_secrets_of_a_payload_are_shown_nowhere_and_kept_for_the_handler(client: FlaskClient, session: Session):
    made = client.post(TASKS, json={"type": "http_request", "payload": PAYLOAD})
    path = made.headers["Location"]

    answers = [made, client.get(path), client.get(TASKS), client.post(f"{path}/cancel"), client.post(f"{path}/retry")]

    assert [answer.status_code for answer in answers] == [201, 200, 200, 200, 200]
    assert not any("hidden" in answer.text for answer in answers)
    assert made.json["payload"]["headers"] == {"Authorization": "[redacted]"}
    assert session.execute(sa.select(Task.payload)).scalar_one() == PAYLOAD
