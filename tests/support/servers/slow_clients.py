"""Clients that are slow on purpose: they hold connections, and send or read as little as they can."""

import socket
import ssl
import threading
import time
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Self

HALF_HEAD = b"GET /api/v1/tasks HTTP/1.1\r\nHost: x\r\n"
HALF_LOG_IN = (
    b'POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 90\r\n\r\n{"em'
)
BOUNDARY = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\n'


def upload_head(headers: dict[str, str], *, size: int) -> bytes:
    """The head of an upload of so many bytes, and the beginning of its form."""
    more = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    length = len(BOUNDARY) + size + len(upload_end())
    head = (
        f"POST /api/v1/artifacts HTTP/1.1\r\nHost: x\r\n{more}Content-Type: multipart/form-data; boundary=x\r\n"
        f"Content-Length: {length}\r\n\r\n"
    )
    return head.encode() + BOUNDARY


def upload_end() -> bytes:
    """What ends that form."""
    return b"\r\n--x--\r\n"


class SlowClients:
    """So many connections, each of which has sent the same, and sends `trickle` again and again."""

    def __init__(
        self,
        port: int,
        begun: Sequence[bytes],
        *,
        trickle: bytes = b"",
        every: float = 5.0,
        host: str = "127.0.0.1",
        receive_buffer: int | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._address = (host, port)
        self._begun = begun
        self._trickle = trickle
        self._every = every
        self._receive_buffer = receive_buffer
        self._tls = tls
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._go_on, daemon=True)
        self.sockets: list[socket.socket] = []

    def __enter__(self) -> Self:
        for begun in self._begun:
            connection = socket.socket()
            if self._receive_buffer is not None:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
            connection.settimeout(30)
            connection.connect(self._address)
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection)
            connection.sendall(begun)
            self.sockets.append(connection)
        if self._trickle:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        if self._trickle:
            self._thread.join()
        for connection in self.sockets:
            connection.close()

    def _go_on(self) -> None:
        while not self._stopping.wait(self._every):
            for connection in self.sockets:
                try:
                    connection.sendall(self._trickle)
                except OSError:  # the server has hung up
                    continue

    def answers(self, *, within: float) -> list[bytes]:
        """What each was sent until the server hung up. Raises AssertionError when one is still held after so long."""
        until = time.monotonic() + within
        return [everything(connection, until=until) for connection in self.sockets]


def everything(connection: socket.socket, *, until: float) -> bytes:
    """All that is sent until the other side hangs up. Raises AssertionError when it has not by `until` (monotonic)."""
    received = b""
    while True:
        left = until - time.monotonic()
        assert left > 0, f"still held; received {received[:200]!r}"
        connection.settimeout(left)
        try:
            part = connection.recv(65_536)
        except ConnectionError:
            return received
        except TimeoutError:
            continue
        if not part:
            return received
        received += part


def percentile(seconds: Iterable[float], share: float) -> float:
    """The value that such a share of them does not exceed."""
    ordered = sorted(seconds)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]
