"""What production does not start with: secrets that are none, connections without TLS, debug mode."""

from collections.abc import Mapping
from urllib.parse import SplitResult, parse_qs, urlsplit

DEVELOPMENT_SECRET = "for-development-only-and-refused-in-production"  # noqa: S105 (public on purpose)
SECRET_MIN_LENGTH = 32
SECRET_MIN_DIFFERENT = 8  # "xxxxxxxx..." and "changeme..." repeated are not secrets
TLS_MODES = ("require", "verify-ca", "verify-full")
TLS_SCHEMES = ("amqps", "rediss")
TRUE_WORDS = ("1", "true", "yes", "on", "y", "t")


def faults_of(given: Mapping[str, str]) -> list[str]:
    """What production does not start with."""
    faults = []
    secret = given.get("SECRET_KEY", DEVELOPMENT_SECRET)
    if secret == DEVELOPMENT_SECRET or len(secret) < SECRET_MIN_LENGTH or len(set(secret)) < SECRET_MIN_DIFFERENT:
        faults.append(
            f"SECRET_KEY is missing, shorter than {SECRET_MIN_LENGTH} characters or too simple for production: "
            "set it to the output of `openssl rand -hex 32`"
        )
    if given.get("FLASK_DEBUG", "0").lower() not in ("0", "false", "no"):
        faults.append("FLASK_DEBUG runs code from the browser: unset it in production")
    if given.get("ALLOW_PLAINTEXT_CONNECTIONS", "").lower() in TRUE_WORDS:
        return faults
    advice = "or set ALLOW_PLAINTEXT_CONNECTIONS=true if the network between is private"
    database = given.get("DATABASE_URL", "")
    if database and not _is_safe_database(database):
        faults.append(f"DATABASE_URL does not demand TLS: append ?sslmode=verify-full (at least require), {advice}")
    broker = given.get("BROKER_URL", "")
    if broker and split_url(broker).scheme not in TLS_SCHEMES:
        faults.append(f"BROKER_URL does not use TLS: use amqps:// or rediss://, {advice}")
    return faults


def _is_safe_database(url: str) -> bool:
    parts = split_url(url)
    query = parse_qs(parts.query)
    is_local_socket = not parts.hostname and query.get("host", ["/"])[0].startswith("/")
    return is_local_socket or query.get("sslmode", [""])[-1] in TLS_MODES


def split_url(url: str) -> SplitResult:
    """The parts of a URL; all empty for one that is malformed."""
    try:
        return urlsplit(url)
    except ValueError:  # an unclosed [ around an IPv6 address
        return urlsplit("")
