"""Remote types: declared, submitted, and worked off over HTTP."""

import threading
import time
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from kombu.exceptions import OperationalError

from app import task_packages
from app.clock import utcnow
from app.config import get_settings
from app.dispatcher.dispatch import Dispatch
from app.dispatcher.lost_hints import LostHints
from app.messaging import Publisher
from app.services.recovery import rescue
from app.services.remote import line
from app.services.remote.presence import PRESENCE
from taskledger_sdk import registry
from tests.support.people import make_person
from tests.support.remote import PAYLOAD, RemoteWorker, declare, submit, work_key
from tests.support.servers.waiting import wait_for


@pytest.fixture(autouse=True)
def forgotten():
    PRESENCE._written.clear()


@pytest.fixture
def worker(application, client, admin, database_url):
    """A worker of the declared type resize, with a key for that only."""
    declare(client)
    return RemoteWorker(work_key(database_url, admin, "resize").client(application))


def state(client, task):
    return client.get(f"/api/v1/tasks/{task['id']}").json


def dispatch(now=None):
    """What the dispatcher does, whose broker is away; remote types need none."""
    with pytest.raises(OperationalError):
        Dispatch(Publisher()).run_once(now or utcnow())


def test_a_task_is_claimed_and_its_result_recorded(client, worker):
    task = submit(client)

    [item] = worker.claim()
    answer = worker.tell(item, "complete", result={"width": 3})

    assert (item["task_id"], item["payload"], item["attempt"]) == (task["id"], PAYLOAD, 1)
    assert answer.json == {"task_id": task["id"], "outcome": "completed"}
    done = state(client, task)
    assert (done["status"], done["result"], done["queue"]) == ("COMPLETED", {"width": 3}, "remote:resize")


def test_a_payload_that_the_schema_refuses_is_refused(client, worker):
    answer = client.post("/api/v1/tasks", json={"type": "resize", "payload": {"width": 0}})

    assert answer.status_code == 422
    errors = answer.json["errors"]["payload"]
    assert "required" in str(errors["_schema"])
    assert "width" in errors


def test_a_late_outcome_changes_nothing(client, worker):
    task = submit(client)
    [item] = worker.claim()
    worker.tell(item, "complete", result=1)

    late = worker.tell(item, "complete", result=2)

    assert (late.status_code, late.json["code"]) == (409, "lease_lost")
    assert state(client, task)["result"] == 1


def test_a_claim_waits_for_a_task(client, worker):
    got = []
    waiting = threading.Thread(target=lambda: got.extend(worker.claim(wait=20)))
    waiting.start()
    time.sleep(0.3)
    began = time.monotonic()

    task = submit(client)
    waiting.join(10)

    assert [item["task_id"] for item in got] == [task["id"]]
    assert time.monotonic() - began < 5


def test_a_repeated_claim_gets_the_same_tasks(client, worker):
    submit(client), submit(client)
    once = str(uuid4())

    first = worker.claim(claim=once)
    again = worker.claim(claim=once)
    other = worker.claim(claim=str(uuid4()))

    assert [item["task_id"] for item in again] == [item["task_id"] for item in first]
    assert again[0]["lease"] == first[0]["lease"]
    assert other[0]["task_id"] != first[0]["task_id"]


def test_a_repeated_claim_of_another_worker_gets_other_tasks(client, worker):
    submit(client), submit(client)
    once, other = str(uuid4()), RemoteWorker(worker.client, name="worker-2")

    [first], [second] = worker.claim(claim=once), other.claim(claim=once)

    assert (first["task_id"], first["lease"]) != (second["task_id"], second["lease"])


def test_the_most_urgent_and_then_the_oldest_come_first(client, worker):
    tasks = {level: submit(client, priority=level)["id"] for level in ("low", "normal", "high")}
    wait_for(lambda: count_hints(worker) == 3)

    items = worker.claim(max=3)

    assert [item["task_id"] for item in items] == [tasks["high"], tasks["normal"], tasks["low"]]


def count_hints(worker):
    from app.database import in_transaction

    return in_transaction(lambda session: session.scalar(sa.text("SELECT count(*) FROM hints")))


