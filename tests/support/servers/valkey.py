"""A Valkey of the tests' own, from the embedded mode's wheel: on a free port, with a password, keeping what it has."""

import os
import shutil
import socket
import tempfile
from pathlib import Path

import redis

from app.embedded import valkey as embedded
from tests.support.servers.processes import Process
from tests.support.servers.waiting import free_port

PASSWORD = "only-for-these-tests"
DATABASES = 64


class PrivateValkey(Process):
    """Knows its address from the beginning; the server runs between `start` and `stop`, and starts again."""

    def __init__(self) -> None:
        self.port = free_port()
        self._databases = 0
        self._root = Path(tempfile.mkdtemp(prefix="taskledger-valkey-"))
        configuration = self._root / "valkey.conf"
        configuration.write_text(
            f"bind 127.0.0.1\nport {self.port}\nrequirepass {PASSWORD}\ndatabases {DATABASES}\n"
            f'dir {self._root}\nsave ""\nappendonly yes\nappendfsync no\n'
        )
        super().__init__(
            [embedded.binary(), configuration], name="valkey", environment={"PATH": os.defpath}, directory=self._root
        )

    def url(self, database: int, *, password: str = PASSWORD) -> str:
        return f"redis://:{password}@127.0.0.1:{self.port}/{database}"

    def new_url(self) -> str:
        """A database that nothing has used yet."""
        self._databases += 1
        assert self._databases < DATABASES
        return self.url(self._databases)

    def is_ready(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(f"AUTH {PASSWORD}\r\nPING\r\n".encode())
                answer = connection.makefile("rb")
                return (answer.readline(), answer.readline()) == (b"+OK\r\n", b"+PONG\r\n")
        except OSError:
            return False

    def ask(self, *words: str) -> object:
        """Send a command as an operator would; returns the answer. Raises redis.RedisError."""
        with redis.Redis(port=self.port, password=PASSWORD, socket_timeout=5) as client:
            return client.execute_command(*words)

    def end(self) -> None:
        super().end()
        shutil.rmtree(self._root, ignore_errors=True)
