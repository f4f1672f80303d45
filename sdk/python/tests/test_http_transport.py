"""The transport, against a server on this machine."""

import socket

import pytest

from taskledger_sdk.client.submissions import JSON
from taskledger_sdk.connection import Connection
from taskledger_sdk.http.calls import Call
from taskledger_sdk.http.errors import Invalid, NotConfigured, Unavailable, Unreachable, Unsendable
from taskledger_sdk.http.streams import follow
from taskledger_sdk.http.transport import Transport

KEY = "tl_a-key"
EVENT = 'id: {0}\nevent: task.completed\ndata: {{"task_id": "t-{0}"}}\n\n'


@pytest.fixture
def slept():
    return []


@pytest.fixture
def api(service, slept):
    with Transport(Connection(url=service.url, api_key=KEY), sleep=slept.append, rand=lambda: 0.0) as transport:
        yield transport


def test_a_request_carries_the_key_and_leaves_out_what_was_not_said(api, service):
    service.answer("GET", "/tasks", {"items": []})

    api.get("/tasks", {"status": ["FAILED", "CANCELLED"], "q": None, "type": []})

    [asked] = service.requests
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked.query == {"status": ["FAILED", "CANCELLED"]}


def test_a_creation_is_repeated_with_the_same_key_until_it_is_answered(api, service, slept):
    service.answer("POST", "/tasks", b"", status=0)
    service.refuse("POST", "/tasks", 503, "unavailable", "Later.", headers={"Retry_After": "2"})
    service.answer("POST", "/tasks", {"id": "1"}, status=201)

    assert api.post("/tasks", {}, idempotency_key="once") == {"id": "1"}

    assert [asked.headers["idempotency-key"] for asked in service.requests] == ["once"] * 3
    assert slept == [0.25, 2.5]


def test_what_is_written_already_is_sent_as_it_is(api, service):
    service.answer("POST", "/tasks", {"id": "1"}, status=201)

    api.send(Call(method="POST", path="/tasks", content=b'{"type": "greet"}', headers=JSON, idempotency_key="once"))

    [asked] = service.requests
    assert asked.body == {"type": "greet"}
    said = {name: asked.headers[name] for name in ("content-type", "accept", "authorization", "idempotency-key")}
    assert said == {
        "content-type": "application/json",
        "accept": "application/json",
        "authorization": f"Bearer {KEY}",
        "idempotency-key": "once",
    }
    assert asked.headers["user-agent"].startswith("taskledger-sdk/")
    assert asked.headers["host"] == service.url.removeprefix("http://")


@pytest.mark.parametrize("written", [{"content": b"{}"}, {"body": {}}])
def test_what_no_header_can_say_cannot_be_sent(api, service, written):
    with pytest.raises(Unsendable, match="This cannot be sent"):
        api.send(Call(method="POST", path="/tasks", idempotency_key="ключ", **written))

    assert service.requests == []


def test_what_may_have_been_done_is_not_done_again(api, service, slept):
    service.answer("POST", "/tasks/1/cancel", b"", status=0)

    with pytest.raises(Unreachable):
        api.post("/tasks/1/cancel")

    assert (len(service.requests), slept) == (1, [])


def test_a_refusal_is_raised_at_once(api, service, slept):
    service.refuse("GET", "/tasks", 422, "validation_failed", "limit must be a number.")

    with pytest.raises(Invalid, match="limit must be a number"):
        api.get("/tasks")

    assert (len(service.requests), slept) == (1, [])


def test_a_service_that_stays_away_is_told_after_a_few_tries(api, service, slept):
    service.refuse("GET", "/tasks", 503, "unavailable", "Later.")

    with pytest.raises(Unavailable):
        api.get("/tasks")

    assert slept == [0.25, 0.5, 1.0]


def test_a_key_does_not_follow_a_redirect(api, service, slept):
    service.answer("GET", "/tasks", b"", status=302, Location="https://elsewhere.example.org/")

    with pytest.raises(Unreachable, match="elsewhere"):
        api.get("/tasks")

    assert len(service.requests) == 1


def test_nobody_there_is_said_with_the_address(slept):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    with Transport(Connection(url=url, api_key=KEY), sleep=slept.append) as api, pytest.raises(Unreachable, match=url):
        api.post("/tasks/1/cancel")

    assert len(slept) == 3  # it was never sent, so that it may be tried again


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_file_of_authorities_that_is_none_is_named(tmp_path, content):
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)

    with pytest.raises(NotConfigured, match="TASKLEDGER_CA_FILE"):
        Transport(Connection(url="https://example.org", ca_file=file))


def test_pages_follow_their_cursors(api, service):
    service.answer("GET", "/tasks", {"items": [1], "next": "c"})
    service.answer("GET", "/tasks", {"items": [2], "next": None})

    assert [page["items"] for page in api.pages("/tasks", {"limit": 1})] == [[1], [2]]
    assert [asked.query for asked in service.requests] == [{"limit": ["1"]}, {"limit": ["1"], "cursor": ["c"]}]


def stream(service, *events: str) -> None:
    text = "retry: 2000\n\n" + "".join(events)
    service.answer("GET", "/events/stream", text.encode(), Content_Type="text/event-stream")


def test_a_stream_goes_on_where_it_broke_off(api, service, slept):
    stream(service, EVENT.format(5), EVENT.format(6))
    service.refuse("GET", "/events/stream", 503, "too_many_streams", "Later.", headers={"Retry_After": "3"})
    stream(service, ": beat\nid: 9\n\n")
    stream(service, EVENT.format(10))
    breaks = []

    events = follow(api, {"type": ["x"]}, after="4", sleep=slept.append, on_break=breaks.append)
    found = [next(events) for _ in range(3)]

    assert [(event.id, event.event, event.data) for event in found] == [
        ("5", "task.completed", {"task_id": "t-5"}),
        ("6", "task.completed", {"task_id": "t-6"}),
        ("10", "task.completed", {"task_id": "t-10"}),
    ]
    assert [asked.headers["last-event-id"] for asked in service.requests] == ["4", "6", "6", "9"]
    assert slept == [0.5, 3.0, 0.5]
    assert [type(failure) for failure in breaks] == [type(None), Unavailable, type(None)]


def test_a_stream_that_never_began_is_a_failure(api, service):
    service.refuse("GET", "/events/stream", 503, "too_many_streams", "Later.")

    with pytest.raises(Unavailable):
        next(follow(api, {}))


def test_a_refusal_ends_a_stream_that_had_begun(api, service, slept):
    stream(service, EVENT.format(1))
    service.refuse("GET", "/events/stream", 401, "unauthenticated", "The key was revoked.")

    events = follow(api, {}, sleep=slept.append)
    next(events)

    with pytest.raises(Exception, match="revoked"):
        next(events)