def test_a_long_line_is_claimed_from_quickly_although_the_table_was_analysed_when_it_was_empty(worker, engine, session):
    session.execute(sa.text("DELETE FROM hints"))
    session.commit()
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("VACUUM ANALYZE hints"))
    session.execute(
        sa.text("INSERT INTO hints (type, rank, task_id, published_at) "
                "SELECT 'resize', 1, gen_random_uuid(), now() FROM generate_series(1, 20000)")
    )  # fmt: skip
    session.commit()
    began = time.monotonic()

    taken = line.take(session, "resize", limit=100)

    assert len(taken) == 100
    assert time.monotonic() - began < 2


def test_a_failed_attempt_is_tried_again(client, worker):
    task = submit(client)
    [item] = worker.claim()

    answer = worker.tell(item, "fail", type="TimeoutError", message="no answer", retry_in=0)

    assert answer.json["outcome"] == "retrying"
    assert state(client, task)["error"] == {"type": "TimeoutError", "message": "no answer"}
    dispatch()
    [item] = worker.claim()
    assert (item["task_id"], item["attempt"]) == (task["id"], 2)


def test_a_permanent_error_makes_a_dead_letter(client, worker):
    task = submit(client)
    [item] = worker.claim()

    worker.tell(item, "fail", type="NoSuchImage", message="404", permanent=True)

    assert state(client, task)["status"] == "FAILED"


def test_a_released_task_is_not_counted(client, worker):
    task = submit(client)
    [item] = worker.claim()

    worker.tell(item, "release")

    assert (state(client, task)["status"], state(client, task)["attempt"]) == ("PENDING", 0)
    dispatch()
    assert worker.claim()[0]["attempt"] == 1


def test_a_worker_that_decides_itself_gets_another_attempt_which_uses_no_retry(client, worker):
    task = submit(client, max_retries=0)
    for number in (1, 2, 3):
        [item] = worker.claim()
        answer = worker.tell(item, "retry", type="TimeoutError", message="no answer", checkpoint={"retries": number})
        dispatch()

    assert answer.json["outcome"] == "retrying"
    [item] = worker.claim()
    assert (item["attempt"], item["max_retries"], item["checkpoint"]) == (4, 3, {"retries": 3})
    worker.tell(item, "fail", message="now the budget is used")
    assert state(client, task)["status"] == "FAILED"


def test_an_attempt_that_is_asked_for_may_have_another_payload_and_the_old_one_is_kept(client, worker, session):
    task = submit(client)
    [item] = worker.claim()

    worker.tell(item, "retry", message="larger", payload={**PAYLOAD, "width": 7})
    dispatch()

    [again] = worker.claim()
    assert again["payload"] == {**PAYLOAD, "width": 7}
    replaced = "SELECT detail -> 'replaced_payload' FROM task_events WHERE task_id = :id AND status = 'RETRYING'"
    assert session.scalars(sa.text(replaced), {"id": task["id"]}).all() == [PAYLOAD]


def test_another_payload_that_the_type_refuses_makes_a_dead_letter(client, worker):
    task = submit(client)
    [item] = worker.claim()

    answer = worker.tell(item, "retry", payload={"width": 0})

    assert answer.json["outcome"] == "failed"
    assert (state(client, task)["status"], state(client, task)["payload"]) == ("FAILED", PAYLOAD)


def test_a_cancelled_task_gets_no_other_attempt(client, worker):
    task = submit(client)
    [item] = worker.claim()
    client.post(f"/api/v1/tasks/{task['id']}/cancel")

    assert worker.tell(item, "retry").json["outcome"] == "stopped"
    assert state(client, task)["status"] == "CANCELLED"


def test_a_result_may_say_why_there_is_none(client, worker, session):
    task = submit(client)
    [item] = worker.claim()

    worker.tell(item, "complete", reason="ignored")

    reason = session.scalar(sa.text("SELECT reason FROM tasks WHERE id = :id"), {"id": task["id"]})
    assert (state(client, task)["status"], reason) == ("COMPLETED", "ignored")


