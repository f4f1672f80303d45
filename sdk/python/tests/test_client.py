"""The client's methods against a service that answers as a test says: what is asked, and what becomes of the answer."""

import itertools
import json
import os
import threading
from dataclasses import FrozenInstanceError, dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

import httpx2
import pytest
from fake_submissions import MOMENT, task_of

import taskledger_sdk
from taskledger_sdk import Client
from taskledger_sdk.client import (
    Conflict,
    Invalid,
    NotConfigured,
    NotFinished,
    NotFound,
    QuotaReached,
    Task,
    Unavailable,
    Unreachable,
    Unsendable,
    new_id,
)
from taskledger_sdk.http.transport import Transport

KEY = "tl_test"
ID = "018f3c5e-7d2a-7000-8000-0123456789ab"
TASK = task_of({"id": ID, "type": "greet", "payload": "hello"})
DONE = {**TASK, "status": "COMPLETED", "result": "olleh", "attempt": 1, "finished_at": MOMENT}


@pytest.fixture
def client(service, home):
    with Client(service.url, KEY, retry_seconds=3) as client:
        yield client


class TestSettings:
    def test_from_arguments_before_the_environment(self, home, monkeypatch):
        monkeypatch.setenv("TASKLEDGER_URL", "http://127.0.0.1:1")
        monkeypatch.setenv("TASKLEDGER_API_KEY", "tl_environment")

        assert Client()._session.connection.api_key == "tl_environment"
        assert Client("http://127.0.0.1:2", "tl_argument")._session.connection.url == "http://127.0.0.1:2"
        assert Client(api_key="tl_argument")._session.connection.api_key == "tl_argument"

    def test_from_what_tledger_login_keeps(self, home):
        folder = home / "config" / "taskledger"
        folder.mkdir(parents=True)
        kept = {"profiles": {"work": {"url": "https://tasks.example", "api_key": "tl_kept"}}}
        (folder / "credentials.json").write_text(json.dumps(kept))
        (folder / "credentials.json").chmod(0o600)

        found = Client(profile="work")._session.connection

        assert (found.url, found.api_key) == ("https://tasks.example", "tl_kept")

    def test_without_a_key_it_says_where_to_get_one(self, home):
        with pytest.raises(NotConfigured, match=r"tledger login --url http://127\.0\.0\.1:8000"):
            Client()

    def test_plain_http_goes_to_another_machine_only_when_allowed(self, home):
        with pytest.raises(NotConfigured, match="without TLS"):
            Client("http://tasks.example", KEY)
        assert Client("http://tasks.example", KEY, allow_http=True)._session.connection.url == "http://tasks.example"

    def test_a_file_of_certificates_that_is_none_is_refused(self, home):
        (home / "ca.pem").write_text("nonsense")
        with pytest.raises(NotConfigured, match="cannot be used"):
            Client("https://tasks.example", KEY, ca_file=home / "ca.pem")

    def test_the_key_is_in_no_repr(self, home):
        client = Client("http://127.0.0.1:2", "tl_secret")
        assert "tl_secret" not in f"{client!r} {client._session.connection!r}"

    def test_it_is_loaded_when_it_is_asked_for(self):
        assert taskledger_sdk.Client is Client
        assert "AsyncClient" in taskledger_sdk.__all__


class TestSubmitting:
    def test_says_what_was_given_and_nothing_else(self, service, client):
        service.answer("POST", "/tasks", TASK, status=201)

        task = client.submit(
            "greet",
            {"when": date(2026, 1, 2), "price": Decimal("1.10")},
            scheduled_at=datetime(2026, 1, 2, tzinfo=UTC),
            priority="high",
            name=None,
        )

        [request] = service.requests
        id_ = request.body.pop("id")
        assert request.body == {
            "type": "greet",
            "payload": {"when": "2026-01-02", "price": "1.10"},
            "scheduled_at": "2026-01-02T00:00:00+00:00",
            "priority": "high",
        }
        assert request.headers["authorization"] == f"Bearer {KEY}"
        assert UUID(id_).version == 7
        assert "idempotency-key" not in request.headers
        assert task.is_new
        assert task.id == UUID(ID)

    def test_the_same_id_is_the_same_submission(self, service, client):
        service.answer("POST", "/tasks", TASK, status=200)
        id_ = new_id()

        assert not client.submit("greet", 1, id=id_).is_new
        assert service.requests[0].body["id"] == str(id_)

    @pytest.mark.parametrize(
        "payload",
        [object(), float("nan"), {"at": datetime(2026, 1, 1)}, b"bytes", {1, 2}],  # noqa: DTZ001
    )
    def test_what_is_no_json_is_refused_before_it_is_sent(self, service, client, payload):
        with pytest.raises(Unsendable, match="cannot be sent as JSON"):
            client.submit("greet", payload)
        assert service.requests == []

    def test_a_dataclass_may_be_a_payload(self, service, client):
        @dataclass
        class Greeting:
            name: str

        service.answer("POST", "/tasks", TASK, status=201)
        client.submit("greet", Greeting("Ada"))
        assert service.requests[0].body["payload"] == {"name": "Ada"}

    def test_a_refusal_names_each_path(self, service, client):
        errors = {"payload": {"language": ["must be one of: en, de"]}}
        service.refuse("POST", "/tasks", 422, "payload_refused", "payload.language must be …", errors=errors)

        with pytest.raises(Invalid) as caught:
            client.submit("greet", {})

        assert caught.value.code == "payload_refused"
        assert caught.value.field_errors() == [("payload.language", "must be one of: en, de")]

    def test_a_quota_is_for_the_caller_to_decide_about(self, service, client):
        service.refuse("POST", "/tasks", 429, "quota_reached", "Too many.", headers={"Retry-After": "2"})
        with pytest.raises(QuotaReached) as caught:
            client.submit("greet", 1)
        assert caught.value.retry_after == 2
        assert len(service.requests) == 1


