"""PUT /schedules/{name}, and names of schedules: one an account, in paths in the place of ids."""

import threading

import pytest
import sqlalchemy as sa

from tests.support.factories import create_schedule

PATH = "/api/v1/schedules"
HOURLY = {"cron": "0 * * * *", "task": {"type": "reverse_string", "payload": "hello"}}


@pytest.fixture
def put(client):
    """PUTs a schedule under a name; gives back the answer."""

    def put(name="hourly", headers=None, **fields):
        return client.put(f"{PATH}/{name}", json=HOURLY | fields, headers=headers or {})

    return put


def test_putting_a_schedule_makes_it_and_says_where_it_is(client, put):
    answer = put("morning report", time_zone="Europe/Berlin")

    assert answer.status_code == 201
    assert (answer.json["name"], answer.json["version"]) == ("morning report", 1)
    found = client.get(answer.headers["Location"])
    assert found.json == answer.json
    assert found.headers["ETag"] == answer.headers["ETag"]


def test_putting_the_same_again_changes_nothing(client, put):
    first = put(misfire="skip", task={"type": "reverse_string", "payload": "x", "labels": {"team": "a"}})

    second = put(misfire="skip", task={"type": "reverse_string", "payload": "x", "labels": {"team": "a"}})

    assert (second.status_code, second.headers["ETag"]) == (200, first.headers["ETag"])
    assert second.json == first.json
    assert len(client.get(PATH).json["items"]) == 1


def test_putting_another_rule_replaces_all_of_it_and_is_the_next_version(put):
    first = put(overlap="skip", jitter_seconds=5)

    second = put(cron="30 * * * *")

    assert second.status_code == 200
    assert (second.json["id"], second.json["version"]) == (first.json["id"], 2)
    assert (second.json["cron"], second.json["overlap"], second.json["jitter_seconds"]) == ("30 * * * *", "allow", 0)
    assert second.headers["ETag"] != first.headers["ETag"]


def test_a_one_off_takes_the_place_of_cron(put):
    put()

    answer = put(cron=None, run_at="2199-01-01T00:00:00Z")

    assert (answer.json["cron"], answer.json["run_at"]) == (None, "2199-01-01T00:00:00Z")


def test_a_one_off_that_has_run_is_unchanged_when_it_is_put_again(put):
    once = {"cron": None, "run_at": "2020-01-01T00:00:00Z", "run_if_past": True}
    first = put(**once)

    second = put(**once)

    assert first.status_code == 201
    assert (second.status_code, second.json["last_task_id"]) == (200, first.json["last_task_id"])


def test_what_a_person_has_paused_stays_paused_unless_the_body_says_otherwise(client, put):
    client.patch(put().json["links"]["self"], json={"enabled": False})

    replaced = put(cron="30 * * * *")
    resumed = put(cron="30 * * * *", enabled=True)

    assert (replaced.json["cron"], replaced.json["enabled"]) == ("30 * * * *", False)
    assert resumed.json["enabled"] is True


def test_if_match_holds_for_put_patch_and_delete(client, put):
    old = put().headers["ETag"]
    new = put(cron="30 * * * *").headers["ETag"]

    late = {"If-Match": old}
    assert put(headers=late).status_code == 412
    assert client.patch(f"{PATH}/hourly", json={"overlap": "skip"}, headers=late).status_code == 412
    assert client.delete(f"{PATH}/hourly", headers=late).status_code == 412
    assert client.delete(f"{PATH}/hourly", headers={"If-Match": new}).status_code == 204
    assert put(headers={"If-Match": new}).status_code == 412  # there is none any more


def test_a_body_with_another_name_than_the_path_is_refused(client):
    same = client.put(f"{PATH}/hourly", json=HOURLY | {"name": "hourly"})
    other = client.put(f"{PATH}/hourly", json=HOURLY | {"name": "another"})

    assert (same.status_code, other.status_code) == (201, 422)
    assert "PATCH it" in other.json["errors"]["name"][0]


