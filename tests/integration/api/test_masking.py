"""Secrets in payloads: kept for the handler, never shown, wherever a task is shown."""

import sqlalchemy as sa
from flask.testing import FlaskClient

from app.database import Session
from app.models import Schedule, Task
from tests.integration.api.conftest import TASKS

PAYLOAD = {"url": "https://api.example.org/?token=hidden-1", "headers": {"Authorization": "Bearer hidden-2"}}


def test_secrets_of_a_definition_are_shown_nowhere(client: FlaskClient):
    url = {"$text": ["https://api.example.org/?token=hidden-1&id=", {"$from": "input.id"}]}
    definition = {
        "input": {"id": {"type": "string", "default": "1"}, "api_key": {"type": "string", "default": "hidden-2"}},
        "steps": {"a": {"type": "http_request", "payload": {"url": url}}},
    }

    made = client.post("/api/v1/workflows", json={"name": "a", "definition": definition})
    sent_back = client.patch("/api/v1/workflows/a", json={"definition": made.json["definition"]})

    assert (made.status_code, "hidden" in made.text) == (201, False)
    assert made.json["definition"]["input"]["id"]["default"] == "1"
    assert (sent_back.status_code, sent_back.text.count("send the secret itself")) == (422, 2)


def test_a_url_that_refers_to_a_secret_is_shown_as_it_is_written(client: FlaskClient):
    url = {"$text": ["https://api.example.org/?token=", {"$from": "input.token"}]}
    definition = {"steps": {"a": {"type": "http_request", "payload": {"url": url}}}}

    made = client.post("/api/v1/workflows", json={"name": "a", "definition": definition})

    assert made.json["definition"] == definition


def test_secrets_of_a_payload_are_shown_nowhere_and_kept_for_the_handler(client: FlaskClient, session: Session):
    made = client.post(TASKS, json={"type": "http_request", "payload": PAYLOAD})
    path = made.headers["Location"]

    answers = [made, client.get(path), client.get(TASKS), client.post(f"{path}/cancel"), client.post(f"{path}/retry")]

    assert [answer.status_code for answer in answers] == [201, 200, 200, 200, 200]
    assert not any("hidden" in answer.text for answer in answers)
    assert made.json["payload"]["headers"] == {"Authorization": "[redacted]"}
    assert session.execute(sa.select(Task.payload)).scalar_one() == PAYLOAD


def test_secrets_of_a_schedules_task_are_shown_nowhere_and_kept_for_its_tasks(client: FlaskClient, session: Session):
    task = {"type": "http_request", "payload": PAYLOAD, "callback_url": "https://example.org/done?token=hidden-3"}

    made = client.post("/api/v1/schedules", json={"cron": "0 7 * * *", "task": task})
    path = made.headers["Location"]
    answers = [made, client.get(path), client.get("/api/v1/schedules"), client.patch(path, json={"name": "daily"})]

    assert [answer.status_code for answer in answers] == [201, 200, 200, 200]
    assert not any("hidden" in answer.text for answer in answers)
    assert made.json["task"]["callback_url"] == "https://example.org/done?token=[redacted]"
    assert session.execute(sa.select(Schedule.target)).scalar_one()["task"] == task
