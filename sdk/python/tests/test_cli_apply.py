"""`apply` of workflows and schedules: what differs is stored, and nothing else is."""

import json

import pytest

SHOUT = {"name": "shout", "definition": {"steps": {"a": {"type": "uppercase_text", "payload": "x"}}}}
STORED = {**SHOUT, "description": "", "active": True, "version": 1, "owner": "me", "id": "w"}
MORNING = {"name": "morning", "cron": "30 7 * * *", "task": {"type": "reverse_string", "payload": "x"}}
SCHEDULE = {
    **MORNING,
    "id": "s-1",
    "owner": "me",
    "enabled": True,
    "next_at": None,
    "updated_at": "now",
    "time_zone": "UTC",
    "run_at": None,
}


@pytest.fixture
def apply(tledger, tmp_path):
    def run(kind, *documents):
        file = tmp_path / "file.json"
        file.write_text(json.dumps(list(documents)))
        done = tledger(kind, "apply", str(file), "--json")
        return done.exit_code, [json.loads(line)["outcome"] for line in done.stdout.splitlines()]

    return run


def test_a_workflow_that_is_not_there_is_created(apply, service):
    service.answer("POST", "/workflows", STORED, status=201)

    assert apply("workflows", SHOUT) == (0, ["created"])
    assert service.asked("POST", "/workflows")[0].body == SHOUT


def test_a_workflow_that_is_the_same_is_not_touched(apply, service):
    service.answer("GET", "/workflows/shout", STORED)

    assert apply("workflows", SHOUT, STORED) == (0, ["unchanged"] * 2)
    assert {asked.method for asked in service.requests} == {"GET"}


def test_a_workflow_that_differs_is_changed(apply, service):
    service.answer("GET", "/workflows/shout", STORED)
    service.answer("PATCH", "/workflows/shout", {**STORED, "version": 2})

    assert apply("workflows", {**SHOUT, "definition": {"steps": {}}}) == (0, ["changed"])
    assert service.asked("PATCH", "/workflows/shout")[0].body == {"definition": {"steps": {}}}


def test_what_the_service_takes_for_the_same_is_unchanged(apply, service):
    service.answer("GET", "/workflows/shout", STORED)
    service.answer("PATCH", "/workflows/shout", STORED)

    assert apply("workflows", {**SHOUT, "definition": {"initialTask": {}}}) == (0, ["unchanged"])


def test_a_workflow_is_deactivated_where_a_file_says_so(apply, service):
    service.answer("GET", "/workflows/shout", STORED)
    service.answer("POST", "/workflows/shout/deactivate", {**STORED, "active": False})

    assert apply("workflows", {**SHOUT, "active": False}) == (0, ["changed"])


def test_the_first_that_is_refused_ends_it(apply, service):
    service.refuse("POST", "/workflows", 422, "definition_refused", "A cycle.")

    assert apply("workflows", SHOUT, SHOUT) == (1, [])
    assert len(service.asked("POST", "/workflows")) == 1


@pytest.mark.parametrize("kind", ["workflows", "schedules"])
def test_what_has_no_name_is_refused_before_anything_is_stored(apply, service, kind):
    assert apply(kind, SHOUT, {"definition": {}}) == (2, [])
    assert service.requests == []


@pytest.mark.parametrize("kind", ["workflows", "schedules"])
def test_a_secret_that_is_not_shown_is_not_replaced_by_what_is_shown(tledger, service, kind):
    done = tledger(kind, "apply", "-", stdin=json.dumps({"name": "x", "task": {"payload": {"token": "[redacted]"}}}))

    assert (done.exit_code, service.requests) == (2, [])
    assert "put the secret there" in done.stderr


def test_a_schedule_that_is_not_there_is_created(apply, service):
    service.answer("PUT", "/schedules/morning", SCHEDULE, status=201)

    assert apply("schedules", {**MORNING, "starts_at": None, "next_at": "x"}) == (0, ["created"])
    assert service.asked("PUT", "/schedules/morning")[0].body == MORNING


@pytest.mark.parametrize(
    ("answered", "outcome"),
    [
        ({}, "unchanged"),
        ({"updated_at": "then"}, "changed"),
        ({"id": "another account's", "updated_at": "x"}, "created"),
    ],
)
def test_the_service_knows_whether_a_schedule_differs(apply, service, answered, outcome):
    service.answer("GET", "/schedules/morning", SCHEDULE)
    service.answer("PUT", "/schedules/morning", {**SCHEDULE, **answered})

    assert apply("schedules", SCHEDULE) == (0, [outcome])
    assert service.asked("PUT", "/schedules/morning")[0].body == {**MORNING, "enabled": True, "time_zone": "UTC"}


def test_a_schedule_is_paused_by_its_name(tledger, service):
    service.answer("PATCH", "/schedules/each%20morning", {**SCHEDULE, "name": "each morning", "enabled": False})

    assert tledger("schedules", "pause", "each morning").stdout == "each morning paused\n"
    assert service.asked("PATCH", "/schedules/each%20morning")[0].body == {"enabled": False}
