"""A TCP server that misbehaves exactly as told: it sends these bytes, and waits where None stands."""

import socket
import threading
from collections.abc import Iterable
from types import TracebackType
from typing import Self


class RawServer:
    """Answers every connection with the same pieces; `pause` seconds pass where a piece is None."""

    def __init__(
        self,
        pieces: Iterable[bytes | None],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        pause: float = 0.05,
        speaks_first: bool = False,
    ) -> None:
        self.pieces = list(pieces)
        self.received: list[bytes] = []
        self._stopping = threading.Event()
        self._pause = pause
        self._speaks_first = speaks_first
        self._listener = socket.create_server((host, port))
        self.host, self.port = self._listener.getsockname()[:2]
        self.url = f"http://{host}:{self.port}"
        self._threads = [threading.Thread(target=self._serve, daemon=True)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._listener.close()
        for thread in self._threads:
            thread.join(5)

    def _serve(self) -> None:
        self._listener.settimeout(0.1)
        while not self._stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            thread = threading.Thread(target=self._answer, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(5)
            try:
                if not self._speaks_first:
                    self.received.append(connection.recv(65_536))
                for piece in self.pieces:
                    if piece is None:
                        self._stopping.wait(self._pause)
                    else:
                        connection.sendall(piece)
                    if self._stopping.is_set():
                        return
            except OSError:
                return
