"""Taskledger as it is compared: over HTTP, with RabbitMQ."""

import asyncio
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import psycopg2

from benchmarks import load
from benchmarks.systems import System
from taskledger_sdk import AsyncClient, Client
from tests.support.people import make_admin
from tests.support.servers.processes import Process
from tests.support.servers.programs import Api, Dispatcher, Worker, service_environment
from tests.support.servers.rows import fetched
from tests.support.servers.with_test_types import MORE_HANDLERS

CLOCK = Path(__file__).parent / "clock"  # the type read_clock
CONNECTIONS = 32
COROUTINES = 1_000
BULK = 500
MANY = 5_000  # waiting tasks are counted up to here


class Ours(System):
    """Taskledger over HTTP, with RabbitMQ."""

    name = "Taskledger, single POSTs"
    keeps = "row, result and history, durable"
    tasks = 3000
    options: ClassVar[tuple[str, ...]] = ()

    def start(self) -> None:
        broker = self.servers.rabbitmq.url(self.servers.rabbitmq.take_vhost())
        database, self.key = self.database_and_key(broker)
        environment = self.environment(database, broker)
        self.api = Api(environment, processes=2, threads=16)
        self.worker = Worker(environment, "--loglevel", "WARNING", *self.options)
        self.worker.is_ready = self._worker_is_alive  # type: ignore[method-assign]
        self._connection = psycopg2.connect(database)
        self._connection.autocommit = True
        self._closing.callback(self._connection.close)
        starting = (self.worker, self.api, Dispatcher(environment))
        for process in starting:
            self.prepare(process)
            process.start()
        for process in starting:
            self.run_process(process)

    def database_and_key(self, broker: str) -> tuple[str, str]:
        """A database with our tables, and the key of an admin."""
        database = self.servers.migrated_database()
        return database, make_admin(database).key

    def environment(self, database: str, broker: str) -> dict[str, str]:
        """What its programs are told."""
        found = service_environment(database_url=database, broker_url=broker, log_level="WARNING")
        return found | {MORE_HANDLERS: str(CLOCK)}

    def prepare(self, process: Process) -> None:
        """Change a program before it is started."""

    def rows(self, sql: str, values: Mapping[str, Any] | None = None) -> list[Any]:
        """What a statement on its database answers."""
        with self._connection.cursor() as cursor:
            cursor.execute(sql, values)
            return fetched(cursor)

    def _worker_is_alive(self) -> bool:
        return bool(self.rows("SELECT count(*) FROM workers WHERE last_seen_at > now() - interval '3 s'")[0][0])

    def submit(self, count: int) -> tuple[float, float]:
        sent = load.send(self._requests(count), port=self.api.port, connections=CONNECTIONS)
        self._sent = getattr(self, "_sent", 0) + count
        return sent.began, sent.ended

    def _requests(self, count: int) -> list[bytes]:
        task = {"type": "reverse_string", "payload": "hello world"}
        return [load.request("/api/v1/tasks", task, port=self.api.port, Authorization=f"Bearer {self.key}")] * count

    def submit_slowly(self, count: int, pace: float) -> None:
        task = {"type": "read_clock", "payload": "hello world"}
        headers = {"Authorization": f"Bearer {self.key}"}
        self._began = load.send_slowly("/api/v1/tasks", task, port=self.api.port, count=count, pace=pace, **headers)
        self._sent = getattr(self, "_sent", 0) + count

    def done(self) -> int:
        # By the partial index of what is unfinished, and not of all: counting disturbs what is measured.
        waiting = f"SELECT count(*) FROM (SELECT FROM tasks WHERE due_at IS NOT NULL LIMIT {MANY}) AS waiting"
        return getattr(self, "_sent", 0) - int(self.rows(waiting)[0][0])

    def start_latencies(self) -> list[float]:
        rows = self.rows("SELECT id::text, result::float8 FROM tasks WHERE type = 'read_clock' AND result IS NOT NULL")
        return [entered - self._began[id_] for id_, entered in rows if id_ in self._began]


class OursInBulk(Ours):
    """The same, 500 in a request."""

    name = f"Taskledger, {BULK} a POST"
    tasks = 20_000
    bulk = BULK

    def submit(self, count: int) -> tuple[float, float]:
        batch = {"tasks": [{"type": "reverse_string", "payload": "hello world"}] * BULK}
        headers = {"Authorization": f"Bearer {self.key}", "Prefer": "return=minimal"}
        one = load.request("/api/v1/tasks/batch", batch, port=self.api.port, **headers)
        sent = load.send([one] * (count // BULK), port=self.api.port, connections=4)
        self._sent = getattr(self, "_sent", 0) + count
        return sent.began, sent.ended


class OursThroughClient(Ours):
    """The same through the Python client: threads that submit one at a time, each of which waits for its answer."""

    name = f"Taskledger, client, {CONNECTIONS} threads"
    tasks = 8_000

    def submit(self, count: int) -> tuple[float, float]:
        left = iter(range(count))

        def caller(client: Client) -> None:
            for _ in left:
                client.submit("reverse_string", "hello world")

        with Client(self.api.url, self.key) as client, ThreadPoolExecutor(CONNECTIONS) as pool:
            began = time.time()
            for each in [pool.submit(caller, client) for _ in range(CONNECTIONS)]:
                each.result()
            ended = time.time()
        self._sent = getattr(self, "_sent", 0) + count
        return began, ended


class OursThroughAsyncClient(Ours):
    """The same with coroutines."""

    name = f"Taskledger, client, {COROUTINES:,} coroutines"
    tasks = 12_000

    def submit(self, count: int) -> tuple[float, float]:
        began, ended = asyncio.run(self._submit(count))
        self._sent = getattr(self, "_sent", 0) + count
        return began, ended

    async def _submit(self, count: int) -> tuple[float, float]:
        left = iter(range(count))

        async def caller(client: AsyncClient) -> None:
            for _ in left:
                await client.submit("reverse_string", "hello world")

        async with AsyncClient(self.api.url, self.key) as client:
            began = time.time()
            await asyncio.gather(*(caller(client) for _ in range(COROUTINES)))
            return began, time.time()
