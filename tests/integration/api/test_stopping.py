"""An API process that is told to stop: what it has begun it finishes, and nobody new waits for it."""

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import requests

from tests.support.people import Person, make_person
from tests.support.servers.databases import NO_BROKER
from tests.support.servers.programs import Api, service_environment
from tests.support.servers.waiting import wait_for

POLL_SECONDS = 4


@pytest.fixture
def api(database_url, engine, tmp_path) -> Iterator[Api]:
    environment = service_environment(
        database_url=database_url, broker_url=NO_BROKER, artifacts_url=f"file://{tmp_path}"
    )
    server = Api(environment, processes=2)
    server.start_seconds = 60.0  # two of them load everything at once
    with server as running:
        yield running


@pytest.fixture
def person(database_url) -> Person:
    return make_person(database_url)


class LongPoll(threading.Thread):
    """Waits for a task that nobody runs."""

    def __init__(self, api: Api, person: Person) -> None:
        super().__init__()
        task = requests.post(
            f"{api.url}/api/v1/tasks",
            json={"type": "reverse_string", "payload": "hello"},
            headers=person.headers,
            timeout=10,
        )
        self._url, self._headers = f"{api.url}/api/v1/tasks/{task.json()['id']}?wait={POLL_SECONDS}", person.headers
        self.status = 0
        self.asks = threading.Event()

    def run(self) -> None:
        self.asks.set()
        self.status = requests.get(self._url, headers=self._headers, timeout=20).status_code


def is_refused(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) != 0


def test_nobody_new_is_kept_waiting_while_what_was_begun_is_finished(api, person):
    poll = LongPoll(api, person)
    poll.start()
    assert poll.asks.wait(5)
    time.sleep(0.5)  # it has been sent, and is being answered

    os.kill(api.pid, signal.SIGTERM)
    wait_for(lambda: is_refused(api.port), timeout=POLL_SECONDS - 1.5, what="connections are refused")
    was_waiting = poll.is_alive()
    poll.join(20)

    assert was_waiting
    assert poll.status == 200
