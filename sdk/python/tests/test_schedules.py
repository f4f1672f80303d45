"""Schedules that are declared in Python: what they say, and what an author is told at once."""

from datetime import UTC, datetime

import pytest

from taskledger_sdk import schedules
from taskledger_sdk.errors import BadDeclaration
from taskledger_sdk.schedules import load_schedules, schedule

TASK = {"type": "reverse_string", "payload": "hello"}


@pytest.fixture(autouse=True)
def none_declared(monkeypatch):
    """No test's schedules are there for the next one."""
    monkeypatch.setattr(schedules, "_schedules", {})


def test_a_schedule_is_written_as_a_request_has_it():
    made = schedule("nightly", cron="0 2 * * *", time_zone="Europe/Berlin", task=TASK, overlap="skip")

    assert load_schedules()["nightly"] is made
    assert made.written["task"] == TASK
    assert (made.written["cron"], made.written["time_zone"], made.written["overlap"]) == (
        "0 2 * * *",
        "Europe/Berlin",
        "skip",
    )
    assert made.place.startswith(f"{__name__}, line ")


def test_moments_are_written_as_text():
    made = schedule("once", run_at=datetime(2030, 1, 1, tzinfo=UTC), workflow={"name": "invoice", "input": {}})

    assert made.written["run_at"] == "2030-01-01T00:00:00+00:00"


def test_the_digest_tells_whether_two_say_the_same():
    first = schedule("a", cron="@daily", task=TASK)

    assert schedule("b", cron="@daily", task=dict(TASK)).digest == first.digest
    assert schedule("c", cron="@daily", task=TASK, jitter_seconds=1).digest != first.digest


def test_a_module_that_is_read_twice_declares_one_schedule():
    schedule("a", cron="@daily", task=TASK)
    schedule("a", cron="@daily", task=TASK)

    assert list(load_schedules()) == ["a"]


def test_a_name_that_is_taken_is_refused_with_its_place():
    schedule("a", cron="@daily", task=TASK)

    with pytest.raises(BadDeclaration, match=rf"'a' is declared at {__name__}, line \d+ already"):
        schedule("a", cron="@hourly", task=TASK)


@pytest.mark.parametrize(
    ("name", "said", "told"),
    [
        ("", {"cron": "@daily", "task": TASK}, "no name of a schedule"),
        ("a/b", {"cron": "@daily", "task": TASK}, "without /"),
        ("01890000-0000-7000-8000-000000000000", {"cron": "@daily", "task": TASK}, "no UUID"),
        ("x" * 201, {"cron": "@daily", "task": TASK}, "up to 200"),
        ("a", {"task": TASK}, "either cron"),
        ("a", {"cron": "@daily", "run_at": datetime(2030, 1, 1, tzinfo=UTC), "task": TASK}, "either cron"),
        ("a", {"cron": "@daily"}, "either task or workflow"),
        ("a", {"cron": "@daily", "task": TASK, "workflow": {"name": "invoice"}}, "either task or workflow"),
        ("a", {"run_at": datetime(2030, 1, 1), "task": TASK}, "tzinfo=UTC"),  # noqa: DTZ001 (that is the fault)
        ("a", {"run_at": "2030-01-01T00:00:00Z", "task": TASK}, "no aware moment"),
        ("a", {"cron": "@daily", "task": {"type": "x", "payload": {1, 2}}}, "must be JSON"),
    ],
    ids=["empty", "slash", "uuid", "long", "no rule", "two rules", "no target", "two targets", "naive", "text", "set"],
)
def test_what_an_author_can_be_told_is_told_at_import(name, said, told):
    with pytest.raises(BadDeclaration, match=told):
        schedule(name, **said)
