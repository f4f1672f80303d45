"""mher/flower: the tasks of its examples/ folder, called as its guide and its API do."""

import re
from typing import Any

import pytest
from celery import chain, group

from benchmarks.public.application import SUITE_SECONDS, public_app


@pytest.fixture(scope="module")
def app() -> Any:
    return public_app()


def test_add(app: Any) -> None:
    assert app.tasks["tasks.add"].delay(1, 2).get(timeout=SUITE_SECONDS) == 3


def test_add_by_name(app: Any) -> None:
    assert app.send_task("tasks.add", args=[1], kwargs={"y": 2}).get(timeout=SUITE_SECONDS) == 3


def test_add_in_a_chain_and_a_group(app: Any) -> None:
    add = app.tasks["tasks.add"]
    canvas = chain(add.s(1, 1), group(add.s(1), add.s(2)))

    assert canvas().get(timeout=SUITE_SECONDS) == [3, 4]


def test_sleep_in_two_seconds(app: Any) -> None:
    result = app.tasks["tasks.sleep"].apply_async((0.1,), countdown=2)

    assert (result.get(timeout=SUITE_SECONDS), result.state) == (None, "SUCCESS")


def test_sleep_that_is_terminated(app: Any) -> None:
    result = app.tasks["tasks.sleep"].delay(30)
    app.control.revoke(result.id, terminate=True)

    error = result.get(timeout=SUITE_SECONDS, propagate=False)
    assert (result.state, type(error).__name__) == ("REVOKED", "TaskRevokedError")


@pytest.mark.parametrize("message", ["hello", "håå®ƒ valmuefrø", "", [1, {"a": None}]])
def test_echo(app: Any, message: Any) -> None:
    echo = app.tasks["tasks.echo"]

    assert echo.delay(message).get(timeout=SUITE_SECONDS) == message
    assert re.match(r"\d{4}-.*: ", echo.delay(message, timestamp=True).get(timeout=SUITE_SECONDS))


@pytest.mark.parametrize("message", ["broken", "", None])
def test_error(app: Any, message: Any) -> None:
    result = app.tasks["tasks.error"].delay(message)
    error = result.get(timeout=SUITE_SECONDS, propagate=False)

    assert (result.state, type(error), error.args) == ("FAILURE", Exception, (message,))
    assert result.traceback is None or "raise Exception(msg)" in result.traceback


def test_wrong_arguments(app: Any) -> None:
    with pytest.raises(TypeError):
        app.tasks["tasks.add"].delay(1)
