"""Connections of tasks: to public addresses, checked after DNS resolution and pinned, and to what is allowed besides.

The only module that knows the libraries AntiSSRF and requests, so that others could take their place.
"""

from __future__ import annotations

import http.client
import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, cast
from urllib.parse import urlsplit

from AntiSSRF import AntiSSRFError, AntiSSRFPolicy, PolicyConfigOptions
from AntiSSRF._antissrf_agent import (  # private, so that its version is pinned exactly
    _AntiSSRFAdapter,
    _validate_request_host,
)
from requests import PreparedRequest, Request
from requests.adapters import HTTPAdapter
from requests.exceptions import InvalidHeader, InvalidSchema, InvalidURL, MissingSchema, RequestException
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, HTTPError, LocationParseError, NewConnectionError

from taskledger_sdk.errors import PermanentError
from tasks.deadline import Deadline
from tasks.redirects import origin_of

__all__ = [
    "BROKEN",
    "CONNECT_SECONDS",
    "UNUSABLE",
    "AllowList",
    "AntiSSRFError",
    "InvalidHeader",
    "Reach",
    "adapter_for",
    "prepared",
]

GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
IPV4_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
CONNECT_SECONDS = 10.0
MAX_INTERIM = 16  # answers before the answer, such as 103 Early Hints
UNUSABLE = (InvalidURL, InvalidSchema, MissingSchema, LocationParseError, ValueError)
"""What is raised for a request that cannot be sent as it is."""
BROKEN = (RequestException, HTTPError, http.client.HTTPException, OSError)
"""What is raised where a connection cannot be made, or does not hold until all of an answer is there."""


@lru_cache(maxsize=1)
def unassigned_ipv6() -> tuple[str, ...]:
    """Everything in IPv6 that is neither global unicast nor IPv4-mapped (which the library judges as IPv4).

    The library lists what is known to be special; this also covers what is deprecated, such as ::127.0.0.1.
    """
    rest: list[ipaddress.IPv6Network] = [ipaddress.IPv6Network("::/0")]
    for kept in (GLOBAL_UNICAST, IPV4_MAPPED):
        rest = [
            part
            for network in rest
            for part in (network.address_exclude(kept) if kept.subnet_of(network) else [network])
        ]
    return tuple(str(network) for network in rest)


@dataclass(frozen=True, kw_only=True)
class Reach:
    """A host name, or a network, that may be reached although it is private; on one port, or on all of them."""

    host: str = ""
    network: str = ""
    port: int | None = None


@dataclass(frozen=True)
class AllowList:
    """What OUTBOUND_ALLOW lists."""

    entries: tuple[Reach, ...] = ()

    @classmethod
    def parse(cls, text: str) -> AllowList:
        """From hosts, addresses and networks, each with a port if wanted. Raises PermanentError naming a bad one."""
        return cls(tuple(_reach(entry.strip()) for entry in text.split(",") if entry.strip()))

    def with_origins(self, urls: Iterable[str]) -> AllowList:
        """Also the host and port of these URLs, which whoever runs the service has configured."""
        origins = (origin_of(urlsplit(url)) for url in urls)
        return AllowList((*self.entries, *(Reach(host=host, port=port) for _, host, port in origins)))

    def names(self, host: str, port: int) -> bool:
        """Whether this very host is listed, so that its addresses do not matter."""
        return any(each.host == host and each.port in (None, port) for each in self.entries if each.host)

    def networks(self, port: int) -> list[str]:
        """The networks that may be reached on this port."""
        return [each.network for each in self.entries if each.network and each.port in (None, port)]


def _reach(entry: str) -> Reach:
    network = _network(entry)
    if network:
        return Reach(network=network)
    try:
        parts = urlsplit(f"//{entry}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    if not host or parts.path or parts.query or parts.fragment or "@" in parts.netloc:
        raise PermanentError(
            f"OUTBOUND_ALLOW: {entry!r} is neither a host, an address nor a network; "
            "write, for example, OUTBOUND_ALLOW=orders.internal:8080,10.1.0.0/16,127.0.0.1"
        )
    network = _network(host)
    return Reach(network=network, port=port) if network else Reach(host=host.rstrip("."), port=port)


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text.strip("[]"), strict=False))
    except ValueError:
        return ""


def adapter_for(url: str, target: str, allowed: AllowList, deadline: Deadline) -> _Adapter:
    """What sends one request to this URL, to addresses that were checked, before the deadline.

    `target` is what the request line names. It has no part in where the connection goes.
    """
    _, host, port = origin_of(urlsplit(url))
    if allowed.names(host, port):
        policy = AntiSSRFPolicy(PolicyConfigOptions.NONE)
    else:
        policy = AntiSSRFPolicy(PolicyConfigOptions.EXTERNAL_ONLY_LATEST)
        policy.add_denied_addresses(list(unassigned_ipv6()))
        if networks := allowed.networks(port):
            policy.add_allowed_addresses(networks)
    policy.allow_plain_text_http = True
    policy.add_xff_header = False
    return _Adapter(policy, Wire(deadline=deadline, target=target))


class _Adapter(_AntiSSRFAdapter):  # type: ignore[misc]  # the library has no types
    """The library's adapter: all addresses of a host are checked, and only those that were checked are connected to."""

    def __init__(self, policy: AntiSSRFPolicy, wire: Wire) -> None:
        self._wire = wire
        super().__init__(policy)

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = _pools(self._wire)

    def build_connection_pool_key_attributes(
        self, request: PreparedRequest, verify: Any, cert: Any = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """As the library does it, which keeps the first address of a host and forgets the others."""
        built = HTTPAdapter.build_connection_pool_key_attributes(self, request, verify, cert)
        host, options = cast("tuple[dict[str, Any], dict[str, Any]]", built)
        name = host["host"]
        allowed, request = self._policy._is_http_request_allowed(host["scheme"], request)
        if not allowed:
            raise AntiSSRFError("HTTP request is not allowed by policy")
        found = self._wire.deadline.wait_for(partial(_validate_request_host, self._policy, name))
        if not found:
            raise AntiSSRFError(f"Host {name!r} did not resolve to an address")
        self._wire.addresses = tuple(dict.fromkeys(str(each.get_address()) for each in found))
        host["host"] = self._wire.addresses[0]
        if host["scheme"] == "https":  # the certificate is that of the name
            options |= {"assert_hostname": name, "server_hostname": name}
        # With the port, which servers on other ports need in order to know themselves.
        request.headers["Host"] = urlsplit(str(request.url)).netloc.rpartition("@")[2]
        return host, options


@dataclass
class Wire:
    """What a connection has to keep to; the addresses are known once they are checked."""

    deadline: Deadline
    target: str
    addresses: Sequence[str] = field(default_factory=tuple)


def _pools(wire: Wire) -> dict[str, type[HTTPConnectionPool]]:
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


def prepared(method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> PreparedRequest:
    """A request that its URL and headers let be sent. Raises one of UNUSABLE, saying what is wrong."""
    parts = urlsplit(url)
    if parts.scheme.lower() not in ("http", "https"):
        raise InvalidSchema("only http:// and https:// are spoken here")
    if parts.username is not None or parts.password is not None:
        raise InvalidURL("a name and a password do not belong into a URL; send an Authorization header")
    try:
        return Request(method, url, headers={**headers, "Connection": "close"}, data=body).prepare()
    except RequestException as error:
        raise ValueError(str(error)) from error
