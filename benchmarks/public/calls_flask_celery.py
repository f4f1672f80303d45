"""testdrivenio/flask-celery: its one task, beside the tests that the project has itself."""

from typing import Any

import pytest

from benchmarks.public.application import SUITE_SECONDS, public_app


@pytest.fixture(scope="module")
def app() -> Any:
    return public_app()


@pytest.mark.parametrize("kind", [0, "0", 1])
def test_create_task(app: Any, kind: Any) -> None:
    result = app.tasks["create_task"].delay(kind)

    assert (result.get(timeout=SUITE_SECONDS), result.state) == (True, "SUCCESS")


def test_create_task_with_what_is_no_number(app: Any) -> None:
    result = app.tasks["create_task"].delay("many")

    assert isinstance(result.get(timeout=SUITE_SECONDS, propagate=False), ValueError)
    assert result.state == "FAILURE"
