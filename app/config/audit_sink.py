"""Where the audit log is sent to by itself."""

from dataclasses import dataclass

from marshmallow import ValidationError

from app.config.production import split_url
from app.config.setting import setting

PORTS = {"udp": 514, "tcp": 601, "tls": 6514, "http": 80, "https": 443}
PAGES = ("http", "https")


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditTarget:
    """A receiver: how it is spoken to, and where it is. `shown` is without what may be a secret."""

    scheme: str
    address: tuple[str, int]
    url: str

    @property
    def shown(self) -> str:
        """For log lines and pages: a path or a query may hold a key."""
        host, port = self.address
        return f"{self.scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def target_of(url: str) -> AuditTarget:
    """The receiver that a URL names. Raises ValueError, and says why."""
    parts = split_url(url)
    if parts.scheme not in PORTS or not parts.hostname:
        raise ValueError(f"It must be {', '.join(f'{scheme}://…' for scheme in PORTS)} with a host")
    if parts.username is not None or parts.password is not None:
        raise ValueError("It must hold no user and no password: AUDIT_SINK_TOKEN is sent as a bearer token")
    try:
        port = parts.port or PORTS[parts.scheme]
    except ValueError:
        raise ValueError("A port must be a number from 1 to 65535") from None
    if parts.scheme not in PAGES and (parts.path.strip("/") or parts.query or parts.fragment):
        raise ValueError(f"{parts.scheme}:// has a host and a port, and nothing behind them")
    return AuditTarget(scheme=parts.scheme, address=(parts.hostname, port), url=url)


def check_audit_sink_url(url: str | None) -> None:
    """Raises ValidationError for a URL that no audit sink can send to."""
    if url:
        try:
            target_of(url)
        except ValueError as error:
            raise ValidationError(f"{error}.") from None


def check_bearer(token: str) -> None:
    """Raises ValidationError for a token that cannot stand in a header."""
    if token and (not token.isascii() or not token.isprintable() or " " in token):
        raise ValidationError("Must be printable ASCII characters without blanks: it is sent in a header.")


@dataclass(frozen=True, kw_only=True)
class AuditSink:
    """Where the audit log is sent to by itself."""

    audit_sink_url: str | None = setting(
        "str",
        "Where `flask --app app sink audit` sends the audit log: syslog (`tls://`, `tcp://` or `udp://host:port`), or "
        "NDJSON by POST (`https://host/path`)",
        example="tls://logs.example.com:6514",
        default=None,
        check=check_audit_sink_url,
    )
    audit_sink_token: str = setting(
        "str",
        "What it sends as `Authorization: Bearer …` to an https:// receiver",
        example="the token that the receiver gave you",
        default="",
        check=check_bearer,
        secret=True,
    )
    audit_sink_ca_file: str | None = setting(
        "str",
        "Certificate of the authority that signed the receiver's; unset: those that the system trusts",
        example="/run/secrets/logs-ca.pem",
        default=None,
    )
