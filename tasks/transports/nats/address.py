"""Where NATS is and how to talk to it, read from a URL and from kombu's transport options. Pure."""

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

DEFAULT_PORT = 4222
DEFAULT_NAMESPACE = "celery"


@dataclass(frozen=True, kw_only=True)
class Options:
    """What can be set in the query of the URL or in `broker_transport_options`; seconds where not said otherwise."""

    ack_wait: float = 30.0
    """A message that its receiver neither settled nor renewed for so long is delivered again."""
    max_deliveries: int = 20
    """After so many deliveries a message goes to the dead letters."""
    publish_timeout: float = 4.0
    """How long a publisher waits for the stream's confirmation, its second try included."""
    request_timeout: float = 5.0
    """How long any other request to the server may take."""
    ping_interval: float = 10.0
    """A server that leaves two pings unanswered is away."""
    storage: str = "file"
    """Where new streams keep their messages: `file` or `memory`."""
    replicas: int = 1
    """How many servers of a cluster keep a new stream."""
    dead_letter_queue: str = "dead-letters"
    """Where too often delivered messages go whose queue names no dead-letter exchange."""
    tls_ca: str = ""
    """File with the certificates that the server's has to be signed by; empty: the system's."""
    tls_cert: str = ""
    """File with our own certificate, for servers that ask for one."""
    tls_key: str = ""
    """File with the key of our certificate."""
    credentials: str = ""
    """A .creds file (JWT and seed); needs the package nkeys."""


@dataclass(frozen=True, kw_only=True)
class Server:
    """One server of the list, with the credentials for it."""

    host: str
    port: int = DEFAULT_PORT
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    @property
    def where(self) -> str:
        """Host and port, as people write them."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, kw_only=True)
class Address:
    """All that a URL says."""

    servers: tuple[Server, ...]
    namespace: str = DEFAULT_NAMESPACE
    is_tls: bool = False
    options: Options = field(default_factory=Options)

    def tls_context(self) -> ssl.SSLContext | None:
        """For tls://. Raises OSError for a file that is not there."""
        if not self.is_tls:
            return None
        context = ssl.create_default_context(cafile=self.options.tls_ca or None)
        if self.options.tls_cert:
            context.load_cert_chain(self.options.tls_cert, self.options.tls_key or None)
        return context


def parse(urls: Sequence[str], transport_options: Mapping[str, Any] | None = None) -> Address:
    """The address that these URLs name together; each may list several hosts, separated by commas.

    The path is a namespace: installations with different ones do not see each other. Raises ValueError for a host or
    port that is none, and for an option that is not known or has a value of the wrong kind.
    """
    parts = [_split(url) for url in urls]
    servers = [server for part in parts for server in _servers(part.netloc)]
    if not servers:
        raise ValueError("the URL names no host")
    given = {name: value for part in parts for name, value in parse_qsl(part.query)}
    known = {each.name for each in fields(Options)}
    if unknown := sorted(set(given) - known):
        raise ValueError(f"unknown option {unknown[0]!r} in the URL; known: {', '.join(sorted(known))}")
    ours = {name: value for name, value in (transport_options or {}).items() if name in known}
    return Address(
        servers=tuple(servers),
        namespace=next((unquote(name) for part in parts if (name := part.path.strip("/"))), DEFAULT_NAMESPACE),
        is_tls=any(part.scheme == "tls" for part in parts),
        options=_options({**ours, **given}),
    )


def _split(url: str) -> SplitResult:
    """As urlsplit, which since Python 3.13.4 refuses an IPv6 address that is not the only host."""
    scheme, separator, rest = url.partition("://")
    end = _end_of_hosts(rest)
    if not separator:
        raise ValueError("it is no URL: write nats://host")
    return urlsplit(f"{scheme}://{rest[end:]}")._replace(netloc=rest[:end])


def _end_of_hosts(rest: str) -> int:
    """Where in what follows :// the path, the query or the fragment begins."""
    return min((at for sign in "/?#" if (at := rest.find(sign)) >= 0), default=len(rest))


def _options(values: Mapping[str, Any]) -> Options:
    parsed: dict[str, Any] = {}
    for each in fields(Options):
        if each.name in values:
            kind: type = type(each.default)
            try:
                parsed[each.name] = kind(values[each.name])
            except ValueError:
                raise ValueError(f"option {each.name} must be a {kind.__name__}, not {values[each.name]!r}") from None
    options = Options(**parsed)
    if options.storage not in ("file", "memory"):
        raise ValueError(f"option storage must be file or memory, not {options.storage!r}")
    for name in ("ack_wait", "max_deliveries", "publish_timeout", "request_timeout", "ping_interval", "replicas"):
        if getattr(options, name) <= 0:
            raise ValueError(f"option {name} must be above 0")
    return options


def _servers(netloc: str) -> list[Server]:
    """`user:password@one:4222,two:4222`: credentials of the first are those of all that have none of their own."""
    servers: list[Server] = []
    user = password = None
    for place in filter(None, netloc.split(",")):
        userinfo, at, hostport = place.rpartition("@")
        if at:
            name, colon, secret = userinfo.partition(":")
            user, password = unquote(name), unquote(secret) if colon else None
        split = urlsplit(f"//{hostport}")
        if not split.hostname:
            raise ValueError(f"{hostport!r} names no host")
        servers.append(Server(host=split.hostname, port=split.port or DEFAULT_PORT, user=user, password=password))
    return servers


def masked(url: str, mask: str = "**") -> str:
    """The URL with every password hidden, and every token that stands for one."""
    scheme, separator, rest = url.partition("://")
    end = _end_of_hosts(rest)
    return f"{scheme}{separator}{','.join(_masked(place, mask) for place in rest[:end].split(','))}{rest[end:]}"


def _masked(place: str, mask: str) -> str:
    userinfo, at, hostport = place.rpartition("@")
    if not at:
        return place
    user, colon, _ = userinfo.partition(":")
    return f"{user}:{mask}@{hostport}" if colon else f"{mask}@{hostport}"