class TestRepeating:
    def test_what_is_safe_is_repeated_until_the_time_is_over(self, service, home):
        service.refuse("GET", f"/tasks/{ID}", 503, "unavailable", "Away.")
        with Client(service.url, KEY, retry_seconds=0.5) as client, pytest.raises(Unavailable):
            client.get(ID)
        assert 2 <= len(service.requests) <= 5

    def test_a_broken_connection_is_made_again_with_the_same_id(self, service, client):
        service.answer("POST", "/tasks", b"", status=0)
        service.answer("POST", "/tasks", TASK, status=201)
        client.submit("greet", 1)
        first, second = service.requests
        assert first.body == second.body

    def test_what_is_not_safe_is_not_repeated(self, service, client):
        service.answer("POST", f"/tasks/{ID}/retry", b"", status=0)
        with pytest.raises(Unreachable):
            client.retry(ID)
        assert len(service.requests) == 1

    def test_where_nothing_listens_it_says_so(self, home):
        client = Client("http://127.0.0.1:9", KEY, retry_seconds=0)
        with pytest.raises(Unreachable, match=r"http://127\.0\.0\.1:9 cannot be reached"):
            client.get(ID)

    def test_pauses_have_jitter_and_heed_retry_after(self, home):
        told = {"status": 503, "code": "unavailable"}
        away, busy = httpx2.Response(503, headers={"Retry-After": "3"}, json=told), httpx2.Response(429, json=told)
        answers = iter([away, busy, httpx2.Response(200, json=TASK)])
        pauses: list[float] = []
        client = Client("http://127.0.0.1:9", KEY)
        http = httpx2.Client(transport=httpx2.MockTransport(lambda request: next(answers)))
        client._session._opened = Transport(
            client._session.connection,
            patience=client._session._patience,
            sleep=pauses.append,
            rand=lambda: 0.5,
            http=http,
        )
        client.get(ID)
        assert pauses == [3 + 0.25 * 0.75, 0.5 * 0.75]


class TestWaiting:
    def test_asks_until_it_has_ended(self, service, client):
        service.answer("GET", f"/tasks/{ID}", {**TASK, "status": "PROCESSING"})
        service.answer("GET", f"/tasks/{ID}", DONE)

        task = client.wait(ID)

        assert task.result == "olleh"
        assert [request.query for request in service.requests] == [{"wait": ["30.0"]}] * 2

    def test_says_how_far_it_was_when_the_time_is_over(self, service, client):
        service.answer("GET", f"/tasks/{ID}", {**TASK, "status": "PROCESSING"})
        with pytest.raises(NotFinished, match="PROCESSING") as caught:
            client.wait(ID, timeout=0.4)
        assert caught.value.last.status == "PROCESSING"
        assert isinstance(caught.value, TimeoutError)
        assert 2 <= len(service.requests) <= 4  # not as fast as it can

    def test_of_a_run(self, service, client):
        run = {"id": ID, "workflow": "w", "status": "RUNNING", "progress": {"done": 0, "total": 2}, "steps": []}
        service.answer("GET", f"/runs/{ID}", run)
        service.answer("GET", f"/runs/{ID}", {**run, "status": "COMPLETED", "steps": [{"key": "a", "state": "DONE"}]})
        found = client.wait_run(ID)
        assert found.is_finished
        assert found.steps[0].key == "a"
        assert repr(client.get_run(ID)) == f"<Run {ID} w COMPLETED, 0 of 2 steps>"


