"""Live streams of a real server: what becomes of clients that take the connection and do not read."""

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest
import requests
import sqlalchemy as sa

from tests.support.factories import pass_events_on
from tests.support.people import Person, make_admin
from tests.support.servers.databases import NO_BROKER
from tests.support.servers.programs import Api, service_environment
from tests.support.servers.waiting import wait_for

STREAM = "/api/v1/events/stream"
MORE_THAN_BUFFERS_HOLD = 40_000  # events, some 9 MB
MANY = """
INSERT INTO tasks (id, type, status, payload, priority, queue, max_retries, created_at, due_at)
SELECT gen_random_uuid(), 'reverse_string', 'PENDING', '"x"', 'normal', 'tasks', 3, now(), now() + interval '1 day'
FROM generate_series(1, :number)
"""


@pytest.fixture
def api(database_url, engine) -> Iterator[Api]:
    environment = service_environment(database_url=database_url, broker_url=NO_BROKER, max_streams="1")
    with Api(environment, threads=4) as running:
        yield running


def silent(api: Api, person: Person, query: str = "") -> socket.socket:
    """A client that asks for a stream and never reads more than the head of the answer."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    connection.settimeout(20)
    connection.connect(("127.0.0.1", api.port))
    head = f"GET {STREAM}{query} HTTP/1.1\r\nHost: x\r\nAuthorization: {person.headers['Authorization']}\r\n\r\n"
    connection.sendall(head.encode())
    assert b" 200 " in connection.recv(100)
    return connection


def status_of_another(api: Api, person: Person) -> int:
    with requests.get(f"{api.url}{STREAM}", headers=person.headers, stream=True, timeout=20) as answer:
        return answer.status_code


def test_a_client_that_does_not_read_does_not_keep_its_place(api, database_url, session):
    admin = make_admin(database_url)
    with closing(silent(api, admin)):
        assert status_of_another(api, admin) == 503
        session.execute(sa.text(MANY), {"number": MORE_THAN_BUFFERS_HOLD})
        pass_events_on(session)

        wait_for(lambda: status_of_another(api, admin) == 200, timeout=20)
