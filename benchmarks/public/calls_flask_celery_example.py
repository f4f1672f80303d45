"""miguelgrinberg/flask-celery-example: its page is asked for as a browser does, and its tasks are called."""

import importlib
import time
from typing import Any

import pytest

from benchmarks.public.application import SUITE_SECONDS, public_app

SUBJECT = {"subject": "Hello", "to": "somebody@example.com", "body": "A mail that has no server."}


@pytest.fixture(scope="module")
def app() -> Any:
    return public_app()


@pytest.fixture
def page() -> Any:
    public_app()
    return importlib.import_module("app").app.test_client()


def test_the_page_shows_the_states_and_the_result_of_a_long_task(page: Any) -> None:
    started = page.post("/longtask")
    seen = []
    while not seen or seen[-1]["state"] in ("PENDING", "PROGRESS"):
        answer = page.get(started.headers["Location"])
        assert answer.status_code == 200, answer.text
        seen.append(answer.get_json())
        time.sleep(0.1)

    assert started.status_code == 202
    assert {each["state"] for each in seen} <= {"PENDING", "PROGRESS", "SUCCESS"}
    assert {each["total"] for each in seen if each["state"] == "PROGRESS"} - {1}
    assert [seen[-1][name] for name in ("state", "current", "status", "result")] == [
        "SUCCESS", 100, "Task completed!", 42,
    ]  # fmt: skip


def test_update_state_is_seen_with_its_meta(app: Any) -> None:
    result = app.tasks["app.long_task"].apply_async()
    while result.state != "PROGRESS":
        time.sleep(0.1)

    assert {"current", "total", "status"} == set(result.info)
    result.revoke(terminate=True)


def test_a_mail_that_cannot_be_sent_fails_with_its_own_error(app: Any) -> None:
    result = app.tasks["app.send_async_email"].delay(SUBJECT)
    error = result.get(timeout=SUITE_SECONDS, propagate=False)

    assert (result.state, type(error).__name__) == ("FAILURE", "ConnectionRefusedError")


def test_a_mail_for_later_waits(app: Any) -> None:
    result = app.tasks["app.send_async_email"].apply_async(args=[SUBJECT], countdown=3)
    time.sleep(1)

    assert result.state == "PENDING"
    assert type(result.get(timeout=SUITE_SECONDS, propagate=False)).__name__ == "ConnectionRefusedError"


def test_a_result_of_an_unknown_id_is_pending(page: Any) -> None:
    assert page.get("/status/nobody").get_json()["state"] == "PENDING"
