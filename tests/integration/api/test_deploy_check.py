"""/deploy-check: what a new release would break."""

import pytest
import sqlalchemy as sa

from app.models import Status
from tests.support.remote import declare, submit

PATH = "/api/v1/deploy-check"
NARROW = {"type": "object", "properties": {"size": {"enum": ["s"]}}, "required": ["size"]}


def test_what_the_release_refuses_is_told_with_its_path(client, store):
    task = store(type="acme.resize", payload={"size": "secret"}, schema_hash="aaaaaaaaaaaa")
    store(type="acme.resize", payload={"size": "secret"}, status=Status.COMPLETED)

    answer = client.post(PATH, json={"types": {"acme.resize": {"schema": NARROW}}})

    assert answer.status_code == 200
    [finding] = answer.json["findings"]
    assert (finding["kind"], finding["problem"], finding["count"]) == ("task", "refused", 1)
    assert finding["samples"][0]["id"] == str(task.id)
    assert [(path["path"], path["count"]) for path in finding["paths"]] == [("payload.size", 1)]
    assert answer.json["clean"] is False
    assert "secret" not in answer.text


def test_a_check_stands_in_the_audit_log(client, session):
    client.post(PATH, json={"types": {"acme.resize": {"schema": NARROW}}})

    entries = session.execute(sa.text("SELECT action, detail FROM audit_log")).all()
    assert ("release.checked", {"types": 1, "findings": 0}) in [tuple(each) for each in entries]


def test_remote_types_are_of_no_release_and_stay(client):
    declare(client)
    submit(client)

    assert client.post(PATH, json={"types": {"acme.resize": {"schema": NARROW}}}).json["clean"]


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "strin"}, "is no JSON Schema that can be used"),
        ({"pattern": "("}, "is no JSON Schema that can be used"),
        ({"$ref": "http://127.0.0.1:1/schema.json"}, "nothing is fetched"),
        ({"$ref": "file:///etc/passwd"}, "nothing is fetched"),
        ("text", "is no JSON Schema that can be used"),
    ],
    ids=["no type", "no pattern", "elsewhere", "a file", "no object"],
)
def test_what_is_no_schema_of_its_own_is_refused_with_its_place(client, schema, said):
    answer = client.post(PATH, json={"types": {"acme.resize": {"schema": schema}}})

    assert answer.status_code == 422
    [message] = answer.json["errors"]["types"]["acme.resize"]["schema"]
    assert said in message


def test_a_pattern_that_never_ends_is_given_up(client, store):
    store(type="acme.resize", payload="a" * 5_000 + "!", schema_hash="aaaaaaaaaaaa")
    schema = {"pattern": r"^(?=(a+)+$)\w*\1b$"}

    answer = client.post(PATH, json={"types": {"acme.resize": {"schema": schema}}})

    assert answer.status_code == 200
    assert answer.json["findings"][0]["count"] == 1


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"types": []},
        {"types": {"a": {}}},
        {"types": {}, "only": [""]},
        {"types": {"a": {"schema": {}, "upgrade": ["x"]}}},
    ],
    ids=["nothing", "a list", "no schema", "an empty name", "no hash"],
)
def test_what_is_no_release_is_refused(client, body):
    assert client.post(PATH, json=body).status_code == 422
