"""Where the audit log is sent to: syslog over TCP, TLS and UDP, or an HTTP endpoint that takes NDJSON."""

import json
import socket
import ssl
import time
from collections.abc import Sequence
from typing import Any, Protocol

import requests
from requests.auth import AuthBase

from app.config import Settings
from app.config.audit_sink import AuditTarget, target_of
from app.sinks.audit import streams, syslog

Entry = dict[str, Any]
HTTP_SECONDS = (5.0, 30.0)  # to connect, and for the answer to begin
TOO_LARGE = 413
BUSY = (429, 503)
MAX_WAIT_SECONDS = 300.0
ICMP_SECONDS = 0.05
PACE_SECONDS = 0.001


class Failed(Exception):
    """The receiver did not take what it was sent; `wait_seconds` is what it asked for, None: nothing."""

    def __init__(self, text: str, *, wait_seconds: float | None = None) -> None:
        super().__init__(text)
        self.wait_seconds = wait_seconds


class TooLarge(Failed):
    """It was too much at once."""


class Receiver(Protocol):
    """Takes entries; when `send` returns it has them, as far as its protocol tells."""

    name: str

    def send(self, entries: Sequence[Entry]) -> None:
        """Send entries, in order. Raises Failed; then all of them are sent again."""


def receiver_of(settings: Settings) -> Receiver | None:
    """What AUDIT_SINK_URL names; None: nothing."""
    if settings.audit_sink_url is None:
        return None
    target, authority = target_of(settings.audit_sink_url), settings.audit_sink_ca_file
    if target.scheme in ("http", "https"):
        return HttpReceiver(target, token=settings.audit_sink_token, authority=authority)
    if target.scheme == "udp":
        return DatagramReceiver(target)
    return StreamReceiver(target, tls=ssl.create_default_context(cafile=authority) if target.scheme == "tls" else None)


class _Bearer(AuthBase):
    """The secret; as an authentication of its own, so that requests does not look for another one in ~/.netrc."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class HttpReceiver:
    """POSTs NDJSON; any answer of 200 to 299 says that all of it was taken."""

    def __init__(self, target: AuditTarget, *, token: str, authority: str | None) -> None:
        self.name = target.shown
        self._url = target.url
        self._auth = _Bearer(token)
        self._session = requests.Session()
        self._session.verify = authority or True

    def send(self, entries: Sequence[Entry]) -> None:
        """Send entries, one a line."""
        body = "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries).encode()
        headers = {"Content-Type": "application/x-ndjson", "User-Agent": "taskledger"}
        try:
            # A redirect is no answer: it would carry the entries, and the secret, to where nobody said.
            answer = self._session.post(
                self._url,
                data=body,
                headers=headers,
                auth=self._auth,
                timeout=HTTP_SECONDS,
                allow_redirects=False,
                stream=True,  # what it says beyond the status is not read
            )
        except (requests.RequestException, OSError) as error:
            raise Failed(f"{self.name}: {_cause(error)}") from error
        with answer:
            if 200 <= answer.status_code < 300:
                return
            text = f"{self.name} answered {answer.status_code} {answer.reason}"
            if answer.status_code == TOO_LARGE:
                raise TooLarge(text)
            raise Failed(text, wait_seconds=_asked_to_wait(answer))


def _asked_to_wait(answer: requests.Response) -> float | None:
    asked = answer.headers.get("Retry-After", "")
    if answer.status_code not in BUSY or not (asked.isascii() and asked.isdigit()):
        return None
    return min(float(asked), MAX_WAIT_SECONDS)


def _cause(error: BaseException) -> str:
    """What the system said; requests and urllib3 wrap it in errors that repeat the address and more."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return f"{type(error).__name__}: {error}"


class StreamReceiver:
    """Syslog over TCP, or over TLS (RFC 5425); the next batch waits until the receiver has read this one."""

    def __init__(self, target: AuditTarget, *, tls: ssl.SSLContext | None) -> None:
        self.name = target.shown
        self._address = target.address
        self._tls = tls
        self._host = socket.getfqdn()

    def send(self, entries: Sequence[Entry]) -> None:
        """Send entries over a connection of their own."""
        data = b"".join(syslog.framed(syslog.message(entry, host=self._host)) for entry in entries)
        try:
            streams.send(data, self._address, tls=self._tls)
        except OSError as error:
            raise Failed(f"{self.name}: {type(error).__name__}: {error}") from error


class DatagramReceiver:
    """Syslog over UDP (RFC 5426): what gets lost stays lost. That nobody listens is noticed where a host says so."""

    def __init__(self, target: AuditTarget) -> None:
        self.name = target.shown
        self._address = target.address
        self._host = socket.getfqdn()

    def send(self, entries: Sequence[Entry]) -> None:
        """Send entries, a datagram each."""
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(*self._address, type=socket.SOCK_DGRAM)[0]
            with socket.socket(family, kind, protocol) as connection:
                connection.connect(address)
                self._knock(connection, entries[0])
                for entry in entries[1:]:
                    connection.send(syslog.datagram(entry, host=self._host))
                    time.sleep(PACE_SECONDS)  # what comes faster than the receiver reads is dropped by its system
                self._listen(connection)
        except OSError as error:
            raise Failed(f"{self.name}: {type(error).__name__}: {error}") from error

    def _knock(self, connection: socket.socket, entry: Entry) -> None:
        """Send the first alone: if nobody listens, the others wait."""
        connection.send(syslog.datagram(entry, host=self._host))
        self._listen(connection)

    def _listen(self, connection: socket.socket) -> None:
        time.sleep(ICMP_SECONDS)
        found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if found:
            raise OSError(found, "nobody listens there")
