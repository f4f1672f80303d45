"""/task-types: what can be submitted."""

from flask.testing import FlaskClient

from taskledger_sdk.registry import load_types
from tests.integration.api.conftest import Submit


def test_every_type_is_listed_with_what_a_client_needs(client: FlaskClient):
    answer = client.get("/api/v1/task-types").json

    assert [each["name"] for each in answer["items"]] == sorted(
        name for name, each in load_types().items() if not each.internal
    )
    for each in answer["items"]:
        assert each["summary"]
        assert each["payload"]
        assert each["examples"]
        assert each["limits"]["timeout_seconds"] <= each["limits"]["longest_timeout_seconds"]
        assert set(each["retry"]) == {"max_retries", "base_seconds", "factor", "cap_seconds"}


def test_one_type_is_read_as_it_is_listed(client: FlaskClient):
    listed = client.get("/api/v1/task-types").json["items"]

    assert [client.get(f"/api/v1/task-types/{each['name']}").json for each in listed] == listed


def test_an_unknown_type_is_404_and_names_the_nearest(client: FlaskClient):
    answer = client.get("/api/v1/task-types/reverse")

    assert answer.status_code == 404
    assert "reverse_string" in answer.json["detail"]


def test_every_example_is_accepted(submit: Submit):
    for name, task_type in load_types().items():
        for example in () if task_type.internal else task_type.examples:
            assert submit(name, example)["payload"] == example
