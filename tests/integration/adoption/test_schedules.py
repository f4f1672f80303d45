"""`tledger adopt schedules`: the beat_schedule of an application, as schedules of a service."""

import os
import subprocess
import sys
import textwrap

import pytest
import requests

from app.services.remote.known import TYPES
from taskledger_sdk.celery.payloads import payload_schema, type_name

APPLICATION = """
    from datetime import date, timedelta

    from celery import Celery
    from celery.schedules import BaseSchedule, crontab


    class solar(BaseSchedule):
        "Celery's own needs the package ephem."


    app = Celery("shop", broker="memory://")
    app.conf.timezone = "America/Lima"
    app.conf.task_routes = {"shop.clean": {"queue": "slow"}}
    app.conf.beat_schedule = {
        "every night: at 2 and 3": {
            "task": "shop.report", "schedule": crontab(30, "2,3", day_of_week="monday-friday"),
            "args": (1, date(2026, 1, 2)), "kwargs": {"to": "ann"},
        },
        "often": {"task": "shop.report", "schedule": timedelta(minutes=5), "options": {"priority": 9}},
        "slowly": {"task": "shop.report", "schedule": 3600, "options": {"queue": "slow", "headers": {"tenant": "a"}}},
        "3/day": {"task": "shop.report", "schedule": timedelta(hours=8)},
        "dawn": {"task": "shop.report", "schedule": solar()},
    }


    @app.task(name="shop.report")
    def report(*args, **kwargs): ...
"""


@pytest.fixture
def apply(tmp_path, api_url, admin):
    """Run the command beside the application."""
    (tmp_path / "shop.py").write_text(textwrap.dedent(APPLICATION), encoding="utf-8")
    environment = {**os.environ, "TASKLEDGER_URL": api_url, "TASKLEDGER_API_KEY": admin.key}
    command = [sys.executable, "-m", "taskledger_sdk.cli", "adopt", "schedules", "shop:app"]

    def apply(*options: str) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            [*command, *options], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
        )
        assert "Traceback" not in done.stderr
        return done

    return apply


@pytest.fixture
def service(api_url, admin):
    """Ask the service, as the admin."""

    def ask(method: str, path: str, **said: object) -> dict:
        headers = {"Authorization": f"Bearer {admin.key}"}
        answer = requests.request(method, f"{api_url}/api/v1{path}", headers=headers, timeout=30, **said)
        assert answer.ok, answer.text
        return answer.json()

    return ask


@pytest.fixture
def declared(service):
    """The task's own type, and that of its calls to the queue `slow`."""
    TYPES.forget()
    for queue in (None, "slow"):
        body = {"name": type_name("shop.report", queue), "schema": payload_schema()}
        service("POST", "/task-types", json=body)


def test_a_beat_schedule_is_stored_as_it_says(apply, service, declared):
    done = apply("--apply")

    assert done.returncode == 1, done.stderr  # for the solar one
    assert "refused  dawn  shop.report: a schedule of the kind solar" in done.stdout
    assert "refused  3/day  shop.report: a schedule's name" in done.stdout
    found = {each["name"]: each for each in service("GET", "/schedules")["items"]}
    assert {name: (each["cron"], each["time_zone"]) for name, each in found.items()} == {
        "every night: at 2 and 3": ("30 2,3 * * 1-5", "America/Lima"),
        "often": ("*/5 * * * *", "America/Lima"),
        "slowly": ("0 * * * *", "America/Lima"),
    }
    tasks = {name: each["task"] for name, each in found.items()}
    assert tasks["every night: at 2 and 3"]["payload"] == {
        "args": [1, {"__type__": "date", "__value__": "2026-01-02"}],
        "kwargs": {"to": "ann"},
    }
    assert tasks["often"]["priority"] == "high"
    assert tasks["slowly"]["type"] == type_name("shop.report", "slow")
    assert tasks["slowly"]["payload"]["celery"]["headers"] == {"tenant": "a"}


def test_the_same_again_changes_nothing(apply, service, declared):
    apply("--apply")
    before = service("GET", "/schedules")["items"]

    apply("--apply")

    assert service("GET", "/schedules")["items"] == before
    assert len(before) == 3


def test_without_apply_nothing_is_stored(apply, service, declared):
    done = apply()

    assert "kept     often  */5 * * * *" in done.stdout
    assert service("GET", "/schedules")["items"] == []


def test_a_task_that_no_worker_has_declared_says_what_to_start(apply, service):
    TYPES.forget()

    done = apply("--apply")

    assert done.returncode != 0
    assert "celery -A" in done.stderr
    assert service("GET", "/schedules")["items"] == []
