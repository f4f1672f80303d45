"""Mail addresses as people have them, checked without asking the network. Pure."""

from __future__ import annotations

import re
import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from email.headerregistry import Address
from typing import Any

from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email
from email_validator.types import ValidatedEmail
from marshmallow import ValidationError

LONGEST = 254  # characters of an address: RFC 5321 allows a path of 256, which has two angle brackets
MAX_NAMED = 500  # with a display name
EXAMPLE = "write, for example, ann@example.org"
QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
UNQUOTED = re.compile(r'[^"\\(),:;<>@\[\]]*')
_emptying = threading.Lock()


def parse(text: str, *, with_name: bool = False) -> Address:
    """An address; `with_name` also takes `Ann <ann@example.org>`. Raises ValueError, which says what is wrong.

    The domain is in ASCII (`xn--…`), as mail relays have it; the local part may hold other letters, and is in NFC.
    No quoted local parts and no addresses with an IP address for a domain: next to nobody has one.
    """
    if len(text) > MAX_NAMED:
        raise ValueError(f"is no e-mail address: it has {len(text)} characters; {LONGEST} are allowed")
    # No address can be followed by a header: it holds nothing that some program takes for the end of a line.
    if any(unicodedata.category(each) in ("Cc", "Cs", "Zl", "Zp") for each in text):
        raise ValueError(f"is no e-mail address: it has a line end or another control character; {EXAMPLE}")
    name, alone = _parted(text) if with_name and text.endswith(">") else ("", text)
    found = _validated(alone)
    given = alone.rpartition("@")[2]
    # A domain in ASCII stays as it was written, capitals too.
    domain = given if given.isascii() else found.ascii_domain
    assert domain is not None  # noqa: S101 (None only for domains that the library was asked to refuse)
    return Address(display_name=name, username=found.local_part, domain=domain)


def canonical(text: str) -> str:
    """An address alone, in the one form in which it is stored and compared. Raises ValueError."""
    return written(parse(text))


def written(address: Address) -> str:
    """`local@domain`, without the name."""
    return f"{address.username}@{address.domain}"


def needs_smtputf8(address: Address) -> bool:
    """Whether only a relay with SMTPUTF8 (RFC 6531) can deliver to it."""
    return not address.username.isascii()


def _parted(text: str) -> tuple[str, str]:
    """The name and the address of `Ann <ann@example.org>`. Raises ValueError."""
    before, _, alone = text.removesuffix(">").rpartition("<")
    before = before.strip()
    quoted = QUOTED.fullmatch(before)
    name = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else before
    if not quoted and not UNQUOTED.fullmatch(before):
        raise ValueError('is no e-mail address: put the name into quotation marks, "Ann, Sales" <ann@example.org>')
    if "=?" in name:
        raise ValueError("is no e-mail address: its name is encoded (=?…?=); write it as it is read")
    return " ".join(name.split()), alone


def _validated(text: str) -> ValidatedEmail:
    try:
        return _judged(text)
    except EmailNotValidError:
        pass
    try:
        with _every_domain():
            return _judged(text)
    except EmailNotValidError as fault:
        raise ValueError(f"is no e-mail address: {str(fault).rstrip('.')}; {EXAMPLE}") from None


def _judged(text: str) -> ValidatedEmail:
    return validate_email(
        text,
        allow_smtputf8=True,
        strict=True,  # also measures the local part: 64 bytes
        check_deliverability=False,  # no look-ups: an address may be right while a name server is away
        globally_deliverable=False,  # names without a dot, such as localhost, are addresses too
    )


@contextmanager
def _every_domain() -> Iterator[None]:
    """The library refuses localhost, .local, .test and their like; a company's own relay delivers to such names.

    Its list is the documented way to say so. It is one for the whole process, and others may use it, too: it is empty
    for the time of the call only, and only for addresses that are refused otherwise.
    """
    with _emptying:
        kept = list(SPECIAL_USE_DOMAIN_NAMES)
        SPECIAL_USE_DOMAIN_NAMES.clear()
        try:
            yield
        finally:
            SPECIAL_USE_DOMAIN_NAMES[:0] = kept


def _refused(value: str, *, with_name: bool) -> str:
    try:
        parse(value, with_name=with_name)
    except ValueError as fault:
        raise ValidationError(str(fault)) from None
    return value


def address(value: Any) -> Any:
    """A validator of fields: `ann@example.org`. Raises ValidationError."""
    return _refused(value, with_name=False)


def recipient(value: Any) -> Any:
    """A validator of fields: `ann@example.org` or `Ann <ann@example.org>`. Raises ValidationError."""
    return _refused(value, with_name=True)


# What JSON Schema can say: every address in ASCII, and of others those in the most common letters. Its own formats do
# not do: `email` is ASCII only, `idn-email` and Python agree on few domains, and neither allows a name.
_ATOM, _LABEL = r"A-Za-z0-9!#$%&'*+/=?^_`{|}~\-", r"(?!..--)[A-Za-z0-9](?:[A-Za-z0-9\-]{0,61}[A-Za-z0-9])?"
_OTHERS = r"\u00e0-\u00f6\u00f8-\u00ff\u0430-\u044f\u4e00-\u9fa5"
_ASCII = rf"(?=[^@]{{1,64}}@)[{_ATOM}]+(?:\.[{_ATOM}]+)*@(?=[^>]{{1,189}}>?$){_LABEL}(?:\.{_LABEL})*"
_WORD = f"[{_ATOM}{_OTHERS}]+"
_WIDE = rf"(?=[^@]{{1,16}}@){_WORD}(?:\.{_WORD})*@[a-z0-9{_OTHERS}]{{1,10}}(?:\.[a-z0-9{_OTHERS}]{{1,10}}){{0,4}}"
_PATTERN = f"(?:{_ASCII}|{_WIDE})"
_CONTROLS = r"\u0000-\u001f\u007f-\u009f\u2028\u2029"
_NAME = rf"""(?:[^{_CONTROLS}"\\(),:;<>@\[\]]*|"(?:[^{_CONTROLS}"\\]|\\[^{_CONTROLS}])*" ?)"""
ADDRESS_SCHEMA = {"pattern": f"^{_PATTERN}$", "maxLength": LONGEST}
RECIPIENT_SCHEMA = {
    "pattern": rf"^(?:{_PATTERN}|(?!.*=\?.*<){_NAME}<{_PATTERN}>)$",
    "maxLength": MAX_NAMED,
}
