"""A receiver of webhooks that accepts connections and does not answer until it is told to; it counts them."""

import socket
import threading
from types import TracebackType
from typing import Self

ANSWER = b"HTTP/1.1 %d X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Receiver:
    """`status` None: it accepts, reads and stays silent. What waits when it begins to answer is answered, too."""

    def __init__(self, status: int | None = None) -> None:
        self.status = status
        self.requests = 0
        self.most_at_once = 0
        self._open = 0
        self._changed = threading.Condition()
        self._stopping = False
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/hook"
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def answer(self, status: int) -> None:
        """From now on."""
        with self._changed:
            self.status = status
            self._changed.notify_all()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with self._changed:
            self.requests += 1
            self._open += 1
            self.most_at_once = max(self.most_at_once, self._open)
        try:
            with connection:
                connection.settimeout(0.2)
                self._wait(connection)
        finally:
            with self._changed:
                self._open -= 1

    def _wait(self, connection: socket.socket) -> None:
        """Until it may answer, or the other side has hung up."""
        while not self._stopping:
            try:
                if not connection.recv(65_536):
                    return
            except TimeoutError:
                pass
            except OSError:
                return
            status = self.status
            if status is not None:
                connection.sendall(ANSWER % status)
                return
