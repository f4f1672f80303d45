"""A real server and clients that are slow on purpose: nobody else notices, and none is held for longer than it may."""

import json
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import requests
import sqlalchemy as sa

from tests.support.people import Person, make_person
from tests.support.servers.databases import NO_BROKER
from tests.support.servers.programs import Api, service_environment
from tests.support.servers.slow_clients import (
    HALF_HEAD,
    HALF_LOG_IN,
    SlowClients,
    everything,
    percentile,
    upload_end,
    upload_head,
)

pytestmark = [pytest.mark.long, pytest.mark.alone]

THREADS = 8
HEALTH_SECONDS, SUBMISSION_SECONDS = 0.2, 0.3
DEADLINE_SECONDS = 13.0  # ten, and how often the server looks, and what it lingers
SECURITY_HEADERS = ("x-content-type-options", "x-frame-options", "content-security-policy", "referrer-policy")
TASK = {"type": "reverse_string", "payload": "hello"}
LARGE_TASKS = """
INSERT INTO tasks (id, type, status, payload, priority, queue, max_retries, created_at, due_at, owner_id)
SELECT gen_random_uuid(), 'reverse_string', 'PENDING', to_jsonb(repeat('x', 150000)), 'normal', 'tasks', 3, now(),
  now() + interval '1 day', :owner FROM generate_series(1, 40)
"""


@pytest.fixture
def api(database_url, engine, tmp_path) -> Iterator[Api]:
    environment = service_environment(
        database_url=database_url, broker_url=NO_BROKER, artifacts_url=f"file://{tmp_path}", rate_limit_auth=""
    )
    with Api(environment, threads=THREADS) as running:
        yield running


@pytest.fixture
def person(database_url) -> Person:
    return make_person(database_url)


def assert_others_are_served(api: Api, person: Person, *, times: int = 40) -> None:
    """Health and submissions are as fast as ever."""
    health, submissions = [], []
    with requests.Session() as session:
        for _ in range(times):
            began = time.monotonic()
            # A connection of its own, as that of a load balancer.
            assert requests.get(f"{api.url}/health/live", timeout=5).json() == {"status": "live"}
            health.append(time.monotonic() - began)
            began = time.monotonic()
            answer = session.post(f"{api.url}/api/v1/tasks", json=TASK, headers=person.headers, timeout=5)
            assert answer.status_code == 201
            submissions.append(time.monotonic() - began)
    # Not the slowest few: other tests run beside this one. benchmarks/slow_clients.py tells all of it.
    assert percentile(health, 0.9) < HEALTH_SECONDS
    assert percentile(submissions, 0.9) < SUBMISSION_SECONDS


def problem_of(answer: bytes) -> tuple[int, str]:
    """Status and code of a whole answer, which must be a problem with the headers that protect every answer."""
    head, _, body = answer.partition(b"\r\n\r\n")
    said = head.decode().lower()
    assert "content-type: application/problem+json" in said
    for name in SECURITY_HEADERS:
        assert f"\r\n{name}: " in said, name
    problem = json.loads(body)
    assert set(problem) == {"type", "title", "status", "detail", "code", "errors"}
    assert problem["status"] == int(head.split()[1])
    return problem["status"], problem["code"]


def ask(api: Api, request: bytes, *, within: float = 10.0) -> bytes:
    """What is answered until the server hangs up."""
    with socket.create_connection(("127.0.0.1", api.port)) as connection:
        connection.sendall(request)
        return everything(connection, until=time.monotonic() + within)


