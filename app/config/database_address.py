"""DATABASE_URL read once for everybody: every spelling of one or several hosts, as the parameters of libpq. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from urllib.parse import parse_qsl, quote, unquote

# The user and password end where SQLAlchemy lets them end, so that what it read until now is read as it was.
URL = re.compile(
    r"postgres(?:ql)?(?:\+\w+)?://(?:(?P<user>[^:/]*)(?::(?P<password>[^@]*))?@)?"
    r"(?P<hosts>[^/?]*)(?:/(?P<database>[^?]*))?(?:\?(?P<query>.*))?",
    re.S,
)
IN_BRACKETS = re.compile(r"\[(?P<host>[^\[\]]+)\](?::(?P<port>.*))?")
NAME_AND_PORT = re.compile(r"(?P<host>[^:/\[\]]*)(?::(?P<port>[^:]*))?")
SESSIONS = ("any", "read-write", "read-only", "primary", "standby", "prefer-standby")
WRITABLE = "read-write"
DEFAULT_PORT = 5432
OWN_PLACE = ("user", "password", "host", "port", "dbname")


class NoAddress(ValueError):
    """The URL is none of a PostgreSQL database; the message is a sentence, without anything of the URL's secrets."""


@dataclass(frozen=True, kw_only=True)
class DatabaseAddress:
    """Where PostgreSQL is. `hosts` and `ports` are texts as libpq takes them; a port of "" is the default one."""

    user: str | None
    password: str | None = field(repr=False)
    hosts: tuple[str, ...]
    ports: tuple[str, ...]
    database: str
    more: Mapping[str, str] = field(repr=False)

    @property
    def parameters(self) -> dict[str, str]:
        """Keyword arguments of psycopg2.connect; what is unknown is left out, and libpq's default holds."""
        has_ports = any(self.ports)
        named = {
            "user": self.user,
            "password": self.password,
            "host": ",".join(self.hosts),
            "port": ",".join(self.ports) if has_ports else None,
            "dbname": self.database,
        }
        return {name: value for name, value in named.items() if value} | dict(self.more)

    @property
    def is_local(self) -> bool:
        """Whether no network lies between, on whichever host it is."""
        addresses = self.more.get("hostaddr")
        return not addresses and all(host.startswith(("/", "@")) for host in self.hosts)

    def uri(self, *, password: bool) -> str:
        """The URL as psql, pg_dump and pg_restore take it, with or without the password."""
        said = {name: value for name, value in self.parameters.items() if password or name != "password"}
        user, secret, database = (quote(said.pop(name, ""), safe="") for name in ("user", "password", "dbname"))
        who = f"{user}:{secret}@" if secret else f"{user}@" if user else ""
        hosts = ""
        if self.hosts:
            hosts = ",".join(map(_written, self.hosts, self.ports))
            said = {name: value for name, value in said.items() if name not in ("host", "port")}
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in said.items())
        return f"postgresql://{who}{hosts}/{database}{'?' if query else ''}{query}"

    def at(self, host: str, port: int) -> "DatabaseAddress":
        """The one of several hosts that a connection was made to: for a second one that must meet the same server."""
        addresses = self.more.get("hostaddr", "").split(",")
        places = zip(self.hosts or addresses, self.ports, strict=True)
        found = [number for number, place in enumerate(places) if _is_at(place, host, port)]
        if len(self.ports) < 2 or not found:
            return self
        number = found[0]
        more = dict(self.more)
        if "hostaddr" in more:
            more["hostaddr"] = addresses[number]
        return replace(self, hosts=self.hosts[number : number + 1], ports=(self.ports[number],), more=more)