def test_a_heartbeat_renews_and_tells(client, worker, session):
    task = submit(client)
    [item] = worker.claim()

    answer = worker.tell(item, "heartbeat", progress=0.5, message="half", log=[{"message": "line", "fields": {"n": 1}}])

    assert answer.json == {"lease_seconds": 60, "cancel_requested": False}
    assert state(client, task)["progress"] == {"fraction": 0.5, "message": "half"}
    [line_] = client.get(f"/api/v1/tasks/{task['id']}/logs").json["items"]
    assert (line_["message"], line_["fields"]) == ("line", {"n": 1})


@pytest.mark.parametrize("what", ["heartbeat", "release", "fail"])
def test_the_next_attempt_gets_the_checkpoint(what, client, worker):
    submit(client)
    [first] = worker.claim()

    worker.tell(first, what, checkpoint={"page": 7})
    worker.tell(first, "release")
    dispatch(utcnow() + timedelta(minutes=15))
    [second] = worker.claim()

    assert (first["checkpoint"], second["checkpoint"]) == (None, {"page": 7})


def test_a_checkpoint_that_is_too_long_is_refused(client, worker):
    submit(client)
    [item] = worker.claim()

    answer = worker.tell(item, "heartbeat", checkpoint="x" * 65_536)

    assert (answer.status_code, "checkpoint" in answer.json["errors"]) == (422, True)


def test_a_cancel_is_told_with_the_next_heartbeat_and_confirmed(client, worker):
    task = submit(client)
    [item] = worker.claim()
    assert client.post(f"/api/v1/tasks/{task['id']}/cancel").status_code == 202

    beat, end = worker.tell(item, "heartbeat"), worker.tell(item, "release")

    assert beat.json["cancel_requested"] is True
    assert end.json["outcome"] == "stopped"
    assert state(client, task)["status"] == "CANCELLED"


def test_a_cancel_that_is_ignored_takes_the_lease_away(client, worker, session):
    task = submit(client)
    [item] = worker.claim()
    client.post(f"/api/v1/tasks/{task['id']}/cancel")
    session.execute(sa.text("UPDATE tasks SET cancel_requested_at = now() - interval '11 s'"))
    session.commit()

    beat = worker.tell(item, "heartbeat")

    assert (beat.status_code, beat.json["code"]) == (409, "lease_lost")
    assert state(client, task)["status"] == "CANCELLED"


def test_an_attempt_is_not_renewed_beyond_its_limit_and_grace(client, worker, session):
    task = submit(client, max_retries=0, timeout=5)
    [item] = worker.claim()
    assert (item["timeout_seconds"], item["grace_seconds"]) == (5, 10)
    session.execute(sa.text("UPDATE tasks SET started_at = now() - interval '12 s'"))
    session.commit()
    near = worker.tell(item, "heartbeat").json
    session.execute(sa.text("UPDATE tasks SET started_at = now() - interval '16 s'"))
    session.commit()

    beat = worker.tell(item, "heartbeat")

    assert near["lease_seconds"] in (2, 3)
    assert beat.status_code == 409
    assert (state(client, task)["status"], state(client, task)["error"]["type"]) == ("FAILED", "TimeLimitExceeded")


def test_outcomes_of_many_are_answered_one_by_one(client, worker):
    tasks = [submit(client) for _ in range(4)]
    wait_for(lambda: count_hints(worker) == 4)
    items = worker.claim(max=4)
    worker.tell(items[3], "complete")
    told = [
        {"task_id": items[0]["task_id"], "lease": items[0]["lease"], "outcome": "complete", "result": 1},
        {"task_id": items[1]["task_id"], "lease": items[1]["lease"], "outcome": "fail", "permanent": True},
        {"task_id": items[2]["task_id"], "lease": items[2]["lease"], "outcome": "release"},
        {"task_id": items[3]["task_id"], "lease": items[3]["lease"], "outcome": "complete"},
        {"task_id": str(uuid4()), "lease": items[3]["lease"], "outcome": "complete"},
    ]

    answers = client.post("/api/v1/work/outcomes", json={"items": told}).json["items"]

    assert [(each["status"], each["outcome"]) for each in answers] == [
        (200, "completed"), (200, "failed"), (200, "given_back"), (409, None), (404, None)
    ]  # fmt: skip
    assert sorted(state(client, task)["status"] for task in tasks) == ["COMPLETED", "COMPLETED", "FAILED", "PENDING"]


