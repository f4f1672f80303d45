"""/openapi.json and /docs: the contract is complete and comes from here alone."""

import re
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.api.docs import MAX_LISTED
from taskledger_sdk.registry import load_types

NO_RESOURCES = {"/openapi.json", "/docs", "/docs/assets/{filename}"}


@pytest.fixture
def document(client: FlaskClient) -> dict[str, Any]:
    return dict(client.get("/openapi.json").json)


def operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    methods = ("get", "post", "put", "patch", "delete")
    return [
        (f"{method.upper()} {path}", item[method])
        for path, item in document["paths"].items()
        for method in methods
        if method in item
    ]


def test_it_is_openapi_3_1(document: dict[str, Any]):
    assert document["openapi"] == "3.1.0"


def test_every_route_is_documented(document: dict[str, Any], application: Flask):
    rules = [rule for rule in application.url_map.iter_rules() if not rule.endpoint.startswith("dashboard.")]
    routes = {re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule) for rule in rules}

    assert routes - NO_RESOURCES == set(document["paths"])


def test_every_operation_has_a_summary_and_an_error(document: dict[str, Any]):
    for name, operation in operations(document):
        assert operation["summary"].endswith("."), name
        assert operation["responses"]["default"] == {"$ref": "#/components/responses/DEFAULT_ERROR"}, name


def test_every_error_is_documented_as_a_problem(document: dict[str, Any]):
    for name, operation in operations(document):
        for status, documented in operation["responses"].items():
            response = documented
            if "$ref" in documented:
                response = document["components"]["responses"][documented["$ref"].rsplit("/", 1)[1]]
            if status == "default" or int(status) >= 400:
                assert list(response["content"]) == ["application/problem+json"], f"{name} {status}"


def test_a_submission_is_one_of_its_types(document: dict[str, Any]):
    schemas = document["components"]["schemas"]
    mapping = schemas["SubmitTask"]["discriminator"]["mapping"]

    assert list(mapping) == [name for name, each in load_types().items() if not each.internal]
    assert [each["$ref"] for each in schemas["SubmitTask"]["oneOf"]] == list(mapping.values())


def test_payloads_are_documented_as_task_types_tells_them(document: dict[str, Any], client: FlaskClient):
    schemas = document["components"]["schemas"]
    mapping = schemas["SubmitTask"]["discriminator"]["mapping"]

    for each in client.get("/api/v1/task-types").json["items"]:
        documented = schemas[mapping[each["name"]].rsplit("/", 1)[1]]["properties"]["payload"]
        assert documented == without_long_lists(each["payload"])


def without_long_lists(schema: Any) -> Any:
    """A schema without the names of all time zones: docs/decisions/0033-the-document-is-what-generators-take.md."""
    if isinstance(schema, list):
        return [without_long_lists(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: without_long_lists(below)
        for name, below in schema.items()
        if not (name == "enum" and isinstance(below, list) and len(below) > MAX_LISTED)
    }


def test_nothing_refers_to_what_is_not_there(document: dict[str, Any]):
    for reference in re.findall(r"'\$ref': '#/([^']+)'", str(document)):
        found: Any = document
        for part in reference.split("/"):
            found = found[part]


def test_the_page_asks_no_other_host(client: FlaskClient):
    page = client.get("/docs")

    assert page.status_code == 200
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    assert not re.search(r"(src|href)=\"(https?:)?//", page.text)
    assert "<script>" not in page.text


def test_what_the_page_needs_is_served(client: FlaskClient):
    for path in re.findall(r"(?:src|href)=\"([^\"]+)\"", client.get("/docs").text):
        with client.get(path) as answer:
            assert answer.status_code == 200, path