@lru_cache(maxsize=16)
def read(url: str) -> DatabaseAddress:
    """The parts of DATABASE_URL. Raises NoAddress.

    Hosts stand before the database (`a:1,b:2`), in `?host=a,b&port=1,2`, or as SQLAlchemy writes them, in
    `?host=a:1&host=b:2`. With several of them, and nothing said, the one is taken that can be written to.
    """
    match = URL.fullmatch(url)
    if match is None:
        raise NoAddress("It must be a PostgreSQL URL that names a database.")
    query = parse_qsl(match["query"] or "", keep_blank_values=True)
    said = more = dict(query)
    database = more.get("dbname") or unquote(match["database"] or "")
    if not database.strip("/"):
        raise NoAddress("It must be a PostgreSQL URL that names a database.")
    named = [each for name, value in query if name == "host" for each in value.split(",")]
    if named == [""]:
        named = []
    places = [_place(each, is_encoded=False) for each in named] or _before_the_database(match["hosts"])
    hosts = tuple(host for host, _ in places)
    ports = _ports([port for _, port in places], more.get("port", ""), count=_count(hosts, more))
    _check_session(more)
    is_plural = max(len(hosts), len(ports)) > 1
    more = {name: value for name, value in more.items() if name not in OWN_PLACE and value}
    if is_plural:
        more.setdefault("target_session_attrs", WRITABLE)
    return DatabaseAddress(
        user=said.get("user") or unquote(match["user"] or "") or None,
        password=said.get("password") or _decoded(match["password"]),
        hosts=hosts,
        ports=ports,
        database=database,
        more=more,
    )


def passwords_of(url: str) -> set[str]:
    """Every password in a database's URL, encoded and not; none in a text that is no such URL."""
    match = URL.fullmatch(url)
    if match is None:
        return set()
    raw = [match["password"] or ""]
    said = [value for name, value in parse_qsl(match["query"] or "") if name in ("password", "sslpassword")]
    # Where a password has an @ of its own, what stands before the last one is all of it.
    user_and_password, _, _ = url.partition("://")[2].partition("?")[0].rpartition("@")
    raw.append(user_and_password.partition(":")[2])
    return {form for each in (*raw, *said) for form in (each, unquote(each)) if form}


def _written(host: str, port: str) -> str:
    text = f"[{quote(host, safe=':')}]" if ":" in host else quote(host, safe="")
    return f"{text}:{port}" if port else text


def _is_at(place: tuple[str, str], host: str, port: int) -> bool:
    return place[0] == host and int(place[1] or DEFAULT_PORT) == port


def _decoded(text: str | None) -> str | None:
    return None if text is None else unquote(text)


def _before_the_database(text: str) -> list[tuple[str, str]]:
    if not text:
        return []
    if "@" in text:
        raise NoAddress("An @ in the user or the password is written %40.")
    return [_place(each, is_encoded=True) for each in text.split(",")]


def _place(text: str, *, is_encoded: bool) -> tuple[str, str]:
    """One host and its port, or "". Raises NoAddress."""
    match = IN_BRACKETS.fullmatch(text) or NAME_AND_PORT.fullmatch(text)
    if not is_encoded and match is None and "[" not in text:
        return text, ""  # a socket's directory, or an IPv6 address as libpq's own `host` takes it
    if match is None:
        raise NoAddress("A host is a name, an IPv4 address, or an IPv6 address in brackets as in [::1]:5432.")
    host = unquote(match["host"]) if is_encoded else match["host"]
    if not host:
        raise NoAddress("A host is missing: several are separated by one comma each.")
    return host, _checked(match["port"] or "")


def _count(hosts: tuple[str, ...], more: Mapping[str, str]) -> int:
    addresses = more.get("hostaddr", "")
    if addresses and hosts and len(addresses.split(",")) != len(hosts):
        raise NoAddress("There must be as many hostaddr as hosts.")
    return len(addresses.split(",")) if addresses else len(hosts)


def _ports(beside: list[str], listed: str, *, count: int) -> tuple[str, ...]:
    """A port for each host: those of `?port=` are one for all, or one each. Raises NoAddress."""
    if not listed:
        return tuple(beside) or ("",) * count
    ports = tuple(_checked(each) for each in listed.split(","))
    if len(ports) == 1:
        return ports * max(count, 1)
    if len(ports) != count:
        raise NoAddress("There must be one port for all hosts, or as many ports as hosts.")
    return ports


def _checked(port: str) -> str:
    if port and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise NoAddress("A port must be a number from 1 to 65535.")
    return port


def _check_session(more: Mapping[str, str]) -> None:
    said = more.get("target_session_attrs")
    if said and said not in SESSIONS:
        raise NoAddress(f"target_session_attrs must be one of {', '.join(SESSIONS)}.")
