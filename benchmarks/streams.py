"""The live stream under load: many clients, a steady flow of events, and submissions beside them.

    python -m benchmarks.streams [--clients 500] [--rate 200] [--seconds 20] [--json]

Starts PostgreSQL (with fsync), a stream process and an API process of its own. The flow is made by SQL, numbered and
announced by the code of the dispatcher. Each client asks for one label of a group of five, so that an event matches at
most five streams. Lag: from an event's `at` to its arrival here. POSTs go to the API process at five a second.
"""

import argparse
import json
import os
import selectors
import socket
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime
from uuid import uuid4

import psycopg2
import requests

from tests.support.people import Person, make_admin
from tests.support.servers.databases import NO_BROKER, Databases
from tests.support.servers.postgres import PrivatePostgres
from tests.support.servers.programs import Api, service_environment

CLIENTS_A_GROUP = 5
POSTS_A_SECOND = 5
TICK_SECONDS = 0.1
INSERT = """
INSERT INTO tasks (id, type, status, payload, priority, queue, max_retries, created_at, due_at, labels)
SELECT gen_random_uuid(), 'reverse_string', 'PENDING', '"x"', 'normal', 'tasks', 3, now(), now() + interval '1 day',
       jsonb_build_object('group', CAST(1 + floor(random() * %s) AS text))
FROM generate_series(1, %s)
"""


class Clients(threading.Thread):
    """All streams, read by one thread with one selector: 500 threads here would measure themselves."""

    def __init__(self, port: int, person: Person, count: int) -> None:
        super().__init__(daemon=True)
        self._selector = selectors.DefaultSelector()
        self._stopping = threading.Event()
        self.lags: list[float] = []
        self.connected = 0
        for number in range(count):
            self._connect(port, person, group=1 + number // CLIENTS_A_GROUP)

    def _connect(self, port: int, person: Person, group: int) -> None:
        connection = socket.create_connection(("127.0.0.1", port), timeout=60)
        head = f"GET /api/v1/events/stream?label=group:{group} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        connection.sendall(f"{head}Authorization: {person.headers['Authorization']}\r\n\r\n".encode())
        first = connection.recv(4096)
        assert b" 200 " in first.split(b"\r\n", 1)[0], first
        connection.setblocking(False)
        self._selector.register(connection, selectors.EVENT_READ)
        self.connected += 1

    def run(self) -> None:
        while not self._stopping.is_set():
            for key, _ in self._selector.select(0.2):
                text = key.fileobj.recv(65_536)
                arrived = time.time()
                for line in text.split(b"\n"):
                    if line.startswith(b"data: ") and line.endswith(b"}"):
                        happened = datetime.fromisoformat(json.loads(line[6:])["at"])
                        self.lags.append(arrived - happened.timestamp())

    def stop(self) -> None:
        self._stopping.set()
        self.join()


def p99(values: Sequence[float]) -> float:
    return sorted(values)[max(0, -(-99 * len(values) // 100) - 1)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Live streams under load")
    parser.add_argument("--clients", type=int, default=500)
    parser.add_argument("--rate", type=int, default=200, help="events a second")
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    figures = measure(options.clients, options.rate, options.seconds)
    if options.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"  {name:<24} {value}")


def measure(clients: int, rate: int, seconds: int) -> dict[str, float]:
    """Figures in milliseconds."""
    with ExitStack() as closing:
        postgres = closing.enter_context(PrivatePostgres(durable=True))
        databases = Databases(postgres.url())
        url = databases.create("streams")
        person = make_admin(url)
        environment = service_environment(database_url=url, broker_url=NO_BROKER)
        places = str(2 * clients)  # one account may not take all
        stream = Api({**environment, "MAX_STREAMS": places}, threads=clients + 20)
        stream.command += ["--worker-connections", str(4 * clients)]
        api = closing.enter_context(Api(environment))
        closing.enter_context(stream)
        readers = Clients(stream.port, person, clients)
        readers.start()
        posts: list[float] = []
        stopping = threading.Event()
        helpers = [
            threading.Thread(target=flow, args=(url, rate, clients // CLIENTS_A_GROUP, stopping)),
            threading.Thread(target=announce, args=(url, stopping)),
            threading.Thread(target=post, args=(api, person, posts, stopping)),
        ]
        for helper in helpers:
            helper.start()
        time.sleep(seconds)
        stopping.set()
        for helper in helpers:
            helper.join()
        time.sleep(1)
        readers.stop()
        return {
            "streams": readers.connected,
            "events_received": len(readers.lags),
            "lag_p50_ms": round(1000 * sorted(readers.lags)[len(readers.lags) // 2]),
            "lag_p99_ms": round(1000 * p99(readers.lags)),
            "posts": len(posts),
            "post_p99_ms": round(1000 * p99(posts), 1),
        }


def flow(url: str, rate: int, groups: int, stopping: threading.Event) -> None:
    """So many tasks a second, each of which is an event."""
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        while not stopping.wait(TICK_SECONDS):
            cursor.execute(INSERT, (groups, round(rate * TICK_SECONDS)))
            connection.commit()


def announce(url: str, stopping: threading.Event) -> None:
    """The dispatcher's duty, without a broker."""
    os.environ |= {"DATABASE_URL": url, "BROKER_URL": NO_BROKER}
    from app import clock
    from app.database import in_transaction
    from app.services import events

    head = events.Head()
    while not stopping.wait(0.1):
        batch = in_transaction(lambda session: events.next_batch(session, head, limit=1_000))
        if batch is not None:
            in_transaction(lambda session, batch=batch: events.published(session, batch, now=clock.utcnow()))


def post(api: Api, person: Person, seconds: list[float], stopping: threading.Event) -> None:
    """Submissions beside the streams."""
    http = requests.Session()
    http.headers.update(person.headers)
    while not stopping.wait(1 / POSTS_A_SECOND):
        body = {"type": "reverse_string", "payload": uuid4().hex, "scheduled_at": "2100-01-01T00:00:00Z"}
        began = time.perf_counter()
        answer = http.post(f"{api.url}/api/v1/tasks", json=body, timeout=30)
        seconds.append(time.perf_counter() - began)
        assert answer.status_code == 201, answer.text


if __name__ == "__main__":
    sys.exit(main())
