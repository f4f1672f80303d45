"""A receiver of syslog over TCP or TLS in a process of its own, which a test may kill; it keeps a file of messages."""

import argparse
import json
import socket
import socketserver
import ssl
import sys
import time
from pathlib import Path
from typing import Any

from tests.support.servers.databases import ROOT
from tests.support.servers.processes import Process
from tests.support.servers.waiting import wait_for

READY = "listening"


class SyslogReceiver(Process):
    """Takes messages one after the other, with a pause after each; what it has taken is in the file at once."""

    def __init__(self, folder: Path, *, pause_seconds: float = 0.0, certificate: Path | None = None) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.file = folder / f"syslog-{self.port}"
        self.file.touch()
        command = [sys.executable, "-m", __name__, str(self.port), str(self.file), "--pause", str(pause_seconds)]
        command += ["--certificate", str(certificate)] if certificate else []
        environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
        super().__init__(command, name="syslog", environment=environment, directory=ROOT)

    def is_ready(self) -> bool:
        """Whether it listens."""
        return READY in self.log_of_this_run

    @property
    def messages(self) -> list[str]:
        """What it has taken, in the order in which it did."""
        return self.file.read_text(encoding="utf-8").splitlines()

    @property
    def entries(self) -> list[dict[str, Any]]:
        """The JSON of each message."""
        return [json.loads(message[message.index("{") :]) for message in self.messages]

    def wait_for_entries(self, count: int, *, timeout: float = 20.0) -> None:
        """Until it has so many different ones."""
        wait_for(lambda: len({each["id"] for each in self.entries}) >= count, timeout=timeout, what=f"{count} entries")


class _Handler(socketserver.StreamRequestHandler):
    def setup(self) -> None:
        if self.server.tls is not None:  # type: ignore[attr-defined]
            self.request = self.server.tls.wrap_socket(self.request, server_side=True)  # type: ignore[attr-defined]
        super().setup()

    def handle(self) -> None:
        """Octet counting, as RFC 6587 and RFC 5425 have it; a message that was cut off is none."""
        while (size := self._size()) is not None:
            text = self.rfile.read(size)
            if len(text) < size:
                return
            with self.server.path.open("ab") as file:  # type: ignore[attr-defined]
                file.write(text + b"\n")
            time.sleep(self.server.pause)  # type: ignore[attr-defined]

    def _size(self) -> int | None:
        digits = b""
        while (read := self.rfile.read(1)) not in (b"", b" "):
            digits += read
        return int(digits) if digits and read else None


class _Server(socketserver.TCPServer):
    allow_reuse_address = True

    def handle_error(self, *_: object) -> None:
        """A connection that was reset is not the end of the receiver."""


def main() -> None:
    """Serve until the end of the process, one connection at a time."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("path", type=Path)
    parser.add_argument("--pause", type=float, default=0.0)
    parser.add_argument("--certificate", type=Path)
    given = parser.parse_args()
    with _Server(("127.0.0.1", given.port), _Handler) as server:
        server.path, server.pause, server.tls = given.path, given.pause, None  # type: ignore[attr-defined]
        if given.certificate is not None:
            server.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # type: ignore[attr-defined]
            server.tls.load_cert_chain(given.certificate)  # type: ignore[attr-defined]
        sys.stdout.write(f"{READY}\n")
        sys.stdout.flush()
        server.serve_forever()


if __name__ == "__main__":
    main()
