"""Schedules that are written in code: stored at `setup`, replaced, switched off when they go, and paused by people."""

from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from app.cli import register
from taskledger_sdk import schedules
from taskledger_sdk.schedules import schedule
from tests.support.people import make_person

PATH = "/api/v1/schedules"
TASK = {"type": "reverse_string", "payload": "hello"}


@pytest.fixture(autouse=True)
def code(monkeypatch):
    """The schedules that the code declares: none at first."""
    declared = {}
    monkeypatch.setattr(schedules, "_schedules", declared)
    return declared


@pytest.fixture
def setup(application, engine):
    """Runs `flask --app app setup`."""
    register(application)
    return lambda: application.test_cli_runner().invoke(args=["setup"])


def test_setup_stores_what_the_code_declares_for_the_service_itself(setup, client):
    schedule("nightly", cron="0 2 * * *", time_zone="Europe/Berlin", task=TASK)

    first, second = setup(), setup()

    assert (first.exit_code, "Stored the schedule 'nightly'." in first.output) == (0, True)
    assert "nightly" not in second.output
    [stored] = client.get(PATH).json["items"]
    assert (stored["name"], stored["owner"], stored["from_code"]) == ("nightly", None, True)
    assert (stored["cron"], stored["task"], stored["version"]) == ("0 2 * * *", TASK, 1)
    assert stored["next_at"] is not None


def test_a_schedule_that_says_something_else_is_replaced_and_keeps_its_slots(setup, code, client):
    schedule("nightly", cron="0 2 * * *", task=TASK)
    setup()
    client.post(f"{PATH}/nightly/run")
    code.clear()
    schedule("nightly", cron="0 3 * * *", task=TASK | {"priority": "low"})

    said = setup().output

    assert "Stored the schedule 'nightly' anew." in said
    stored = client.get(f"{PATH}/nightly").json
    assert (stored["cron"], stored["task"]["priority"], stored["version"]) == ("0 3 * * *", "low", 2)
    assert len(client.get(f"{PATH}/nightly/slots").json["items"]) == 1


def test_what_a_person_has_disabled_stays_disabled(setup, code, client):
    schedule("nightly", cron="0 2 * * *", task=TASK)
    setup()
    assert client.patch(f"{PATH}/nightly", json={"enabled": False}).status_code == 200
    code.clear()
    schedule("nightly", cron="0 3 * * *", task=TASK)

    setup()

    stored = client.get(f"{PATH}/nightly").json
    assert (stored["cron"], stored["enabled"], stored["next_at"]) == ("0 3 * * *", False, None)


def test_a_declaration_that_is_disabled_is_stored_disabled_and_people_enable_it(setup, client):
    schedule("nightly", cron="0 2 * * *", task=TASK, enabled=False)
    setup()
    stored = client.get(f"{PATH}/nightly").json
    client.patch(f"{PATH}/nightly", json={"enabled": True})

    setup()

    assert stored["enabled"] is False
    assert client.get(f"{PATH}/nightly").json["enabled"] is True


def test_a_schedule_that_goes_from_the_code_is_switched_off_and_comes_back_with_it(setup, code, client):
    schedule("nightly", cron="0 2 * * *", task=TASK)
    setup()
    client.post(f"{PATH}/nightly/run")
    declared = dict(code)
    code.clear()

    gone = setup().output
    off = client.get(f"{PATH}/nightly").json
    code.update(declared)
    back = setup().output

    assert "Switched the schedule 'nightly' off: it is in the code no more." in gone
    assert (off["enabled"], len(client.get(off["links"]["slots"]).json["items"])) == (False, 1)
    assert "on again" in back
    assert client.get(f"{PATH}/nightly").json["enabled"] is True


def test_one_that_a_person_had_disabled_before_it_went_comes_back_disabled(setup, code, client):
    schedule("nightly", cron="0 2 * * *", task=TASK)
    setup()
    client.patch(f"{PATH}/nightly", json={"enabled": False})
    declared = dict(code)
    code.clear()
    setup()
    code.update(declared)

    setup()

    assert client.get(f"{PATH}/nightly").json["enabled"] is False


def test_people_pause_and_run_a_schedule_of_the_code_and_change_nothing_else(setup, client):
    schedule("nightly", cron="0 2 * * *", task=TASK)
    setup()

    changed = client.patch(f"{PATH}/nightly", json={"cron": "@hourly"})
    put = client.put(f"{PATH}/{client.get(f'{PATH}/nightly').json['id']}", json={"cron": "@hourly", "task": TASK})
    deleted = client.delete(f"{PATH}/nightly")

    assert (changed.status_code, put.status_code, deleted.status_code) == (409, 409, 409)
    assert "written in code (tests.integration.test_declared_schedules, line" in changed.json["detail"]
    assert client.post(f"{PATH}/nightly/run").status_code == 201


def test_one_whose_code_is_gone_can_be_deleted_and_not_enabled(setup, code, client):
    schedule("nightly", cron="0 2 * * *", task=TASK)
    setup()
    code.clear()
    setup()

    enabled = client.patch(f"{PATH}/nightly", json={"enabled": True})

    assert (enabled.status_code, "in the code no more" in enabled.json["detail"]) == (409, True)
    assert client.delete(f"{PATH}/nightly").status_code == 204


def test_users_do_not_see_schedules_of_the_code_and_may_have_one_of_that_name(setup, client, application, database_url):
    schedule("nightly", cron="0 2 * * *", task=TASK)
    setup()
    somebody = make_person(database_url).client(application)

    unseen = somebody.get(f"{PATH}/nightly")
    own = somebody.put(f"{PATH}/nightly", json={"cron": "@hourly", "task": TASK})

    assert (unseen.status_code, own.status_code, own.json["from_code"]) == (404, 201, False)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"cron": "0 25 * * *", "task": TASK}, "cron: hour: '25'"),
        ({"cron": "@daily", "task": {"type": "reverse_strng", "payload": "x"}}, "task.type: "),
        ({"cron": "@daily", "task": {"type": "reverse_string", "payload": 5}}, "task.payload"),
        ({"cron": "@daily", "task": TASK, "overlap": "never"}, "overlap: must be one of"),
        ({"cron": "@daily", "workflow": {"name": "no such workflow"}}, "workflow.name"),
    ],
    ids=["cron", "type", "payload", "overlap", "workflow"],
)
def test_what_cannot_be_stored_stops_setup_and_names_its_place(setup, session, said, told):
    schedule("good", cron="@daily", task=TASK)
    schedule("wrong", **said)

    result = setup()

    assert result.exit_code == 1
    assert "schedule 'wrong' (tests.integration.test_declared_schedules, line" in result.output
    assert told in result.output
    assert session.scalar(sa.text("SELECT count(*) FROM schedules")) == 0


def test_a_one_off_that_is_over_is_left_out(setup, session):
    schedule("once", run_at=datetime(2020, 1, 1, tzinfo=UTC), task=TASK)

    result = setup()

    assert (result.exit_code, "its time is over" in result.output) == (0, True)
    assert session.scalar(sa.text("SELECT count(*) FROM schedules")) == 0


def test_a_run_of_a_workflow_is_started_for_the_service_itself(setup, client):
    given = {"customer_id": "C-1", "date_from": "2026-01-01", "date_to": "2026-01-31"}
    schedule("monthly", cron="@monthly", workflow={"name": "invoice", "input": given})
    setup()

    started = client.post(f"{PATH}/monthly/run")

    assert (started.status_code, started.json["kind"], started.json["owner"]) == (201, "run", None)
