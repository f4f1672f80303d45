"""/schedules over HTTP: what is made, refused, changed, run and previewed."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from app import clock
from app.services import schedules
from tests.support.factories import create_schedule, read_task, slots_of

PATH = "/api/v1/schedules"
TASK = {"type": "reverse_string", "payload": "hello"}
HOURLY = {"cron": "0 * * * *", "task": TASK}


@pytest.fixture
def make(client):
    """Makes a schedule; gives back the answer's body."""

    def make(**fields):
        answer = client.post(PATH, json=HOURLY | fields)
        assert answer.status_code == 201, answer.text
        return answer.json

    return make


def refusal(client, body, *, path=PATH):
    answer = client.post(path, json=body)
    assert answer.status_code == 422, answer.text
    return answer.json


def test_a_schedule_is_made_and_found_where_its_location_says(client):
    answer = client.post(PATH, json=HOURLY | {"name": "hourly", "time_zone": "Asia/Kathmandu"})

    assert answer.status_code == 201
    found = client.get(answer.headers["Location"]).json
    assert found == answer.json
    assert (found["name"], found["cron"], found["task"]) == ("hourly", "0 * * * *", TASK)
    assert found["next_at"].endswith(":15:00Z")
    assert found["enabled"] is True


def test_the_same_idempotency_key_makes_one_schedule(client):
    answers = [client.post(PATH, json=HOURLY, headers={"Idempotency-Key": "k"}) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [201, 200]
    assert answers[0].json == answers[1].json
    assert answers[1].headers["Idempotent-Replayed"] == "true"


def test_an_idempotency_key_whose_schedule_is_deleted_is_gone(client):
    made = client.post(PATH, json=HOURLY, headers={"Idempotency-Key": "k"})
    client.delete(made.headers["Location"])

    assert client.post(PATH, json=HOURLY, headers={"Idempotency-Key": "k"}).status_code == 410


@pytest.mark.parametrize(
    ("fields", "place", "said"),
    [
        ({"cron": "0 25 * * *"}, "cron", "hour: '25'"),
        ({"cron": "0 0 31 2 *"}, "cron", "day-of-month '31' never comes in month '2'"),
        ({"cron": "0 0 9 * * *"}, "cron", "has 6 fields instead of 5"),
        ({"time_zone": "Europe/Berln"}, "time_zone", "the nearest is Europe/Berlin"),
        ({"cron": None}, "cron", "give either cron (recurring) or run_at (once)"),
        ({"run_at": "2199-01-01T00:00:00Z"}, "run_at", "give either"),
        ({"run_at": "2199-01-01T00:00:00Z", "cron": None, "ends_at": "2199-01-01T00:00:00Z"}, "ends_at", "with cron"),
        ({"ends_at": "2020-01-01T00:00:00Z"}, "ends_at", "must be later than now"),
        ({"starts_at": "2198-01-01T00:00:00Z", "ends_at": "2198-01-01T00:00:00Z"}, "ends_at", "than starts_at"),
        ({"starts_at": "2198-01-01T00:01:00Z", "ends_at": "2198-01-01T00:02:00Z"}, "cron", "has no slot between"),
        ({"starts_at": "9999-12-31T23:59:59Z"}, "starts_at", "must be in the years 1970 to 2199"),
        ({"misfire": "catch_up"}, "misfire", "must be one of"),
        ({"overlap": "never"}, "overlap", "must be one of"),
        ({"misfire_cap": 101}, "misfire_cap", "must be from 1 to 100"),
        ({"jitter_seconds": -1}, "jitter_seconds", "must be from 0"),
        ({"next_at": "2030-01-01T00:00:00Z"}, "next_at", "is read-only"),
        ({"crom": "* * * * *"}, "crom", "did you mean cron?"),
    ],
)
def test_a_schedule_that_could_not_work_is_refused_with_the_part_that_is_wrong(client, fields, place, said):
    problem = refusal(client, HOURLY | fields)

    assert said in problem["errors"][place][0]


@pytest.mark.parametrize(
    ("task", "place", "said"),
    [
        ({"type": "reverse_strin", "payload": "a"}, "type", "did you mean 'reverse_string'?"),
        ({"type": "reverse_string", "payload": 5}, "payload", "must be a string"),
        ({"type": "reverse_string"}, "payload", "is missing"),
        ({"payload": 5}, "type", "must be one of"),
        (TASK | {"timeout": 700_000}, "timeout", "must be from 1 to"),
        (TASK | {"scheduled_at": "2030-01-01T00:00:00Z"}, "scheduled_at", "the schedule says when"),
    ],
)
def test_a_template_is_checked_like_a_submission(client, task, place, said):
    problem = refusal(client, HOURLY | {"task": task})

    assert said in problem["errors"]["task"][place][0]


def test_a_template_larger_than_32_kib_is_refused(client):
    problem = refusal(client, HOURLY | {"task": {"type": "reverse_string", "payload": "x" * 33_000}})

    assert "32768 are allowed" in problem["errors"]["task"][0]


def test_a_one_off_in_the_past_is_refused(client):
    problem = refusal(client, {"run_at": "2020-01-01T00:00:00Z", "task": TASK})

    assert problem["code"] == "run_at_is_past"
    assert "run_if_past" in problem["errors"]["run_at"][0]


def test_a_one_off_in_the_past_runs_at_once_when_asked_to(client, session):
    answer = client.post(PATH, json={"run_at": "2020-01-01T00:00:00Z", "run_if_past": True, "task": TASK})

    assert answer.status_code == 201
    [slot] = client.get(answer.json["links"]["slots"]).json["items"]
    assert (slot["slot_at"], slot["state"]) == ("2020-01-01T00:00:00Z", "fired")
    assert read_task(session, slot["task_id"]).status == "PENDING"
    assert answer.json["next_at"] is None


def test_an_owner_has_a_limit(client, application, make):
    most = application.config["MAX_SCHEDULES_PER_OWNER"]
    application.config["MAX_SCHEDULES_PER_OWNER"] = 1
    try:
        make()
        problem = refusal(client, HOURLY)
    finally:
        application.config["MAX_SCHEDULES_PER_OWNER"] = most

    assert problem["code"] == "too_many_schedules"


def test_a_disabled_schedule_has_no_next_slot_until_it_is_enabled(client, make):
    path = make()["links"]["self"]

    disabled = client.patch(path, json={"enabled": False}).json
    enabled = client.patch(path, json={"enabled": True}).json

    assert (disabled["enabled"], disabled["next_at"]) == (False, None)
    assert enabled["next_at"] is not None


def test_a_change_keeps_what_it_leaves_out(client, make):
    made = make(name="a", overlap="skip")

    fields = {"name": "b", "task": {"type": "uppercase_text", "payload": "x"}}
    changed = client.patch(made["links"]["self"], json=fields)

    unchanged = {"cron", "overlap", "next_at", "time_zone", "created_at", "enabled"}
    assert {key: changed.json[key] for key in unchanged} == {key: made[key] for key in unchanged}
    assert (changed.json["name"], changed.json["task"]["type"]) == ("b", "uppercase_text")


def test_cron_and_run_at_take_each_others_place(client, make):
    path = make()["links"]["self"]

    once = client.patch(path, json={"run_at": "2199-01-01T00:00:00Z"}).json
    again = client.patch(path, json={"cron": "@daily"}).json

    assert (once["cron"], once["run_at"], once["next_at"]) == (None, "2199-01-01T00:00:00Z", "2199-01-01T00:00:00Z")
    assert (again["cron"], again["run_at"]) == ("@daily", None)


def test_a_bad_change_is_refused_and_changes_nothing(client, make):
    made = make()

    answer = client.patch(made["links"]["self"], json={"name": "new", "cron": "61 * * * *"})

    assert answer.status_code == 422
    assert client.get(made["links"]["self"]).json == made


def test_slots_that_nobody_looked_at_before_a_change_are_recorded_as_missed(client, session):
    hours_ago = datetime.now(UTC) - timedelta(hours=3)
    schedule = create_schedule(session, now=hours_ago)
    session.commit()

    client.patch(f"{PATH}/{schedule.id}", json={"cron": "@monthly"})

    slots = slots_of(session, schedule)
    assert len(slots) in (3, 4)
    assert {slot.state for slot in slots} == {"missed"}
    assert "changed or disabled" in slots[0].reason


def test_disabling_gives_up_the_slot_that_waits(client, session):
    now = datetime.now(UTC)
    schedule = create_schedule(session, now=now, overlap="queue_one", queued_slot_at=now - timedelta(minutes=1))
    session.commit()

    client.patch(f"{PATH}/{schedule.id}", json={"enabled": False})

    [slot] = slots_of(session, schedule)
    assert (slot.state, slot.reason) == ("skipped", "the schedule was disabled while the slot waited")


def test_running_now_submits_the_task_and_records_a_slot_of_this_moment(client, make):
    made = make()

    answer = client.post(f"{made['links']['self']}/run")

    assert answer.status_code == 201
    assert client.get(answer.headers["Location"]).json["type"] == "reverse_string"
    [slot] = client.get(made["links"]["slots"]).json["items"]
    assert (slot["task_id"], slot["state"], slot["reason"]) == (answer.json["id"], "fired", "asked for with POST /run")
    assert client.get(made["links"]["self"]).json["next_at"] == made["next_at"]


def test_running_now_twice_with_one_key_submits_one_task(client, make):
    path = f"{make()['links']['self']}/run"

    answers = [client.post(path, headers={"Idempotency-Key": "k"}) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [201, 200]
    assert answers[0].json["id"] == answers[1].json["id"]


def test_a_task_type_that_is_gone_cannot_be_run(client, session):
    schedule = create_schedule(session, target={"task": {"type": "gone", "payload": 1}})
    session.commit()

    assert client.post(f"{PATH}/{schedule.id}/run").status_code == 409


def test_a_deleted_schedule_is_gone_with_its_slots_and_its_tasks_stay(client, session, make):
    made = make()
    task = client.post(f"{made['links']['self']}/run").json

    assert client.delete(made["links"]["self"]).status_code == 204
    assert client.get(made["links"]["self"]).status_code == 404
    assert session.scalar(sa.text("SELECT count(*) FROM schedule_slots")) == 0
    assert client.get(task["links"]["self"]).status_code == 200


@pytest.mark.parametrize("route", ["get ", "patch ", "delete ", "post /run", "get /slots"])
@pytest.mark.parametrize("id_", ["nonsense", "018f3c5e-7d2a-7000-8000-0123456789ab"])
def test_a_schedule_that_is_not_there_is_not_found(client, route, id_):
    method, below = route.split(" ")
    body = {"json": {}} if method == "patch" else {}

    assert getattr(client, method)(f"{PATH}/{id_}{below}", **body).status_code == 404


def test_lists_are_paged_and_filtered(client, make):
    made = [make(name=f"number {n}", enabled=n != 1) for n in range(3)]

    first = client.get(PATH, query_string={"limit": 2}).json
    second = client.get(PATH, query_string={"limit": 2, "cursor": first["next"]}).json

    assert [each["id"] for each in first["items"] + second["items"]] == [each["id"] for each in reversed(made)]
    assert second["next"] is None
    assert [each["name"] for each in client.get(f"{PATH}?enabled=false").json["items"]] == ["number 1"]
    assert [each["name"] for each in client.get(f"{PATH}?q=BER+2").json["items"]] == ["number 2"]


def test_slots_are_paged_newest_first_and_filtered_by_state(client, session):
    now = clock.utcnow()
    schedule = create_schedule(session, now=now - timedelta(hours=5), misfire="run_once")
    schedules.fire_due(session, now=now, limit=1)
    session.commit()
    path = f"{PATH}/{schedule.id}/slots"

    first = client.get(path, query_string={"limit": 2}).json
    second = client.get(path, query_string={"limit": 200, "cursor": first["next"]}).json

    moments = [slot["slot_at"] for slot in first["items"] + second["items"]]
    assert moments == sorted(moments, reverse=True)
    assert len(moments) in (5, 6)
    assert [slot["state"] for slot in client.get(f"{path}?state=fired").json["items"]] == ["fired"]


def test_a_preview_shows_ten_moments_in_the_schedules_own_zone(client):
    body = {"cron": "30 2 * * *", "time_zone": "Europe/Berlin", "after": "2026-03-28T00:00:00Z"}

    answer = client.post(f"{PATH}/preview", json=body)

    assert answer.status_code == 200
    assert answer.json["items"][:3] == [
        "2026-03-28T02:30:00+01:00",
        "2026-03-29T03:00:00+02:00",
        "2026-03-30T02:30:00+02:00",
    ]
    assert len(answer.json["items"]) == 10
    assert answer.json["description"] == "At 02:30 every day"


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"cron": "* * * *"}, "cron"),
        ({"time_zone": "Nowhere"}, "time_zone"),
        ({"after": "0001-01-01T00:00:00Z"}, "after"),
    ],
)
def test_a_preview_refuses_what_a_schedule_would(client, fields, place):
    assert place in refusal(client, {"cron": "@daily"} | fields, path=f"{PATH}/preview")["errors"]