def test_heartbeats_of_many_are_answered_one_by_one(client, worker):
    submit(client)
    [item] = worker.claim()
    told = [{"task_id": item["task_id"], "lease": lease} for lease in (item["lease"], str(uuid4()))]

    answers = [client.post("/api/v1/work/heartbeats", json={"items": [each]}).json["items"][0] for each in told]

    assert [(each["status"], each["code"]) for each in answers] == [(200, None), (409, "lease_lost")]


def taken_anew(worker, item):
    """The same task under another lease."""
    worker.tell(item, "release")
    dispatch()
    [again] = worker.claim()
    return again


def test_a_lease_that_was_lost_is_told_so_although_the_same_request_has_its_successor(client, worker):
    task = submit(client)
    [stale] = worker.claim()
    held = taken_anew(worker, stale)
    told = [
        {"task_id": task["id"], "lease": held["lease"], "progress": 0.1},
        {"task_id": task["id"], "lease": stale["lease"], "progress": 0.9},
    ]

    answers = worker.client.post("/api/v1/work/heartbeats", json={"items": told}).json["items"]

    assert [each["status"] for each in answers] == [200, 409]
    assert state(client, task)["progress"]["fraction"] == 0.1


def test_the_outcome_of_the_attempt_that_holds_the_lease_counts_whatever_an_earlier_one_tells(client, worker):
    task = submit(client)
    [stale] = worker.claim()
    held = taken_anew(worker, stale)
    told = [
        {"task_id": task["id"], "lease": each["lease"], "outcome": "complete", "result": result}
        for each, result in ((stale, "stale"), (held, "held"))
    ]

    answers = worker.client.post("/api/v1/work/outcomes", json={"items": told}).json["items"]

    assert [each["status"] for each in answers] == [409, 200]
    assert state(client, task)["result"] == "held"


def test_of_two_heartbeats_of_one_attempt_the_last_word_is_kept(client, worker):
    submit(client)
    [item] = worker.claim()
    told = [
        {"task_id": item["task_id"], "lease": item["lease"], "checkpoint": page, "progress": page / 10, "log": []}
        for page in (1, 2)
    ]

    answer = worker.client.post("/api/v1/work/heartbeats", json={"items": told})

    assert answer.status_code == 200, answer.text
    assert taken_anew(worker, item)["checkpoint"] == 2


def test_of_the_lines_of_an_attempt_as_many_are_kept_as_of_any_other(client, worker):
    task = submit(client)
    [item] = worker.claim()
    lines = [{"message": "again"}] * 90

    answers = [worker.tell(item, "heartbeat", log=lines).status_code for _ in range(7)]

    assert set(answers) == {200}
    assert len(client.get(f"/api/v1/tasks/{task['id']}/logs").json["items"]) == 500


def test_a_checkpoint_is_kept_although_somebody_has_the_row_locked(client, worker, engine):
    task = submit(client)
    [item] = worker.claim()
    answers = []
    beat = threading.Thread(target=lambda: answers.append(worker.tell(item, "heartbeat", checkpoint=7).status_code))

    with engine.begin() as connection:
        connection.execute(sa.text("SELECT FROM tasks WHERE id = :id FOR UPDATE"), {"id": task["id"]})
        beat.start()
        time.sleep(0.3)
    beat.join(10)

    assert answers == [200]
    assert taken_anew(worker, item)["checkpoint"] == 7


def test_a_batch_takes_remote_types(client, worker):
    body = {"tasks": [{"type": "resize", "payload": PAYLOAD}, {"type": "resize", "payload": {}}]}

    results = client.post("/api/v1/tasks/batch", json=body).json["results"]

    assert [each["status"] for each in results] == [201, 422]
    assert len(worker.claim()) == 1


def test_a_type_that_is_paused_gives_no_tasks(client, worker):
    submit(client)
    client.post("/api/v1/task-types/resize/pause")

    paused = worker.claim(wait=0)
    client.post("/api/v1/task-types/resize/resume")

    assert paused == []
    assert len(worker.claim()) == 1


