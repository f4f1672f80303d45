"""What production does not start with: secrets that anybody could guess, debug mode, connections without TLS. Pure."""

from collections.abc import Iterator, Mapping
from urllib.parse import SplitResult, urlsplit

from app.config import database_address
from app.config.database_address import NoAddress
from tasks.brokers import broker_of, passwords_of

DEVELOPMENT_SECRET = "for-development-only-and-refused-in-production"  # noqa: S105 (public on purpose)
SECRET_MIN_LENGTH = 32
SECRET_MIN_DIFFERENT = 8  # "xxxxxxxx..." and "changeme..." repeated are not secrets
PASSWORD_MIN_LENGTH = 12
# What images, guides and our own compose file begin with.
DEFAULT_PASSWORDS = frozenset(("guest", "taskledger", "postgres", "rabbitmq", "password", "changeme"))
TLS_MODES = ("require", "verify-ca", "verify-full")
LOOPBACK = ("localhost", "127.0.0.1", "::1")
TRUE_WORDS = ("1", "true", "yes", "on", "y", "t")


def split_url(url: str) -> SplitResult:
    """The parts of a URL; all empty when it is none."""
    try:
        return urlsplit(url)
    except ValueError:  # an unclosed [ around an IPv6 address
        return urlsplit("")


def faults_of(given: Mapping[str, str]) -> list[str]:
    """Every reason not to start in production, each with its variable and what to do; never the value itself."""
    faults = [*_weak_secret(given), *_weak_passwords(given)]
    if given.get("FLASK_DEBUG", "0").lower() not in ("0", "false", "no"):
        faults.append("FLASK_DEBUG runs code from the browser: unset it in production")
    if given.get("ALLOW_PLAINTEXT_CONNECTIONS", "").lower() not in TRUE_WORDS:
        faults += _plaintext(given)
    return faults


def _weak_secret(given: Mapping[str, str]) -> Iterator[str]:
    if _is_weak(given.get("SECRET_KEY", DEVELOPMENT_SECRET)):
        yield (
            f"SECRET_KEY is missing, shorter than {SECRET_MIN_LENGTH} characters or too simple for production: "
            "set it to the output of `openssl rand -hex 32`"
        )
    previous = given.get("SECRET_KEY_PREVIOUS", "")
    if previous and _is_weak(previous):  # whoever guesses it makes tokens that are accepted, too
        yield (
            f"SECRET_KEY_PREVIOUS is a default one, shorter than {SECRET_MIN_LENGTH} characters or too simple for "
            "production: unset it; who is logged in then logs in again"
        )


def _is_weak(secret: str) -> bool:
    return secret == DEVELOPMENT_SECRET or len(secret) < SECRET_MIN_LENGTH or len(set(secret)) < SECRET_MIN_DIFFERENT


def _weak_passwords(given: Mapping[str, str]) -> Iterator[str]:
    held = {
        "DATABASE_URL": _database_password(given.get("DATABASE_URL", "")),
        "RATE_LIMIT_STORAGE": split_url(given.get("RATE_LIMIT_STORAGE", "")).password,
        "FLOWER_BASIC_AUTH": given.get("FLOWER_BASIC_AUTH", "").rpartition(":")[2] or None,
        "ADMIN_PASSWORD": given.get("ADMIN_PASSWORD"),
    }
    brokers = [("BROKER_URL", password) for password in sorted(passwords_of(given.get("BROKER_URL", "")))]
    for name, password in (*held.items(), *brokers):
        # None is not weak: certificates, a password file or the platform's own identity may prove who we are.
        if password is not None and (len(password) < PASSWORD_MIN_LENGTH or password.lower() in DEFAULT_PASSWORDS):
            yield (
                f"{name} has a default password or one shorter than {PASSWORD_MIN_LENGTH} characters: "
                "set it to the output of `openssl rand -hex 16`"
            )


def _plaintext(given: Mapping[str, str]) -> Iterator[str]:
    advice = "or set ALLOW_PLAINTEXT_CONNECTIONS=true if the network between is private"
    database = given.get("DATABASE_URL", "")
    if database and not _is_safe_database(database):
        yield f"DATABASE_URL does not demand TLS: append ?sslmode=verify-full (at least require), {advice}"
    broker = given.get("BROKER_URL", "")
    if broker and not _is_encrypted(broker):
        yield f"BROKER_URL does not use TLS: use amqps://, rediss:// or tls:// (NATS), {advice}"
    receiver = split_url(given.get("AUDIT_SINK_URL", ""))
    if receiver.scheme in ("http", "tcp", "udp") and receiver.hostname not in LOOPBACK:
        yield f"AUDIT_SINK_URL does not use TLS: use tls:// or https://, {advice}"


def _is_encrypted(broker: str) -> bool:
    try:
        return broker_of(broker).is_encrypted
    except ValueError:
        return False  # what is wrong with it is said elsewhere


def _is_safe_database(url: str) -> bool:
    try:
        address = database_address.read(url)
    except NoAddress:
        return True  # what is wrong with it is said elsewhere
    return address.is_local or address.more.get("sslmode") in TLS_MODES


def _database_password(url: str) -> str | None:
    try:
        return database_address.read(url).password
    except NoAddress:
        return None  # what is wrong with it is said elsewhere
