"""A NATS server of the tests' own, from an installed nats-server: with JetStream, on a free port, with a password."""

import os
import shutil
import socket
import tempfile
from pathlib import Path

from tests.support.servers.processes import Process
from tests.support.servers.waiting import free_port

USER, PASSWORD = "taskledger", "only-for-these-tests"
PLACES = ("/usr/sbin", "/usr/local/bin", "/usr/local/sbin", "/opt/homebrew/bin")


def find_nats_server() -> Path | None:
    """The program, or None when it is not installed."""
    on_path = shutil.which("nats-server")
    places = [Path(place) / "nats-server" for place in PLACES] + ([Path(on_path)] if on_path else [])
    return next((place for place in places if os.access(place, os.X_OK)), None)


class PrivateNats(Process):
    """Knows its address from the beginning; the server runs between `start` and `stop`, and starts again."""

    def __init__(self, program: Path, *, jetstream: bool = True, most_bytes: int | None = None) -> None:
        """`most_bytes`: how much all streams together may hold; without it, as much as the disk has."""
        self.port = free_port()
        self._namespaces = 0
        self._root = Path(tempfile.mkdtemp(prefix="taskledger-nats-"))
        self._most_bytes = most_bytes
        self.configure(jetstream=jetstream)
        super().__init__(
            [program, "--config", self._configuration],
            name="nats",
            environment={"PATH": os.defpath},
            directory=self._root,
        )

    def configure(self, *, jetstream: bool = True, store: str = "data") -> None:
        """From the next start on: with JetStream or without, and with the streams of this folder."""
        limit = "" if self._most_bytes is None else f", max_file_store: {self._most_bytes}"
        self._configuration.write_text(
            f"listen: 127.0.0.1:{self.port}\n"
            f"authorization {{ user: {USER}, password: {PASSWORD} }}\n"
            + (f"jetstream {{ store_dir: {self._root}/{store}{limit} }}\n" if jetstream else "")
        )

    @property
    def _configuration(self) -> Path:
        return self._root / "nats.conf"

    def url(self, namespace: str, *, password: str = PASSWORD) -> str:
        return f"nats://{USER}:{password}@127.0.0.1:{self.port}/{namespace}"

    def new_url(self) -> str:
        """A namespace that nothing has used yet."""
        self._namespaces += 1
        return self.url(f"t{self._namespaces}")

    def is_ready(self) -> bool:
        hello = f'CONNECT {{"user":"{USER}","pass":"{PASSWORD}","verbose":false}}\r\nPING\r\n'
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                lines = connection.makefile("rb")
                lines.readline()  # INFO
                connection.sendall(hello.encode())
                return lines.readline() == b"PONG\r\n"
        except OSError:
            return False

    def end(self) -> None:
        super().end()
        shutil.rmtree(self._root, ignore_errors=True)