def test_a_queue_that_is_paused_gives_no_tasks(client, worker):
    submit(client)
    assert client.post("/api/v1/queues/remote:resize/pause").status_code == 200

    assert worker.claim(wait=0) == []


def test_a_lost_hint_is_published_again(client, worker, session):
    task = submit(client)
    wait_for(lambda: count_hints(worker) == 1)
    session.execute(sa.text("TRUNCATE hints"))
    session.commit()
    later = utcnow() + timedelta(seconds=11)

    LostHints(Publisher()).run_once(later)

    assert worker.claim()[0]["task_id"] == task["id"]


def test_a_hint_that_is_still_in_its_line_is_left_alone(client, worker, session):
    submit(client)
    wait_for(lambda: count_hints(worker) == 1)

    LostHints(Publisher()).run_once(utcnow() + timedelta(seconds=11))

    assert count_hints(worker) == 1


def test_a_payload_that_came_by_sql_fails_for_good_when_its_type_refuses_it(client, worker, session):
    task_id = session.scalar(sa.text("SELECT taskledger.submit('resize', CAST('{\"url\": 7}' AS jsonb))"))
    session.commit()
    dispatch()

    assert worker.claim(wait=0) == []
    failed = state(client, {"id": task_id})
    assert (failed["status"], failed["error"]["type"]) == ("FAILED", "PayloadRefused")


def test_sql_refuses_what_the_top_of_the_schema_does(worker, session):
    with pytest.raises(sa.exc.DataError, match="lacks: url"):
        session.execute(sa.text("SELECT taskledger.submit('resize', CAST('{}' AS jsonb))"))


def test_a_worker_is_listed_with_what_it_runs(client, worker):
    submit(client)
    worker.claim(host="web-1", version="resizer/2", concurrency=3)

    [seen] = [each for each in client.get("/api/v1/workers").json["items"] if each["kind"] == "remote"]

    assert (seen["node"], seen["host"], seen["state"], seen["running"]) == ("worker-1", "web-1", "alive", 1)
    assert (seen["queues"], seen["concurrency"], seen["version"]) == (["remote:resize"], 3, "resizer/2")
    client.post("/api/v1/work/leave", json={"worker": "worker-1"})
    [seen] = [each for each in client.get("/api/v1/workers").json["items"] if each["kind"] == "remote"]
    assert seen["state"] == "stopped"


def test_why_knows_that_no_worker_asks_for_a_type(client, worker):
    task = submit(client)

    nobody = client.get(f"/api/v1/tasks/{task['id']}/why").json
    worker.claim("resize", wait=0)
    running = client.get(f"/api/v1/tasks/{task['id']}/why").json

    assert nobody["cause"] == "no_live_worker"
    assert "POST /api/v1/work/claim" in nobody["fix"]
    assert running["cause"] == "running"


def test_a_limit_holds_for_remote_tasks(client, application, admin, database_url):
    declare(client, "slow_one", concurrency=1)
    worker = RemoteWorker(work_key(database_url, admin, "slow_one").client(application))

    tasks = [submit(client, type_name="slow_one") for _ in range(2)]

    assert {state(client, task)["status"] for task in tasks} == {"PENDING"}
    assert worker.claim("slow_one", wait=0) == []  # held until the dispatcher admits them
    assert client.get("/api/v1/limits").json["items"][0]["max_running"] == 1


