"""One exchange on the wire: checked addresses one after the other, the target as it was given, one last status."""

from __future__ import annotations

import http.client
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from tasks.deadline import Deadline

CONNECT_SECONDS = 10.0
MAX_INTERIM = 16  # answers before the answer, such as 103 Early Hints
PLAIN = "".join(chr(code) for code in range(0x21, 0x7F))  # what a request line may hold as it is


@dataclass
class Wire:
    """What a connection has to keep to; the addresses are known once they are checked."""

    deadline: Deadline
    target: str
    addresses: Sequence[str] = field(default_factory=tuple)


def request_target(url: str) -> str:
    """What stands behind the host of a URL, byte for byte: signed URLs must arrive as they were signed.

    Only what no request line can hold is written differently: space, control and non-ASCII characters become
    percent-encoded UTF-8. A fragment is not sent. Raises ValueError for a URL without a host.
    """
    _, found, rest = url.strip().partition("://")
    if not found:
        raise ValueError("it has no host")
    begin = next((place for place, char in enumerate(rest) if char in "/?#"), len(rest))
    if "\\" in rest[:begin]:  # some take it for a slash, so that two readers see two hosts
        raise ValueError("there is a backslash in its host")
    target = rest[begin:].partition("#")[0]
    return quote(target if target.startswith("/") else f"/{target}", safe=PLAIN)


def pools(wire: Wire) -> dict[str, type[HTTPConnectionPool]]:
    """urllib3's pools, whose sockets the deadline shuts down: from before the TLS handshake to the last byte."""

    class Plain(_Held, HTTPConnection):  # type: ignore[misc]  # urllib3 types its class more narrowly
        held_to = wire

    class Encrypted(_Held, HTTPSConnection):  # type: ignore[misc]  # as above
        held_to = wire

        def connect(self) -> None:
            super().connect()
            # Without the peer's farewell a connection was cut off, and a body without a length with it.
            if hasattr(self.sock, "suppress_ragged_eofs"):
                self.sock.suppress_ragged_eofs = False

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain  # type: ignore[assignment]  # as above

    class EncryptedPool(HTTPSConnectionPool):
        ConnectionCls = Encrypted  # type: ignore[assignment]  # as above

    return {"http": PlainPool, "https": EncryptedPool}


class _LastAnswer(http.client.HTTPResponse):
    """The last answer to a request, with all of its headers; interim ones (RFC 9110, 15.2) are passed over."""

    def begin(self) -> None:
        if self.headers is not None:
            return
        reader = self.fp
        lines = self.fp = _Lines(reader)
        try:
            super().begin()
        finally:
            self.fp = self.fp and reader
        if lines.last.strip():  # Python takes the end of the connection for the end of the headers
            raise http.client.IncompleteRead(lines.last)

    def _read_status(self) -> tuple[str, int, str]:
        for _ in range(MAX_INTERIM + 1):
            version, status, reason = super()._read_status()  # type: ignore[misc]  # not in the type stubs
            if not 100 <= status < 200 or status == http.HTTPStatus.SWITCHING_PROTOCOLS:
                return version, status, reason
            http.client.parse_headers(self.fp)
        raise http.client.HTTPException(f"there were more than {MAX_INTERIM} interim answers")


class _Lines:
    """A reader that remembers its last line."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader
        self.last = b""

    def readline(self, limit: int = -1) -> bytes:
        line: bytes = self._reader.readline(limit)
        self.last = line or self.last or b"nothing"
        return line

    def close(self) -> None:
        self._reader.close()


class _Held:
    """What both kinds of connection do alike."""

    held_to: Wire
    response_class = _LastAnswer

    def _new_conn(self) -> Any:
        """A socket to the first address that takes a connection; each gets its share of the time that is left."""
        fault: Exception = OSError("it has no address")
        addresses = self.held_to.addresses
        for number, address in enumerate(addresses):
            left = self.held_to.deadline.remaining()
            self._dns_host = address
            self.timeout = min(CONNECT_SECONDS, left / (len(addresses) - number))
            try:
                connected = super()._new_conn()  # type: ignore[misc]  # of the class it is mixed into
            except (NewConnectionError, ConnectTimeoutError) as error:
                fault = error
            else:
                connected.settimeout(min(CONNECT_SECONDS, left))
                return self.held_to.deadline.guard(connected)
        raise fault

    def putrequest(self, method: str, url: str, **options: Any) -> None:
        """The request line; urllib3 would have written the target anew."""
        super().putrequest(method, self.held_to.target, **options)  # type: ignore[misc]  # as above
