"""What of a body arrives as it was submitted, from the API's request over the row to the wire."""

import base64
import json
from uuid import UUID

import pytest
import sqlalchemy as sa
from pytest_httpserver import HTTPServer

from tests.support.factories import read_task
from tests.support.servers.attempts import run_attempt

JSON_TEXT = '{"$type": "Order",  "id": 1.0, "e": 1e2, "big": 12345678901234567890.10, "id": 2, "\\u00e9": "é😀\\r\\n"}'


@pytest.fixture
def sent(client, session, httpserver: HTTPServer, monkeypatch):
    """Submit an http_request whose further fields are this JSON text, and run it; the type and the body that arrive."""
    monkeypatch.setenv("OUTBOUND_ALLOW", "127.0.0.1")
    httpserver.expect_request("/").respond_with_data("ok")

    def submitted(fields: str) -> tuple[str, bytes]:
        payload = f'{{"url": "http://127.0.0.1:{httpserver.port}/", "method": "POST", {fields}}}'
        body = f'{{"type": "http_request", "payload": {payload}}}'
        answer = client.post("/api/v1/tasks", data=body.encode(), content_type="application/json")
        assert answer.status_code == 201, answer.text
        task_id = UUID(answer.json["id"])
        session.execute(sa.text("UPDATE tasks SET dispatched_at = now() WHERE dispatched_at IS NULL"))
        session.commit()
        run_attempt("http_request", task_id)
        session.rollback()
        assert read_task(session, task_id).status == "COMPLETED"
        arrived = httpserver.log[0][0]
        return arrived.headers["Content-Type"], arrived.get_data()

    return submitted


def test_a_text_arrives_byte_for_byte_with_the_type_that_was_given(sent):
    kind, body = sent(f'"headers": {{"Content-Type": "application/json"}}, "body": {json.dumps(JSON_TEXT)}')

    assert body == JSON_TEXT.encode()
    assert kind == "application/json"


def test_bytes_arrive_as_they_were_given_in_base64(sent):
    every = bytes(range(256))

    kind, body = sent(f'"body_encoding": "base64", "body": "{base64.b64encode(every).decode()}"')

    assert body == every
    assert kind == "application/octet-stream"


def test_json_keeps_its_values_and_loses_what_the_documents_say(sent):
    _, body = sent('"body": {"$type": "Order", "id": 1e2, "amount": 1.50}')

    assert json.loads(body) == {"$type": "Order", "id": 100, "amount": 1.5}
    assert body.startswith(b'{"id":100')
