"""The servers of a comparison: PostgreSQL with fsync, RabbitMQ, and Valkey with its append-only file."""

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Self
from uuid import uuid4

import psycopg2
import redis

from app.embedded import valkey
from tests.support.servers.databases import Databases
from tests.support.servers.postgres import PrivatePostgres
from tests.support.servers.processes import Process
from tests.support.servers.rabbitmq import PrivateRabbitMQ, find_scripts
from tests.support.servers.waiting import free_port


class Valkey(Process):
    """Writes its append-only file to the disk each second, as the queues that use it recommend."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        command = [valkey.binary(), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", directory]
        command += [
            "--appendonly",
            "yes",
            "--appendfsync",
            "everysec",
            "--save",
            "",
            "--maxmemory-policy",
            "noeviction",
        ]
        super().__init__([str(part) for part in command], name="valkey", environment={}, directory=directory)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url, decode_responses=True)

    def is_ready(self) -> bool:
        try:
            return bool(self.client().ping())
        except redis.ConnectionError:
            return False


class Servers:
    """All three, started once; each measurement takes a database and a virtual host of its own."""

    def __enter__(self) -> Self:
        scripts = find_scripts()
        assert scripts is not None, "RabbitMQ is needed: install rabbitmq-server"
        self._closing = ExitStack()
        directory = Path(self._closing.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        self.rabbitmq = self._closing.enter_context(PrivateRabbitMQ(scripts))
        self.postgres = self._closing.enter_context(PrivatePostgres(durable=True))
        self.valkey = self._closing.enter_context(Valkey(directory))
        self._migrated = Databases(self.postgres.url())
        return self

    def __exit__(self, *error: object) -> None:
        self._closing.close()

    @property
    def processes(self) -> list[Process]:
        return [self.rabbitmq, self.postgres, self.valkey]

    def migrated_database(self) -> str:
        """A database of ours."""
        return self._migrated.create(f"bench_{uuid4().hex[:8]}")

    def empty_database(self) -> str:
        """A database for a peer."""
        name = f"peer_{uuid4().hex[:8]}"
        connection = psycopg2.connect(self.postgres.url())
        connection.autocommit = True
        connection.cursor().execute(f'CREATE DATABASE "{name}"')
        connection.close()
        return self.postgres.url(name)
