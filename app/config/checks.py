"""What a setting must look like, where a range or a list of words does not say it: each raises ValidationError."""

import base64
import ipaddress
import json
import re

from marshmallow import ValidationError
from psycopg2 import ProgrammingError
from psycopg2.extensions import parse_dsn

from app.config import database_address
from app.config.production import split_url
from app.config.setting import words
from taskledger_sdk.errors import PayloadRefused
from taskledger_sdk.payload import PayloadSpec
from taskledger_sdk.registry import MAX_TIMEOUT_SECONDS
from tasks.brokers import broker_of, hosts_of
from tasks.documents import Seller

PAYLOAD_KEY_BYTES = 32
MIN_DELIVERY_SECONDS = 10
API_KEY = re.compile(r"tl_[A-Za-z0-9_-]{43,}")
RATE = re.compile(r"[1-9]\d{0,8} ?(per|/) ?(second|minute|hour|day)")


def check_database_url(url: str) -> None:
    """An address of PostgreSQL that libpq can read."""
    try:
        address = database_address.read(url)
        parse_dsn(address.uri(password=False))
    except database_address.NoAddress as error:
        raise ValidationError(str(error)) from None
    except ProgrammingError as error:  # it names what it does not know, as in ?sslmod=require
        raise ValidationError(f"{str(error).strip().capitalize()}.") from None


def check_broker_url(url: str) -> None:
    """An address of a broker that is supported; each of several must name a host."""
    try:
        broker_of(url)
    except ValueError as error:
        raise ValidationError(f"{error}.") from None
    for each in hosts_of(url):
        if not split_url(each).hostname:
            raise ValidationError("It must name a host.")
        try:
            split_url(each).port  # noqa: B018 (it raises)
        except ValueError:
            raise ValidationError("A port must be a number from 0 to 65535.") from None


def check_longest_delivery(seconds: int) -> None:
    """0, or as long as a message may be held: from 10 seconds to 7 days."""
    if seconds != 0 and not MIN_DELIVERY_SECONDS <= seconds <= MAX_TIMEOUT_SECONDS:
        raise ValidationError(
            f"It must be from {MIN_DELIVERY_SECONDS} to {MAX_TIMEOUT_SECONDS}, or 0 for what is usual."
        )


def check_rate(text: str) -> None:
    """A rate such as "100 per minute", or blank for no limit."""
    if text and not RATE.fullmatch(text):
        raise ValidationError("It must be a number per second, minute, hour or day, or blank for no limit.")


def check_networks(text: str) -> None:
    """IP networks or addresses, separated by commas or blanks."""
    for word in words(text):
        try:
            ipaddress.ip_network(word)
        except ValueError as error:
            raise ValidationError(f"{error}.") from None


def check_probe_token(text: str) -> None:
    """A token that nobody guesses and that fits into a header, or blank."""
    if text and (len(text) < 16 or not text.isascii() or not text.isprintable() or " " in text):
        raise ValidationError("Must be 16 printable ASCII characters or more, without blanks: `openssl rand -hex 16`.")


def check_origins(text: str) -> None:
    """Origins as browsers send them: scheme, host and port only."""
    for origin in words(text):
        parts = split_url(origin)
        if parts.scheme not in ("http", "https") or not parts.hostname or origin != f"{parts.scheme}://{parts.netloc}":
            raise ValidationError(f"{origin} is no origin: scheme, host and port only, and no *.")


def check_payload_keys(text: str) -> None:
    """Keys of PAYLOAD_KEY_BYTES bytes each, in either alphabet of base64."""
    for number, word in enumerate(words(text), 1):
        try:
            size = len(base64.urlsafe_b64decode(word.replace("+", "-").replace("/", "_") + "=" * (-len(word) % 4)))
        except ValueError:
            size = 0
        if size != PAYLOAD_KEY_BYTES:
            raise ValidationError(f"Key {number} is not {PAYLOAD_KEY_BYTES} bytes in base64.")


def check_api_key(key: str) -> None:
    """A key as the service makes them, or blank."""
    if key and not API_KEY.fullmatch(key):
        raise ValidationError("It must be tl_ and at least 43 of A-Z, a-z, 0-9, - and _.")


def check_storage(url: str) -> None:
    """An address of a storage for counts that limits share."""
    if not url.startswith(("memory://", "redis://", "rediss://")):
        raise ValidationError("It must begin with memory://, redis:// or rediss://.")


def check_artifacts_url(url: str | None) -> None:
    """A bucket or a directory; None and blank for none."""
    parts = split_url(url or "")
    is_bucket = parts.scheme == "s3" and bool(parts.netloc)
    is_folder = parts.scheme == "file" and not parts.netloc and len(parts.path) > 1
    if url and not (is_bucket or is_folder):
        raise ValidationError("It must be s3://bucket/prefix or file:///directory.")


def check_seller(text: str) -> None:
    """The seller of invoices as a JSON object, or blank."""
    if not text:
        return
    try:
        PayloadSpec.of(Seller).load(json.loads(text))
    except (ValueError, PayloadRefused) as error:
        raise ValidationError(f"It must be JSON with a name: {error}.") from None


def check_links(text: str) -> None:
    """Links of the form name=address, separated by commas or blanks."""
    for word in words(text):
        name, _, url = word.partition("=")
        if not name.strip() or split_url(url.strip()).scheme not in ("http", "https"):
            raise ValidationError(f"{word} is no link: write name=https://address.")
