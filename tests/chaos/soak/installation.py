"""What is soaked: API with two processes, two workers, a dispatcher and all sinks, on servers of the test's own."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg2

from tests.support.servers.postgres import PrivatePostgres
from tests.support.servers.processes import Process
from tests.support.servers.programs import Api, Sink, Worker
from tests.support.servers.rabbitmq import PrivateRabbitMQ
from tests.support.servers.stack import Stack

UNFINISHED = "SELECT count(*) FROM tasks WHERE due_at < now() + interval '1 minute'"
START_SECONDS = 120.0  # of a process that starts while everything else is broken
CHILDREN = 3  # of each of the two workers


@dataclass(frozen=True, kw_only=True)
class Installation:
    """The processes, and what a fault may get hold of."""

    stack: Stack
    second: Worker
    sinks: Sink
    postgres: PrivatePostgres
    rabbitmq: PrivateRabbitMQ
    clock_step: Path
    """The file that says by how many seconds the clock of API, workers and dispatcher is wrong."""
    metrics: Path | None
    """Where a file system of its own holds METRICS_DIR; None where none can be mounted."""

    def unfinished(self) -> int:
        """How many tasks have not ended, those of a far moment aside. Raises psycopg2.Error."""
        connection = psycopg2.connect(self.stack.database_url, connect_timeout=3)
        try:
            with connection.cursor() as cursor:
                cursor.execute(UNFINISHED)
                return int(cursor.fetchone()[0])
        finally:
            connection.close()

    @property
    def processes(self) -> dict[str, Process]:
        """By what they are called in the table of resources."""
        stack = self.stack
        return {
            "api": stack.api,
            "worker 1": stack.worker,
            "worker 2": self.second,
            "dispatcher": stack.dispatcher,
            "sinks": self.sinks,
        }


@contextmanager
def installed(
    *,
    database_url: str,
    postgres: PrivatePostgres,
    rabbitmq: PrivateRabbitMQ,
    clock: Path,
    directory: Path,
) -> Iterator[Installation]:
    """Everything runs inside, and nothing of it afterwards."""
    step = directory / "step"
    step.write_text("0")
    with _small_file_system(directory / "metrics") as metrics:
        stack = Stack(
            database_url=database_url,
            broker_url=rabbitmq.url(rabbitmq.take_vhost()),
            lease_seconds="6",
            shutdown_grace_seconds="2",
            csv_dir=str(directory / "csv"),
            outbound_allow="127.0.0.1",
            rate_limit_create="",
            rate_limit_read="",
            **({} if metrics is None else {"metrics_dir": str(metrics)}),
        )
        second = Worker(stack.environment, concurrency=CHILDREN)
        stack.worker = Worker(stack.environment, concurrency=CHILDREN)
        stack.api = Api(stack.environment, processes=2)
        for process in (stack.worker, second, stack.dispatcher, stack.api):
            process.environment = {**process.environment, "LD_PRELOAD": str(clock), "CLOCK_STEP_FILE": str(step)}
        sinks = Sink(stack.environment, "csv", "stats", "webhooks")
        for process in (stack.worker, second, stack.dispatcher, stack.api, sinks):
            process.start_seconds = START_SECONDS
        with stack, second, sinks:
            yield Installation(
                stack=stack,
                second=second,
                sinks=sinks,
                postgres=postgres,
                rabbitmq=rabbitmq,
                clock_step=step,
                metrics=metrics,
            )


@contextmanager
def _small_file_system(place: Path) -> Iterator[Path | None]:
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        yield None
        return
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)