class TestRescue:
    LEASE = timedelta(seconds=60)

    def expired(self, session, *, after):
        now = utcnow() + timedelta(seconds=after)
        found = rescue.expired(session, since=now - timedelta(hours=1), before=now, lease=self.LEASE, limit=10)
        return [task_id for task_id, _ in found]

    def test_a_lease_is_left_alone_while_no_api_answers_any_remote_worker(self, client, worker, session):
        task = submit(client)
        worker.claim()

        assert self.expired(session, after=70) == []
        assert self.expired(session, after=60 + 121) == [UUID(task["id"])]

    def test_a_lease_is_expired_once_another_worker_was_answered(self, client, worker, session):
        task = submit(client)
        worker.claim()
        session.execute(sa.text("UPDATE tasks SET due_at = now() - interval '1 s' WHERE status = 'PROCESSING'"))
        session.execute(sa.text("UPDATE workers SET last_seen_at = now() - interval '2 s'"))
        session.commit()
        before = self.expired(session, after=0)
        RemoteWorker(worker.client, name="worker-2").claim(wait=0)

        assert before == []
        assert self.expired(session, after=0) == [UUID(task["id"])]

    def test_the_rule_of_15_seconds_is_not_for_remote_workers(self, client, worker, session):
        submit(client)
        worker.claim()
        session.execute(sa.text("UPDATE workers SET last_seen_at = now() - interval '50 s'"))
        session.commit()
        from app.services.dispatch import workers

        now = utcnow()
        assert workers.unseen(session, silent=now, remembered=now - timedelta(days=1)) == {}
        assert [each.kind for each in workers.alive(session, now=now)] == ["remote"]


class TestIsolation:
    def test_a_key_claims_its_own_types_only(self, client, worker, application, admin, database_url):
        declare(client, "other_type")

        answer = worker.client.post("/api/v1/work/claim", json=worker.claim_body("other_type"))
        unknown = worker.client.post("/api/v1/work/claim", json=worker.claim_body("no_such_type"))

        assert (answer.status_code, answer.json["code"]) == (403, "type_not_allowed")
        assert unknown.status_code == 403
        assert answer.json["detail"].replace("other_type", "no_such_type") == unknown.json["detail"]

    @pytest.mark.parametrize("what", ["heartbeat", "complete", "fail", "release"])
    def test_the_lease_of_another_type_is_not_there(self, what, client, worker, application, admin, database_url):
        declare(client, "other_type")
        task = submit(client, type_name="other_type")
        [item] = RemoteWorker(work_key(database_url, admin, "other_type").client(application)).claim("other_type")

        answer = worker.tell(item, what)
        nothing = worker.tell({**item, "task_id": str(uuid4())}, what)

        assert (answer.status_code, nothing.status_code) == (404, 404)
        assert answer.json["detail"].replace(task["id"], "") == nothing.json["detail"].replace(
            nothing.json["detail"].split()[4], ""
        )
        assert state(client, task)["status"] == "PROCESSING"

    @pytest.mark.parametrize("what", ["heartbeat", "complete", "fail", "release"])
    def test_the_lease_of_another_account_is_lost(self, what, client, worker, application, database_url):
        submit(client)
        [item] = worker.claim()
        stranger = make_person(database_url, role="admin", scopes=("work",))
        theirs = RemoteWorker(work_key(database_url, stranger, "resize").client(application))

        answer = theirs.tell(item, what)

        assert (answer.status_code, answer.json["code"]) == (409, "lease_lost")
        assert worker.tell(item, "heartbeat").status_code == 200

    def test_a_work_key_does_nothing_else(self, worker):
        assert worker.client.get("/api/v1/tasks").status_code == 403
        assert worker.client.post("/api/v1/tasks", json={"type": "resize", "payload": PAYLOAD}).status_code == 403

    def test_only_admins_make_work_keys_and_name_their_types(self, client, application, database_url):
        body = {"name": "worker", "scopes": ["work"]}
        user = make_person(database_url).client(application)

        assert user.post("/api/v1/api-keys", json={**body, "allowed_types": ["resize"]}).status_code in (403, 422)
        assert client.post("/api/v1/api-keys", json=body).status_code == 422
        assert client.post("/api/v1/api-keys", json={**body, "allowed_types": ["resize"]}).status_code == 201


