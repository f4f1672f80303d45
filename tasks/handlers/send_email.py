"""send_email: hand one message to the mail relay, for all of its recipients or for none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from typing import Annotated, Any
from uuid import UUID

from marshmallow import ValidationError
from marshmallow.validate import Length, Regexp

from taskledger_sdk import PermanentError, RetryPolicy, rule, task_type
from taskledger_sdk.payload.mail_addresses import RECIPIENT_SCHEMA, parse, recipient, written
from tasks.context import ServiceContext
from tasks.html_text import text_of
from tasks.mail import ONE_LINE, POLICY, check_header, deliver, sender

ACCEPTED = "accepted"  # the note that the relay has the message
MAX_ATTACHED_BYTES = 20 * 1024 * 1024

Recipient = Annotated[str, rule(recipient, schema=RECIPIENT_SCHEMA)]


def one_line(text: str) -> str:
    """A validator: the subject stays one line, also when what is encoded in it is decoded."""
    try:
        check_header(text)
    except ValueError as fault:
        raise ValidationError(str(fault)) from None
    return text


@dataclass(frozen=True, kw_only=True)
class SendEmail:
    """The message; the sender is the service's own (MAIL_FROM)."""

    to: list[Recipient] = rule(
        Length(min=1, max=50),
        or_one=True,
        description="Addresses, or one; with a name, as in Ann <ann@example.org>, or without",
        examples=("ann@example.org",),
    )
    cc: list[Recipient] = rule(Length(max=50), or_one=True, default_factory=list)
    bcc: list[Recipient] = rule(Length(max=50), or_one=True, default_factory=list, description="Seen by no reader")
    subject: str = rule(Length(min=1, max=200), Regexp(ONE_LINE), one_line, examples=("Your invoice",))
    text: str = rule(default="", description="The message as plain text")
    html: str | None = rule(
        default=None, description="The same for readers that show HTML; without a `text`, its words are the text"
    )
    attachments: list[UUID] = rule(
        Length(max=20), default_factory=list, description="Ids of artifacts; together 20 MB at most"
    )


def undo_send_email(task: ServiceContext, payload: SendEmail, result: dict[str, Any]) -> dict[str, Any]:
    """Tell the recipients that the message is void: what has been read cannot be unsent."""
    if task.ledger.noted(ACCEPTED) is not None:
        return _before(task)
    message = _headed(task, payload)
    message["Subject"] = f"Cancelled: {payload.subject}"
    message["In-Reply-To"] = message["References"] = result["message_id"]
    message.set_content(
        f'Please disregard our message "{payload.subject}".\nIt was sent in error or has been cancelled. '
        "We apologise for the inconvenience.\n"
    )
    return _sent(task, message, payload)


@task_type(
    "send_email",
    retry=RetryPolicy(max_retries=8, base_seconds=5, cap_seconds=1800),
    timeout_seconds=180,
    reaches_outside=True,
    settings=("SMTP_URL", "MAIL_FROM"),
    undo=undo_send_email,
    examples=(
        {"to": "ann@example.org", "subject": "Hello", "text": "It works."},
        {
            "to": ["ann@example.org", "bob@example.org"],
            "cc": ["carol@example.org"],
            "subject": "Dzień dobry z Łodzi",
            "text": "Ten euros: 10 €",
            "html": "<p>Ten euros: <b>10 €</b></p>",
        },
    ),
)
def send_email(task: ServiceContext, payload: SendEmail) -> dict[str, Any]:
    """Send one message through the relay of SMTP_URL, over TLS where the relay offers it.

    What the relay refuses for good (5xx) fails the task at once and nobody gets the message; what it puts off (4xx),
    and connections that break, are tried again. The Message-ID is the same on every attempt, so that relays and readers
    can tell a repetition; and what the relay has accepted is noted at once, so that no later attempt sends it again.
    Only a worker that dies between the two leaves a second copy, with the same Message-ID. `Date` is the moment of the
    attempt. An address whose part before the @ is not ASCII needs a relay with SMTPUTF8; without it the task fails at
    once. The result is `{"message_id", "recipients", "relay_said"}`.
    """
    if task.ledger.noted(ACCEPTED) is not None:
        return _before(task)
    message = _message(task, payload)
    return _sent(task, message, payload)


def _headed(task: ServiceContext, payload: SendEmail) -> EmailMessage:
    """A message with every header but its subject."""
    message = EmailMessage(policy=POLICY)
    from_ = sender(task.settings)
    message["From"] = from_
    message["To"] = _parsed(payload.to)
    if payload.cc:
        message["Cc"] = _parsed(payload.cc)
    # The moment of this attempt, not of the task: one that waited for days, by its schedule or for a relay, would be
    # put among old mail by readers, and is held against the sender by filters. A repetition is known by its Message-ID.
    message["Date"] = datetime.now(UTC)
    message["Message-ID"] = f"<{task.id}@{from_.domain}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office reply to this
    return message


def _message(task: ServiceContext, payload: SendEmail) -> EmailMessage:
    message = _headed(task, payload)
    message["Subject"] = payload.subject
    is_only_html = payload.html is not None and not payload.text.strip()
    message.set_content(text_of(payload.html or "") if is_only_html else payload.text)
    if payload.html is not None:
        message.add_alternative(payload.html, subtype="html")
    room = MAX_ATTACHED_BYTES
    for artifact_id in dict.fromkeys(payload.attachments):
        room = _attach(message, task, artifact_id, room)
    return message


def _attach(message: EmailMessage, task: ServiceContext, artifact_id: UUID, room: int) -> int:
    """Add a file; returns how many bytes of others may still be added."""
    known = task.artifacts.info(artifact_id)
    if known.size > room:
        raise PermanentError(f"the attachments are larger than {MAX_ATTACHED_BYTES} bytes together; send links instead")
    with task.artifacts.open(artifact_id) as content:
        data = content.read(room + 1)
    main, _, sub = known.media_type.partition(";")[0].strip().lower().partition("/")
    is_known = main.isalnum() and sub.replace("-", "").replace(".", "").replace("+", "").isalnum()
    is_whole = main not in ("message", "multipart")  # these would have to be parsed to be attached
    kind = (main, sub) if is_known and is_whole and known.media_type.isascii() else ("application", "octet-stream")
    name = " ".join("".join(each if each.isprintable() else " " for each in known.name).split())
    name = name.replace("=?", "=_")  # Python would decode an encoded word, with the line ends in it
    message.add_attachment(data, maintype=kind[0], subtype=kind[1], filename=name[:200] or str(artifact_id))
    return room - len(data)


def _sent(task: ServiceContext, message: EmailMessage, payload: SendEmail) -> dict[str, Any]:
    recipients = _everyone(payload.to, payload.cc, payload.bcc)
    said = deliver(message, recipients, task.settings)
    result = {"message_id": message["Message-ID"], "recipients": len(recipients), "relay_said": said[:500]}
    task.ledger.note(ACCEPTED, result)
    task.log("message_handed_over", recipients=len(recipients))
    return result


def _before(task: ServiceContext) -> dict[str, Any]:
    """What an earlier attempt returned, or would have: its message was accepted, whatever became of its outcome."""
    result: dict[str, Any] = task.ledger.noted(ACCEPTED)
    task.log("message_was_handed_over_before")
    return result


def _parsed(texts: Sequence[str]) -> list[Address]:
    return [parse(text, with_name=True) for text in texts]


def _everyone(*groups: Sequence[str]) -> list[Address]:
    """Each address once, however often it is named."""
    return list({written(each): each for group in groups for each in _parsed(group)}.values())