@pytest.mark.parametrize(("name", "said"), [("x" * 201, "1 to 200 characters"), ("a%00b", "NUL")], ids=["long", "nul"])
def test_a_name_that_no_schedule_can_have_is_refused(put, name, said):
    answer = put(name)

    assert answer.status_code == 422
    assert said in answer.json["errors"]["name"][0]


def test_a_uuid_in_the_path_is_an_id(client, put):
    made = put().json

    replaced = client.put(f"{PATH}/{made['id']}", json=HOURLY | {"name": "hourly", "cron": "30 * * * *"})
    nobodys = client.put(f"{PATH}/01890000-0000-7000-8000-000000000000", json=HOURLY)
    named = client.post(PATH, json=HOURLY | {"name": made["id"]})

    assert (replaced.status_code, replaced.json["cron"]) == (200, "30 * * * *")
    assert nobodys.status_code == 404
    assert "is a UUID" in named.json["errors"]["name"][0]


def test_a_second_schedule_of_a_name_is_refused(client, put):
    put("taken")
    other = put("other").json

    posted = client.post(PATH, json=HOURLY | {"name": "taken"})
    renamed = client.patch(other["links"]["self"], json={"name": "taken"})
    same = client.patch(other["links"]["self"], json={"name": "other", "overlap": "skip"})

    assert (posted.status_code, renamed.status_code, same.status_code) == (409, 409, 200)
    assert "'taken' already" in posted.json["detail"]


def test_schedules_without_a_name_are_as_many_as_one_likes(client):
    assert [client.post(PATH, json=HOURLY).status_code for _ in range(2)] == [201, 201]


def test_a_name_leads_to_everything_that_an_id_does(client, put):
    put("morning report")
    path = f"{PATH}/morning%20report"

    assert client.get(path).json["name"] == "morning report"
    assert client.post(f"{path}/run").status_code == 201
    assert len(client.get(f"{path}/slots").json["items"]) == 1
    assert client.get(f"{path}/why").json["cause"] == "not_due"
    assert client.patch(path, json={"enabled": False}).json["enabled"] is False
    assert client.delete(path).status_code == 204
    assert client.get(path).status_code == 404


def test_an_admin_finds_an_own_name_before_the_services_and_that_before_others(client, session, put, admin):
    somebody = "01890000-0000-7000-8000-000000000001"
    theirs = create_schedule(session, name="report", owner_id=somebody)
    session.commit()
    found = [client.get(f"{PATH}/report").json["id"]]
    services = create_schedule(session, name="report", owner_id=None)
    session.commit()
    found.append(client.get(f"{PATH}/report").json["id"])
    own = put("report").json
    found.append(client.get(f"{PATH}/report").json["id"])

    assert found == [str(theirs.id), str(services.id), own["id"]]


def test_two_puts_at_once_make_one_schedule(application, admin, client):
    codes = []

    def put_it():
        codes.append(admin.client(application).put(f"{PATH}/race", json=HOURLY).status_code)

    threads = [threading.Thread(target=put_it) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert sorted(codes) == [200, 200, 200, 201]
    assert len(client.get(PATH).json["items"]) == 1


def test_the_version_before_may_go_on_to_use_a_name_twice(session):
    owner = "01890000-0000-7000-8000-000000000001"

    names = [create_schedule(session, name="same", owner_id=owner).name for _ in range(3)]
    longest = [create_schedule(session, name="x" * 200, owner_id=owner).name for _ in range(2)]
    last = create_schedule(session, owner_id=owner)
    renamed = session.scalar(
        sa.text("UPDATE schedules SET name = 'same' WHERE id = :id RETURNING name"), {"id": last.id}
    )

    assert names == ["same", "same (2)", "same (3)"]
    assert longest[1] == "x" * 190 + " (2)"
    assert renamed == "same (4)"
