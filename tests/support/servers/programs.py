"""The service's own processes, started with the commands that operators use."""

import os
import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any
from uuid import uuid4

import psycopg2
import requests

from app.config import database_address
from tests.support.servers.databases import ROOT
from tests.support.servers.processes import Process
from tests.support.servers.waiting import free_port

KEPT = ("ARTIFACTS_URL", "PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT", "VIRTUAL_ENV", "PYTHONPATH")


def service_environment(*, database_url: str, broker_url: str, **settings: str) -> dict[str, str]:
    """The variables of one installation: nothing of the machine's own configuration, and what the test says."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    ours = {
        "DATABASE_URL": database_url,
        "BROKER_URL": broker_url,
        "VAR_DIR": "/nonexistent/taskledger",  # nothing may be read from a `make run` beside the tests
        "LOG_FORMAT": "console",
        "PYTHONUNBUFFERED": "1",
    }
    return kept | ours | {name.upper(): value for name, value in settings.items()}


def _python(module: str, *arguments: str) -> list[str]:
    """A module run by this Python; it knows the task types of tests/support/task_types/ as well."""
    return [sys.executable, "-m", "tests.support.servers.with_test_types", module, *arguments]


def by_celery(command: Sequence[Any]) -> list[Any]:
    """The command of a program, as versions before December 2026 need it: these have no `python -m tasks`."""
    for place, (module, program) in enumerate(pairwise(command)):
        if module == "tasks" and program in ("worker", "beat"):
            return [*command[:place], "celery", "-A", *command[place:]]
    return list(command)


class Worker(Process):
    """`python -m tasks worker`, under a node name of its own."""

    def __init__(self, environment: Mapping[str, str], *options: str, concurrency: int = 2) -> None:
        self.node = f"worker-{uuid4().hex[:8]}"
        command = _python("tasks", "worker", "--loglevel", "INFO")
        command += ["-n", f"{self.node}@%h", "--concurrency", str(concurrency)]
        command += ["--without-mingle", *options]  # it waits a second for neighbours that a test does not have
        super().__init__(command, name="worker", environment=environment, directory=ROOT)

    def is_ready(self) -> bool:
        return f"@{os.uname().nodename} ready." in self.log_of_this_run


class Dispatcher(Process):
    """`python -m tasks beat`."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        command = _python("tasks", "beat", "--loglevel", "INFO")
        super().__init__(command, name="dispatcher", environment=environment, directory=ROOT)

    def is_ready(self) -> bool:
        connection = psycopg2.connect(**database_address.read(self.environment["DATABASE_URL"]).parameters)
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT count(*) FROM duties WHERE last_success_at > %s", (self.started_at,))
                return bool(cursor.fetchone()[0])
        finally:
            connection.close()


class Sink(Process):
    """`flask --app app sink NAME ...`."""

    def __init__(self, environment: Mapping[str, str], *names: str) -> None:
        command = _python("flask", "--app", "app", "sink", *names)
        self.names = names
        super().__init__(command, name=f"sink-{'-'.join(names)}", environment=environment, directory=ROOT)

    def is_ready(self) -> bool:
        started = self.log_of_this_run.count("sink_started")
        return started >= len(self.names)


class Api(Process):
    """gunicorn with threads, as in the containers."""

    def __init__(self, environment: Mapping[str, str], *, processes: int = 1, threads: int = 8) -> None:
        self.port = free_port()
        command = _python("gunicorn", "--worker-class", "app.server.Threads", "--workers", str(processes))
        command += ["--threads", str(threads), "--bind", f"127.0.0.1:{self.port}", "--no-control-socket"]
        command += ["--keep-alive", "75", "--graceful-timeout", "5", "app.factory:create_app()"]
        super().__init__(command, name="api", environment=environment, directory=ROOT)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def is_ready(self) -> bool:
        return _answers(f"{self.url}/health/live")


class Flower(Process):
    """`celery -A tasks flower`, behind a password."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.port = free_port()
        self.login = ("flower", uuid4().hex)
        command = _python("celery", "-A", "tasks", "flower", "--address=127.0.0.1")
        super().__init__(
            [*command, f"--port={self.port}"],
            name="flower",
            environment={**environment, "FLOWER_BASIC_AUTH": ":".join(self.login)},
            directory=ROOT,
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def is_ready(self) -> bool:
        return _answers(f"{self.url}/healthcheck")

    def hears(self, worker: "Worker") -> bool:
        """Whether an event of the worker has reached it: it knows nothing of what was before."""
        metrics = requests.get(f"{self.url}/metrics", auth=self.login, timeout=5).text
        return f'flower_worker_online{{worker="{worker.node}@' in metrics

    def finished(self, task_id: str) -> dict[str, Any] | None:
        """What it shows of a task that succeeded; None of another."""
        shown = requests.get(f"{self.url}/api/tasks", auth=self.login, timeout=5).json().get(task_id)
        return shown if shown and shown["state"] == "SUCCESS" else None


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).ok
    except requests.RequestException:
        return False
