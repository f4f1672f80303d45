"""An installation for a test: API, worker and dispatcher on a database and a virtual host of their own."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any, Self

import psycopg2
import psycopg2.extras
import requests

from tests.support.people import make_admin
from tests.support.servers.broker import Broker
from tests.support.servers.programs import Api, Dispatcher, Worker, service_environment
from tests.support.servers.rows import fetched
from tests.support.servers.waiting import wait_for

FINISHED = ("COMPLETED", "FAILED", "CANCELLED")


class Stack:
    """Everything is started at once and awaited together; what a test stops, it may start again."""

    def __init__(self, *, database_url: str, broker_url: str, **settings: str) -> None:
        self.database_url = database_url
        self.environment = service_environment(database_url=database_url, broker_url=broker_url, **settings)
        self.broker = Broker(broker_url)
        self.api = Api(self.environment)
        self.worker = Worker(self.environment)
        self.dispatcher = Dispatcher(self.environment)
        self.http = requests.Session()
        self._closing = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as closing:
            closing.enter_context(self.http)
            self.reconnect()
            closing.callback(lambda: self._connection.close())
            self.http.headers.update(make_admin(self.database_url).headers)
            processes = (self.dispatcher, self.worker, self.api)
            for process in processes:
                closing.callback(process.end)
                process.start()
            for process in processes:
                process.wait_until_ready()
            self._closing = closing.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.close()

    def reconnect(self) -> None:
        """A new connection for `rows`, at first and after PostgreSQL was stopped."""
        self._connection = psycopg2.connect(self.database_url)
        self._connection.autocommit = True

    def post(self, path: str, body: Any, **options: Any) -> requests.Response:
        return self.http.post(f"{self.api.url}/api/v1{path}", json=body, timeout=30, **options)

    def get(self, path: str, **parameters: Any) -> requests.Response:
        return self.http.get(f"{self.api.url}/api/v1{path}", params=parameters, timeout=70)

    def submit(self, type_: str, payload: Any, **fields: Any) -> str:
        """Submit a task; return its id."""
        answer = self.post("/tasks", {"type": type_, "payload": payload, **fields})
        assert answer.status_code == 201, f"{answer.status_code}: {answer.text}"
        return str(answer.json()["id"])

    def task(self, task_id: str, **parameters: Any) -> dict[str, Any]:
        answer = self.get(f"/tasks/{task_id}", **parameters)
        assert answer.status_code == 200, f"{answer.status_code}: {answer.text}"
        return dict(answer.json())

    def events(self, task_id: str) -> list[str]:
        """The statuses a task has had, oldest first."""
        return [event["status"] for event in self.get(f"/tasks/{task_id}/events").json()["items"]]

    def rows(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """What a psql beside the service would see, or change."""
        with self._connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
            cursor.execute(sql, parameters)
            return [dict(row) for row in fetched(cursor)]

    def statuses(self, ids: Iterable[str]) -> dict[str, int]:
        """How many of these tasks are in which status."""
        rows = self.rows(
            "SELECT status, count(*) AS n FROM tasks WHERE id = ANY(%(ids)s::uuid[]) GROUP BY status",
            {"ids": list(ids)},
        )
        return {row["status"]: row["n"] for row in rows}

    @contextmanager
    def without_worker(self) -> Iterator[None]:
        """While inside there is no worker: what is submitted waits. Killed, as a clean stop takes Celery 3 seconds."""
        self.worker.kill()
        try:
            yield
        finally:
            self.worker.start().wait_until_ready()

    def wait_until(self, status: str, ids: Iterable[str], *, timeout: float = 20.0) -> None:
        """Return once all of these tasks have this status. Raises AssertionError with the statuses they have."""
        ids = list(ids)
        seen: dict[str, int] = {}

        def arrived() -> bool:
            seen.clear()
            seen.update(self.statuses(ids))
            return seen == {status: len(ids)}

        try:
            wait_for(arrived, timeout=timeout)
        except AssertionError:
            raise AssertionError(f"{len(ids)} tasks were to be {status} within {timeout} s, but: {seen}") from None