class TestDeclaring:
    def test_a_name_is_taken_once(self, client):
        declare(client)

        again = client.post("/api/v1/task-types", json={"name": "resize", "schema": {}})
        of_code = client.post("/api/v1/task-types", json={"name": "reverse_string", "schema": {}})

        assert [(each.status_code, each.json["code"]) for each in (again, of_code)] == [(409, "name_taken")] * 2

    @pytest.mark.parametrize("name", ["Resize", "shop.tasks.sendMail", "my-app:resize", "a" * 200])
    def test_it_may_be_called_as_programs_elsewhere_call_it(self, name, client):
        declare(client, name)

        task = submit(client, type_name=name)

        assert [item["task_id"] for item in RemoteWorker(client).claim(name)] == [task["id"]]
        assert [each["id"] for each in client.get("/api/v1/tasks", query_string={"type": name}).json["items"]] == [
            task["id"]
        ]

    @pytest.mark.parametrize("name", ["", "two words", "a" * 201, ".a", "a/b"])
    def test_what_is_no_name_is_refused(self, name, client):
        answer = client.post("/api/v1/task-types", json={"name": name, "schema": {}})

        assert (answer.status_code, list(answer.json["errors"])) == (422, ["name"])

    def test_it_is_listed_and_changed(self, client):
        declare(client, timeout=20, summary="Resizes")

        changed = client.put("/api/v1/task-types/resize", json={"schema": {"type": "string"}, "timeout": 30})

        assert changed.status_code == 200, changed.text
        shown = client.get("/api/v1/task-types/resize").json
        assert (shown["payload"], shown["limits"]["timeout_seconds"], shown["remote"]) == ({"type": "string"}, 30, True)
        assert "resize" in [each["name"] for each in client.get("/api/v1/task-types").json["items"]]
        assert submit(client, "text")["status"] == "PENDING"

    def test_a_retired_type_takes_no_tasks_and_gives_those_it_has(self, client, worker):
        task = submit(client)

        assert client.delete("/api/v1/task-types/resize").status_code == 204
        refused = client.post("/api/v1/tasks", json={"type": "resize", "payload": PAYLOAD})

        assert refused.status_code == 422
        [item] = worker.claim()
        assert worker.tell(item, "fail", message="x", retry_in=0).json["outcome"] == "retrying"
        assert state(client, task)["status"] == "RETRYING"
        declare(client)

    @pytest.mark.parametrize(
        ("options", "field"),
        [
            ({"schema": {"type": "nonsense"}}, "schema"),
            ({"schema": {"$ref": "https://example.com/schema"}}, "schema"),
            ({"schema": {"$ref": "#"}}, "schema"),
            ({"schema": {"type": "string", "pattern": "(a)\\1"}}, "schema"),
            ({"timeout": 10_000_000}, "timeout"),
            ({"grace_seconds": 1_000_000}, "grace_seconds"),
            ({"examples": [{"url": 1}]}, "examples"),
            ({"rate": "often"}, "rate"),
            ({"ordering_key": "payload.nothing"}, "ordering_key"),
            ({"retry": {"max_retries": 1000}}, "retry"),
            ({"retry": {"base_seconds": 100, "cap_seconds": 1}}, "retry"),
        ],
    )
    def test_what_cannot_be_used_is_refused_where_it_stands(self, client, options, field):
        from tests.support.remote import SCHEMA

        answer = client.post("/api/v1/task-types", json={"name": "resize", "schema": SCHEMA, **options})

        assert answer.status_code == 422, answer.text
        assert field in answer.json["errors"]

    def test_only_admins_declare(self, application, database_url, client):
        user = make_person(database_url).client(application)

        assert user.post("/api/v1/task-types", json={"name": "mine", "schema": {}}).status_code == 403


def test_a_notification_comes_when_a_line_was_empty(client, worker, engine):
    listener = engine.raw_connection()
    listener.driver_connection.autocommit = True
    with listener.cursor() as cursor:
        cursor.execute(f"LISTEN {line.CHANNEL}")

    submit(client), submit(client)
    wait_for(lambda: count_hints(worker) == 2)
    listener.driver_connection.poll()
    heard = [each.payload for each in listener.driver_connection.notifies]
    listener.driver_connection.close()

    assert heard == ["resize"] or get_settings() is None


def test_remote_types_stay_known_while_celery_reads_its_configuration(application, settings, monkeypatch):
    """The API's first publication does that, while other threads look types up."""
    changed = []
    monkeypatch.setattr(registry, "look_elsewhere", changed.append)

    task_packages.use(settings)

    assert changed == []
