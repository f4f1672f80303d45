"""Bad input: a problem that says what is wrong and where, and nothing stored."""

from io import BytesIO
from typing import Any

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.database import Session
from app.errors import flatten
from tests.integration.api.conftest import TASKS

GOOD: dict[str, Any] = {"type": "reverse_string", "payload": "hello world"}


def expect_problem(answer: TestResponse, status: int, code: str) -> dict[str, Any]:
    """Return the body of a problem. Raises AssertionError unless the answer is this one, in the form of RFC 9457."""
    assert answer.status_code == status, answer.text
    assert answer.mimetype == "application/problem+json"
    assert set(answer.json) == {"type", "title", "status", "detail", "code", "errors"}
    assert (answer.json["status"], answer.json["code"]) == (status, code)
    return dict(answer.json)


@pytest.fixture(autouse=True)
def nothing_is_stored(client: FlaskClient, session: Session):
    """Whatever a test of this module sends, no task comes of it."""
    yield
    assert session.scalar(sa.text("SELECT count(*) FROM tasks")) == 0


def test_an_unknown_type_is_told_which_there_are_and_which_is_near(client: FlaskClient):
    problem = expect_problem(client.post(TASKS, json=GOOD | {"type": "revers_string"}), 422, "unknown_task_type")

    assert "did you mean 'reverse_string'" in problem["detail"]
    assert "fibonacci_calc" in problem["detail"]
    assert "webhook_delivery" not in problem["detail"]  # which nobody but the service may submit
    assert list(problem["errors"]) == ["type"]


@pytest.mark.parametrize(
    ("body", "path", "said"),
    [
        ({"payload": 5}, "payload", "must be a string"),
        ({"payload": None}, "payload", "must not be null"),
        ({"payload": "x" * 100_001}, "payload", "100000"),
        ({"type": "fibonacci_calc", "payload": "10"}, "payload", "must be a whole number"),
        ({"type": "fibonacci_calc", "payload": True}, "payload", "must be a whole number"),
        ({"type": "fibonacci_calc", "payload": 1001}, "payload", "1000"),
        ({"type": "fibonacci_calc", "payload": -1}, "payload", "0"),
    ],
)
def test_a_refused_payload_is_named_by_its_path(client: FlaskClient, body: dict[str, Any], path: str, said: str):
    problem = expect_problem(client.post(TASKS, json=GOOD | body), 422, "payload_refused")

    [(where, message)] = flatten(problem["errors"])
    assert where == path
    assert said in message


@pytest.mark.parametrize(
    ("fields", "path", "said"),
    [
        ({"paylaod": 1}, "paylaod", "did you mean payload?"),
        ({"zone": "x"}, "zone", "known: type, payload"),
        ({"status": "COMPLETED"}, "status", "read-only"),
        ({"id": "1"}, "id", "must be a UUID of version 7"),
        ({"type": 5}, "type", "must be a string"),
        ({"name": ""}, "name", "1 to 200"),
        ({"name": "x" * 201}, "name", "1 to 200"),
        ({"name": 5}, "name", "must be a string"),
        ({"priority": "urgent"}, "priority", "high"),
        ({"priority": None}, "priority", "must not be null"),
        ({"max_retries": -1}, "max_retries", "0 to 100"),
        ({"max_retries": "3"}, "max_retries", "whole number"),
        ({"timeout": 0}, "timeout", "1 to 604800"),
        ({"timeout": 604_801}, "timeout", "1 to 604800"),
        ({"timeout": 1.5}, "timeout", "without a fraction"),
        ({"labels": []}, "labels", "must be an object"),
        ({"labels": {"a b": "c"}}, "labels.a b", "its name"),
        ({"labels": {"a:b": "c"}}, "labels.a:b", "its name"),
        ({"labels": {"a": 5}}, "labels.a", "must be a string"),
        ({"labels": {"a": "x" * 257}}, "labels.a", "256"),
        ({"labels": {f"k{n}": "" for n in range(33)}}, "labels", "at most 32"),
        ({"scheduled_at": "2026-01-01"}, "scheduled_at", "offset"),
        ({"scheduled_at": "2026-01-01T00:00:00"}, "scheduled_at", "offset"),
        ({"scheduled_at": "2026-02-30T00:00:00Z"}, "scheduled_at", "moment"),
        ({"scheduled_at": 1_700_000_000}, "scheduled_at", "moment"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at", "in the future"),
        (
            {"scheduled_at": "2100-01-02T00:00:00Z", "expires_at": "2100-01-01T00:00:00Z"},
            "expires_at",
            "later than scheduled_at",
        ),
    ],
)
def test_a_refused_field_is_named_by_its_path(client: FlaskClient, fields: dict[str, Any], path: str, said: str):
    problem = expect_problem(client.post(TASKS, json=GOOD | fields), 422, "validation_failed")

    [(where, message)] = flatten(problem["errors"])
    assert where == path
    assert said in message
    assert message[:40] in problem["detail"]


def test_all_refused_fields_are_listed(client: FlaskClient):
    body = GOOD | {"name": 5, "priority": "x", "timeout": -1, "max_retries": -1, "foo": 1}

    problem = expect_problem(client.post(TASKS, json=body), 422, "validation_failed")

    assert set(problem["errors"]) == {"name", "priority", "timeout", "max_retries", "foo"}
    assert "2 more" in problem["detail"]


@pytest.mark.parametrize("body", [b"[{}]", b'"text"', b"5", b"null", b"true"])
def test_a_body_that_is_no_object_is_refused(client: FlaskClient, body: bytes):
    answer = client.post(TASKS, data=body, content_type="application/json")

    problem = expect_problem(answer, 422, "validation_failed")

    assert problem["detail"].startswith("Must be an object, not ")


@pytest.mark.parametrize("missing", ["type", "payload"])
def test_a_missing_field_is_named(client: FlaskClient, missing: str):
    body = {name: value for name, value in GOOD.items() if name != missing}

    problem = expect_problem(client.post(TASKS, json=body), 422, "validation_failed")

    assert problem["errors"][missing][0].startswith("is missing")


@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"type": "reverse_string", "payload": NaN}', b'{"payload": 1e999}', b"\xfe", b"[" * 1000]
)
def test_malformed_json_is_400(client: FlaskClient, body: bytes):
    expect_problem(client.post(TASKS, data=body, content_type="application/json"), 400, "malformed_request")