@pytest.mark.parametrize(
    "begun",
    [
        HALF_HEAD,
        HALF_LOG_IN,
        HALF_LOG_IN.replace(b"Content-Length: 90", b"Transfer-Encoding: chunked").replace(b'{"em', b'5\r\n{"em'),
        HALF_LOG_IN.replace(b"Content-Length: 90", b"Content-Length: 90\r\nExpect: 100-continue").removesuffix(b'{"em'),
    ],
    ids=["half heads", "half bodies", "half chunked bodies", "continue and nothing"],
)
def test_half_requests_hold_nobody_up_and_are_told_so(api, person, begun):
    with SlowClients(api.port, [begun] * 40, trickle=b"" if b"Expect" in begun else b"a") as clients:
        assert_others_are_served(api, person)
        answers = clients.answers(within=DEADLINE_SECONDS)

    last = [answer.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n") for answer in answers]
    assert {problem_of(answer) for answer in last} == {(408, "request_timeout")}


def test_uploads_of_a_byte_now_and_then_hold_nobody_up(api, person):
    head = upload_head(person.headers, size=10_000_000)
    with SlowClients(api.port, [head] * 34, trickle=b"x", every=0.5) as clients:
        assert_others_are_served(api, person)
        answers = clients.answers(within=DEADLINE_SECONDS)

    assert {problem_of(answer) for answer in answers} == {(408, "request_timeout")}


def test_uploads_that_become_slow_have_a_share_of_the_threads(api, person):
    head = upload_head(person.headers, size=10_000_000) + b"x" * 200_000
    with SlowClients(api.port, [head] * 34, trickle=b"x", every=0.5):
        assert_others_are_served(api, person)
        with SlowClients(api.port, [head]) as one:  # behind those, and for no longer than it is waited for
            [answer] = one.answers(within=45)

    assert problem_of(answer)[0] in (408, 503)


def test_an_upload_that_becomes_slow_is_told_so(api, person):
    with SlowClients(api.port, [upload_head(person.headers, size=10_000_000) + b"x" * 200_000]) as clients:
        [answer] = clients.answers(within=DEADLINE_SECONDS)

    assert problem_of(answer) == (408, "request_timeout")


def test_a_slow_upload_that_makes_progress_goes_through(api, person):
    size, pieces = 1_800_000, 60  # 120 kB/s, for longer than any grace
    head = upload_head(person.headers | {"Connection": "close"}, size=size)
    with SlowClients(api.port, [head]) as clients:
        [connection] = clients.sockets
        for _ in range(pieces):
            connection.sendall(b"y" * (size // pieces))
            time.sleep(0.25)
        connection.sendall(upload_end())
        [answer] = clients.answers(within=20)

    assert answer.startswith(b"HTTP/1.1 201 ")
    assert f'"size":{size}'.encode() in answer


def test_clients_that_do_not_read_long_answers_hold_nobody_up(api, person, session):
    session.execute(sa.text(LARGE_TASKS), {"owner": person.id})
    session.commit()
    authorization = person.headers["Authorization"]
    request = f"GET /api/v1/tasks?limit=40 HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\n\r\n".encode()
    with SlowClients(api.port, [request] * 40, receive_buffer=4_096):
        time.sleep(2)  # for what is larger than the buffers to be met
        assert_others_are_served(api, make_person(api.environment["DATABASE_URL"]))


def test_clients_that_never_close_what_was_ended_hold_nobody_up(api, person):
    request = b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with SlowClients(api.port, [request] * 40):
        assert_others_are_served(api, person, times=20)
    with SlowClients(api.port, [b"GET nowhere HTTP/1.1\r\n\r\n"] * 40):
        assert_others_are_served(api, person, times=20)


def test_one_who_sends_all_requests_at_once_has_them_answered_in_order_and_holds_nobody_up(api, person):
    one = b"GET /api/v1/nothing/%d HTTP/1.1\r\nHost: x\r\n\r\n"
    many = b"".join(one % number for number in range(300))
    with SlowClients(api.port, [many + HALF_HEAD] * THREADS) as clients:
        assert_others_are_served(api, person)
        for answer in clients.answers(within=30):
            places = [answer.find(b"/api/v1/nothing/%d;" % number) for number in range(300)]
            assert -1 not in places
            assert places == sorted(places)
            assert answer.count(b"HTTP/1.1 404") == 300
            assert answer.count(b"HTTP/1.1 408") == 1


def test_who_asks_before_sending_a_body_is_told_to_go_on_once(api, person):
    body = json.dumps(TASK).encode()
    authorization = person.headers["Authorization"]
    head = (
        f"POST /api/v1/tasks HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\nExpect: 100-continue\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    with SlowClients(api.port, [head.encode()]) as clients:
        [connection] = clients.sockets
        assert connection.recv(1_000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        [answer] = clients.answers(within=10)

    assert answer.startswith(b"HTTP/1.1 201 ")


@pytest.mark.parametrize("piece", [1, 7, 1_000])
def test_a_chunked_body_in_pieces_is_put_together(api, person, piece):
    text = json.dumps(TASK).encode()
    body = (
        b"".join(b"%x;name=value\r\n%s\r\n" % (len(part), part) for part in (text[:9], text[9:])) + b"0\r\nA: b\r\n\r\n"
    )
    authorization = person.headers["Authorization"]
    head = (
        f"POST /api/v1/tasks HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\nTransfer-Encoding: chunked\r\n"
        "Content-Type: application/json\r\nConnection: close\r\n\r\n"
    )
    whole = head.encode() + body
    with SlowClients(api.port, [b""]) as clients:
        [connection] = clients.sockets
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(whole), piece):
            connection.sendall(whole[at : at + piece])
            time.sleep(0.001)
        [answer] = clients.answers(within=10)

    assert answer.startswith(b"HTTP/1.1 201 ")


def test_an_attempt_at_a_web_socket_is_answered_and_holds_nobody_up(api, person):
    request = (
        b"GET /api/v1/events/stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    with SlowClients(api.port, [request + b"\x81\x85\x37\xfa\x21\x3d"] * 40) as clients:
        assert_others_are_served(api, person)
        assert all(answer.startswith(b"HTTP/1.1 400 ") for answer in clients.answers(within=DEADLINE_SECONDS))


REFUSED_BY_THE_SERVER = {
    "a long line": (b"GET /" + b"x" * 9_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", (414, "uri_too_long")),
    "a long header": (b"GET / HTTP/1.1\r\nA: " + b"x" * 9_000 + b"\r\n\r\n", (431, "head_too_large")),
    "many headers": (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", (431, "head_too_large")),
    "a head without end": (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 20_000, (431, "head_too_large")),
    "a bare LF": (b"GET / HTTP/1.1\nHost: x\n\n", (400, "malformed_request")),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", (400, "malformed_request")),
    "a wrong length": (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", (400, "malformed_request")),
    "two lengths": (
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        (400, "malformed_request"),
    ),
    "an expectation": (b"GET / HTTP/1.1\r\nHost: x\r\nExpect: wonders\r\n\r\n", (417, "expectation_failed")),
    "a coding": (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: br\r\n\r\n", (501, "not_implemented")),
    "a wrong chunk": (
        HALF_LOG_IN.replace(b"Content-Length: 90", b"Transfer-Encoding: chunked") + b"\r\n",
        (400, "malformed_request"),
    ),
}


def test_what_the_server_refuses_by_itself_is_a_problem_like_all_others(api):
    answers = {name: problem_of(ask(api, request)) for name, (request, _) in REFUSED_BY_THE_SERVER.items()}

    assert answers == {name: expected for name, (_, expected) in REFUSED_BY_THE_SERVER.items()}


def test_long_polls_of_one_account_leave_places_for_others(api, person, database_url):
    other = make_person(database_url)

    def wait(who: Person, seconds: float) -> float:
        task = requests.post(f"{api.url}/api/v1/tasks", json=TASK, headers=who.headers, timeout=5).json()
        began = time.monotonic()
        requests.get(f"{api.url}/api/v1/tasks/{task['id']}?wait={seconds}", headers=who.headers, timeout=30)
        return time.monotonic() - began

    crowd = [threading.Thread(target=wait, args=(person, 6)) for _ in range(40)]
    for each in crowd:
        each.start()
    time.sleep(2)
    assert wait(other, 1) >= 1  # it is waited for: not answered at once
    assert_others_are_served(api, other, times=10)
    for each in crowd:
        each.join()


def test_a_stop_does_not_wait_for_slow_clients_longer_than_it_may(api):
    with SlowClients(api.port, [HALF_HEAD, b"", HALF_LOG_IN]):
        time.sleep(0.2)
        began = time.monotonic()
        api.stop()

    assert time.monotonic() - began < 9  # --graceful-timeout is 5
