"""Starting runs by hand, and JSON typed into forms: read as strictly as by the API, never a fault of ours."""

from uuid import uuid4

import pytest
import sqlalchemy as sa

from tests.integration.api.access_table import World, workflow
from tests.integration.dashboard.conftest import send
from tests.support.people import make_person


@pytest.fixture
def named(session, database_url, log_in):
    """The page of a workflow of somebody's, and its path."""
    owner = make_person(database_url)
    name = workflow(World(session=session, database_url=database_url, owner=owner))["name"]
    session.commit()
    return log_in(owner), f"/workflows/{name}"


@pytest.mark.parametrize("text", ["{", "[1]", "[" * 100_000, '{"a": NaN}', '{"a": "\\u0000"}', '{"a": "\\ud800"}',
                                  '{"a": 1e999}', '{"\\u0000": 1}', '{"a": ' + "9" * 5000 + "}"])  # fmt: skip
def test_an_input_that_cannot_be_kept_is_refused_with_a_reason(named, text):
    page, path = named

    answer = send(page, f"{path}/runs", input=text)

    assert answer.status_code == 422
    assert 'role="alert"' in answer.text


@pytest.mark.parametrize("number", ["0", "-1", "99999999999999999999", "x"])
def test_a_version_that_cannot_be_is_not_a_fault_of_the_service(named, number):
    page, path = named

    assert page.get(f"{path}?version={number}").status_code in (200, 404)


def test_a_form_that_is_sent_twice_starts_one_run(named, session):
    page, path = named
    key = str(uuid4())

    first, second = (send(page, f"{path}/runs", input="{}", key=key) for _ in range(2))

    assert first.status_code == second.status_code == 302
    assert first.location == second.location
    assert session.execute(sa.text("SELECT count(*) FROM workflow_runs")).scalar_one() == 1


@pytest.mark.parametrize("text", ["[" * 100_000, "[" * 500 + "]" * 500, "{", "NaN", '"\\u0000"'])
def test_a_payload_typed_as_json_that_the_api_refuses_is_refused_here(page, text):
    answer = send(page, "/submit/reverse_string", mode="json", payload_json=text)

    assert answer.status_code == 422