@pytest.mark.parametrize("media_type", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_another_media_type_is_415(client: FlaskClient, media_type: str | None):
    problem = expect_problem(client.post(TASKS, data=b"{}", content_type=media_type), 415, "unsupported_media_type")

    assert "application/json" in problem["detail"]


def test_a_body_over_the_limit_is_413(client: FlaskClient):
    body = GOOD | {"payload": "x" * 1_048_576}

    problem = expect_problem(client.post(TASKS, json=body), 413, "body_too_large")

    assert "1048576 bytes" in problem["detail"]


def test_a_body_over_the_limit_that_does_not_tell_its_length_is_413(client: FlaskClient):
    body = BytesIO(b'"' + b"x" * 2_000_000 + b'"')

    answer = client.post(
        TASKS,
        input_stream=body,
        content_type="application/json",
        headers={"Transfer-Encoding": "chunked"},
        environ_overrides={"wsgi.input_terminated": True, "CONTENT_LENGTH": ""},
    )

    expect_problem(answer, 413, "body_too_large")


@pytest.mark.parametrize("text", ["a\\u0000b", "\\ud800", "\\udc00\\ud800"])
@pytest.mark.parametrize(
    ("template", "path"),
    [
        ('{"type": "reverse_string", "payload": "TEXT"}', "payload"),
        ('{"type": "reverse_string", "payload": "x", "name": "TEXT"}', "name"),
        ('{"type": "reverse_string", "payload": "x", "labels": {"a": "TEXT"}}', "labels.a"),
        ('{"type": "TEXT", "payload": "x"}', "type"),
    ],
)
def test_text_that_postgresql_cannot_store_is_422(client: FlaskClient, template: str, path: str, text: str):
    body = template.replace("TEXT", text)

    problem = expect_problem(
        client.post(TASKS, data=body.encode(), content_type="application/json"), 422, "validation_failed"
    )

    assert [where for where, _ in flatten(problem["errors"])] == [path]


@pytest.mark.parametrize("id_", ["018f3c5e-7d2a-7000-8000-0123456789ab", "nonsense", "1", "018f3c5e7d2a70008000"])
@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_an_unknown_id_is_404(client: FlaskClient, method: str, id_: str):
    body = {"json": {"name": "x"}} if method == "PATCH" else {}

    expect_problem(client.open(f"{TASKS}/{id_}", method=method, **body), 404, "not_found")


def test_an_unknown_path_is_404(client: FlaskClient):
    assert "/openapi.json" in expect_problem(client.get("/api/v1/task"), 404, "not_found")["detail"]


def test_a_method_that_is_not_there_is_405_and_says_which_are(client: FlaskClient):
    answer = client.put(TASKS, json=GOOD)

    expect_problem(answer, 405, "method_not_allowed")
    assert {"GET", "POST"} <= set(answer.headers["Allow"].split(", "))


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=201",
        "limit=many",
        "status=done",
        "status=PENDING,done",
        "type=-no-type",
        "label=team",
        "label=:x",
        "created_after=yesterday",
        "q=",
        "cursor=abc",
        "cursor=",
        "page=2",
    ],
)
def test_a_bad_query_parameter_is_422_and_named(client: FlaskClient, query: str):
    problem = expect_problem(client.get(f"{TASKS}?{query}"), 422, "validation_failed")

    assert list(problem["errors"]) == [query.split("=")[0]]


@pytest.mark.parametrize("wait", ["-1", "61", "nan", "soon"])
def test_a_bad_wait_is_422(client: FlaskClient, wait: str):
    expect_problem(client.get(f"{TASKS}/018f3c5e-7d2a-7000-8000-0123456789ab?wait={wait}"), 422, "validation_failed")
