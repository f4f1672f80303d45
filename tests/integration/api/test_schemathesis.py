"""POST /tasks takes all that its OpenAPI document says; tests/acceptance/test_api_contract.py asks the rest."""

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from tests.support.people import Person


@pytest.fixture
def operation(application: Flask):
    return schemathesis.openapi.from_wsgi("/openapi.json", application)["/api/v1/tasks"]["POST"]


@given(data=st.data())
@settings(
    max_examples=25,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate, Phase.shrink],  # explaining traces every line and makes requests ten times slower
)
def test_what_fits_the_document_is_accepted(operation: schemathesis.APIOperation, admin: Person, data: st.DataObject):
    case = data.draw(operation.as_strategy())
    assume("expires_at" not in case.body)  # that it must be in the future is more than a schema can say
    # That an id is of this moment, and that a task type names a queue, no schema can say.
    case.body.pop("id", None)
    case.body.pop("queue", None)
    case.headers.clear()  # an Idempotency-Key that was used before is answered with 200, or refused
    case.headers.update(admin.headers)

    answer = case.call()

    # A rule across the fields of a payload is more than a schema can say, too; its refusals are named _schema.
    assume(answer.status_code < 300 or "_schema" not in answer.text)
    # Its like may be there already, if the submission asks for that.
    assert answer.status_code in ((200, 201) if case.body.get("unique") else (201,)), answer.text
