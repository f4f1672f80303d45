"""Mail: the relay that SMTP_URL names, and a message handed to it whole or not at all."""

from __future__ import annotations

import ipaddress
import re
import smtplib
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from urllib.parse import unquote, urlsplit

from taskledger_sdk.errors import PermanentError, TaskError
from taskledger_sdk.payload.mail_addresses import needs_smtputf8, parse, written

SOCKET_SECONDS = 30.0
HOST_NAME = "taskledger.invalid"
DEFAULT_FROM = "Taskledger <taskledger@localhost>"
TEMPORARY = range(400, 500)
# Everything that some program takes for the end of a line, so that no header can follow another one's value.
ONE_LINE = r"[^\u0000-\u001f\u007f-\u009f\u2028\u2029]*"
# Bodies travel in ASCII and in short lines, because a relay need not offer 8BITMIME.
POLICY = SMTP.clone(cte_type="7bit")


class MailDeferred(TaskError):
    """The relay is away, or said that it may take the message later."""


class MailRefused(PermanentError):
    """The relay will not take this message, or not for one of its recipients."""


@dataclass(frozen=True, kw_only=True)
class Relay:
    """Where mail is handed over, read from SMTP_URL: smtp://user:password@host:port, or smtps:// for TLS at once."""

    host: str
    port: int
    tls_from_start: bool = False
    user: str = ""
    password: str = ""

    @classmethod
    def of(cls, url: str) -> Relay:
        """Raises PermanentError, without the password, for a URL that is none or not set."""
        example = "for example SMTP_URL=smtp://user:password@mail.example.org:587"
        if not url:
            raise PermanentError(f"SMTP_URL is not set for the worker; set it, {example}")
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
        if not host or parts.scheme not in ("smtp", "smtps"):
            raise PermanentError(f"SMTP_URL is no smtp:// or smtps:// URL with a host; write, {example}")
        tls = parts.scheme == "smtps"
        return cls(
            host=host,
            port=port or (465 if tls else 587 if parts.username else 25),
            tls_from_start=tls,
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
        )

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine, so that a password crosses no network."""
        with suppress(ValueError):
            return ipaddress.ip_address(self.host).is_loopback
        return self.host == "localhost"


def sender(settings: Mapping[str, str]) -> Address:
    """MAIL_FROM, with or without a name: `Shop <shop@example.org>`. Raises PermanentError if it is no address."""
    text = settings.get("MAIL_FROM") or DEFAULT_FROM
    try:
        return parse(text.strip(), with_name=True)
    except ValueError as fault:
        raise PermanentError(f"MAIL_FROM={text!r} {fault}, or Shop <shop@example.org>") from None


def deliver(message: EmailMessage, recipients: Sequence[Address], settings: Mapping[str, str]) -> str:
    """Hand a message over for all recipients or for none; returns what the relay said to it.

    For all or none, because a task is repeated as a whole: who had it already would get it again. Raises MailDeferred
    (also when the connection ends before the relay's last word, so that it may come twice) or MailRefused, also for
    an address that needs SMTPUTF8 where the relay does not offer it.
    """
    _check_headers(message)
    relay = Relay.of(settings.get("SMTP_URL", ""))
    envelope_from = sender(settings)
    international = [each for each in (envelope_from, *recipients) if needs_smtputf8(each)]
    try:
        with _connected(relay) as connection:
            if international and not connection.has_extn("smtputf8"):
                raise MailRefused(
                    f"{written(international[0])} needs a mail relay with SMTPUTF8, which {relay.host}:{relay.port} "
                    "does not offer: use an address whose part before the @ is ASCII, or another relay"
                )
            # BODY=8BITMIME belongs to it (RFC 6531, 3.4); smtplib then also writes the addresses in UTF-8.
            options = ["SMTPUTF8", "BODY=8BITMIME"] if international else []
            sent_by = written(envelope_from)
            _accepted(*connection.mail(sent_by, options), what=f"the sender {sent_by}")
            for recipient in recipients:
                _accepted(*connection.rcpt(written(recipient)), what=written(recipient))
            # Bcc is in the envelope only: whoever reads the message must not see it.
            content = message.as_bytes(policy=POLICY.clone(utf8=bool(international)))
            code, said = connection.data(content)
            _accepted(code, said, what="the message")
            return said.decode(errors="replace")
    except (smtplib.SMTPException, OSError) as error:
        raise _translated(error, relay) from error


def check_header(text: str) -> None:
    """Raises ValueError for a text that would not stay one header.

    Python decodes an encoded word (=?utf-8?q?…?=) in what it is given, so that a line end can hide in one.
    """
    message = EmailMessage(policy=POLICY)
    message["Subject"] = text
    if not re.fullmatch(ONE_LINE, str(message["Subject"])):
        raise ValueError("has a line end or another control character, as it is or encoded (=?…?=); write one line")


def _check_headers(message: EmailMessage) -> None:
    """The last look, at all that is written: whatever a header was made of, no other one follows from it."""
    for part in message.walk():
        for name, value in part.items():
            if not re.fullmatch(ONE_LINE, str(value)):
                raise MailRefused(f"the header {name} would hold a line end or another control character")


@contextmanager
def _connected(relay: Relay) -> Iterator[smtplib.SMTP]:
    """A connection that is encrypted where it can be, and always before a password leaves this machine."""
    context = ssl.create_default_context()
    if relay.tls_from_start:
        connection: smtplib.SMTP = smtplib.SMTP_SSL(
            relay.host, relay.port, HOST_NAME, timeout=SOCKET_SECONDS, context=context
        )
    else:
        connection = smtplib.SMTP(relay.host, relay.port, HOST_NAME, timeout=SOCKET_SECONDS)
    try:
        connection.ehlo_or_helo_if_needed()
        if not relay.tls_from_start and connection.has_extn("starttls"):
            connection.starttls(context=context)
            connection.ehlo()
        elif not relay.tls_from_start and relay.password and not relay.is_local:
            raise PermanentError(
                f"the relay {relay.host} offers no encryption, so that the password of SMTP_URL is not sent to it; "
                "use smtps://, or a relay with STARTTLS"
            )
        if relay.user:
            connection.login(relay.user, relay.password)
        yield connection
        with suppress(smtplib.SMTPException, OSError):  # the message is the relay's already
            connection.quit()
    finally:
        connection.close()


def _accepted(code: int, said: bytes, *, what: str) -> None:
    """Raises for a reply that is not 2xx or 3xx."""
    if code < TEMPORARY.start and code > 0:
        return
    message = f"{what} was refused by the mail relay: {code} {said.decode(errors='replace')}"[:1000]
    raise MailDeferred(message) if code in TEMPORARY or code < 0 else MailRefused(message)


def _translated(error: Exception, relay: Relay) -> TaskError:
    where = f"the mail relay {relay.host}:{relay.port}"
    if isinstance(error, smtplib.SMTPResponseException):
        said = error.smtp_error.decode(errors="replace") if isinstance(error.smtp_error, bytes) else error.smtp_error
        what = "refused the log-in" if isinstance(error, smtplib.SMTPAuthenticationError) else "answered"
        message = f"{where} {what}: {error.smtp_code} {said}"[:1000]
        is_final = error.smtp_code >= TEMPORARY.stop
        return MailRefused(message) if is_final else MailDeferred(message)
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return MailRefused(f"{where} cannot do what SMTP_URL asks of it: {error}")
    return MailDeferred(f"{where} cannot be reached or broke off: {error or type(error).__name__}"[:1000])