class TestReading:
    def test_a_list_is_read_page_by_page_as_it_is_used(self, service, client):
        service.answer("GET", "/tasks", {"items": [TASK, TASK], "next": "c1"})
        service.answer("GET", "/tasks", {"items": [DONE], "next": None})

        found = client.list(status=["FAILED", "CANCELLED"], labels={"team": "billing"}, created_after=datetime.now(UTC))

        assert service.requests == []
        assert [task.status for task in itertools.islice(found, 2)] == ["PENDING"] * 2
        assert len(service.requests) == 1
        assert [task.status for task in found] == ["COMPLETED"]
        assert service.requests[1].query["cursor"] == ["c1"]
        assert service.requests[0].query["status"] == ["FAILED", "CANCELLED"]
        assert service.requests[0].query["label"] == ["team:billing"]

    def test_results_are_frozen_aware_and_keep_what_is_not_known(self, service, client):
        service.answer("GET", f"/tasks/{ID}", DONE, etag='"e1"')
        task = client.get(ID)
        assert task.finished_at == datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
        assert task.raw["later"] == {"field": 1}
        assert task.etag == '"e1"'
        with pytest.raises(FrozenInstanceError):
            task.status = "FAILED"

    def test_a_repr_says_what_matters(self):
        failed = {**DONE, "status": "FAILED", "error": {"type": "ValueError", "message": "x" * 100}, "attempt": 3}
        assert repr(Task.of(DONE)) == f"<Task {ID} greet COMPLETED, attempt 1, result 'olleh'>"
        assert repr(Task.of(TASK)) == f"<Task {ID} greet PENDING>"
        assert repr(Task.of(failed)).startswith(f"<Task {ID} greet FAILED, attempt 3, ValueError: 'xxx")
        assert len(repr(Task.of(failed))) < 160

    def test_not_found(self, service, client):
        service.refuse("GET", f"/tasks/{ID}", 404, "not_found", "There is no such task.")
        with pytest.raises(NotFound, match="There is no such task"):
            client.get(ID)


class TestChanging:
    def test_only_what_was_read(self, service, client):
        service.answer("GET", f"/tasks/{ID}", TASK, etag='"e1"')
        service.refuse("PATCH", f"/tasks/{ID}", 412, "precondition_failed", "It has changed.")
        task = client.get(ID)
        with pytest.raises(Conflict):
            client.change(task, unless_changed=task, priority="high", name=None)
        [request] = service.asked("PATCH", f"/tasks/{ID}")
        assert request.headers["if-match"] == '"e1"'
        assert request.body == {"priority": "high", "name": None}

    def test_a_schedule_is_put_by_its_name(self, service, client):
        service.answer("PUT", "/schedules/every%20night", b"", status=0)
        service.answer("PUT", "/schedules/every%20night", {"id": ID, "name": "every night"}, status=201)

        made = client.schedules.put("every night", cron="0 2 * * *", task={"type": "greet", "payload": 1})

        assert made.name == "every night"
        bodies = [each.body for each in service.requests]
        assert bodies == [{"cron": "0 2 * * *", "task": {"type": "greet", "payload": 1}}] * 2

    def test_an_event_is_told_once_however_often_it_is_sent(self, service, client):
        said = {"id": ID, "name": "order.paid", "data": {"total": 5}, "task_id": ID, "applied_at": None,
                "received_at": "2026-11-29T01:00:00Z"}  # fmt: skip
        service.answer("POST", "/events", b"", status=0)
        service.answer("POST", "/events", said, status=201)
        matches = [{"event_id": ID, "trigger_id": ID, "state": "started", "task_id": ID, "run_id": None,
                    "reason": None, "at": "2026-11-29T01:00:01Z"}]  # fmt: skip
        service.answer("GET", f"/events/{ID}", said | {"state": "applied", "summary": "Of 1 …", "matches": matches})

        event = client.send_event("order.paid", {"total": 5})
        found = client.get_event(event)

        sent = service.asked("POST", "/events")
        assert [each.body for each in sent] == [{"name": "order.paid", "data": {"total": 5}}] * 2
        assert len({each.headers["idempotency-key"] for each in sent}) == 1
        assert (event.state, event.matches) == (None, ())
        assert (found.state, [match.state for match in found.matches]) == ("applied", ["started"])

    def test_a_trigger_is_created_changed_and_deleted(self, service, client):
        trigger = {"id": ID, "event": "order.paid", "enabled": True}
        service.answer("POST", "/triggers", trigger, status=201)
        service.answer("PATCH", f"/triggers/{ID}", trigger | {"enabled": False})
        service.answer("DELETE", f"/triggers/{ID}", b"", status=204)

        made = client.triggers.create("order.paid", task={"type": "greet", "payload": {"$from": "event.data"}})
        paused = client.triggers.change(made, enabled=False)
        client.triggers.delete(made)

        assert (made.enabled, paused.enabled) == (True, False)
        assert service.requests[0].body == {
            "event": "order.paid",
            "task": {"type": "greet", "payload": {"$from": "event.data"}},
        }


def test_ids_are_of_version_7_and_of_now():
    before = datetime.now(UTC).timestamp()
    ids: set[UUID] = set()
    threads = [threading.Thread(target=lambda: ids.update(new_id() for _ in range(1000))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 4000
    assert {(each.version, each.variant) for each in ids} == {(7, "specified in RFC 4122")}
    assert all(-0.01 < (each.int >> 80) / 1000 - before < 10 for each in ids)


def test_a_forked_child_makes_other_ids():
    new_id()  # more numbers than this one needs have been asked for
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, b"".join(new_id().bytes[8:] for _ in range(100)))
        finally:
            os._exit(0)
    os.close(writing)
    own = {new_id().bytes[8:] for _ in range(100)}
    with open(reading, "rb") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    others = {said[start : start + 8] for start in range(0, len(said), 8)}

    assert (len(own), len(others), own & others) == (100, 100, set())
