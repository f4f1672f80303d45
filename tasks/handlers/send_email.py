"""send_email: hand one message to the mail relay, for all of its recipients or for none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Annotated, Any
from uuid import UUID

from marshmallow.validate import Length, Regexp

from tasks import PermanentError, RetryPolicy, TaskContext, rule, task_type
from tasks.mail import deliver, sender

ACCEPTED = "accepted"  # the note that the relay has the message
MOST_ATTACHED_BYTES = 20 * 1024 * 1024
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9\-]{0,61}[A-Za-z0-9])?"
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-]"
ADDRESS = rf"{_ATOM}{{1,32}}(?:\.{_ATOM}{{1,15}}){{0,2}}@{_LABEL}(?:\.{_LABEL}){{0,7}}"
# Everything that some program takes for the end of a line, so that no header can follow the subject.
ONE_LINE = r"[^\u0000-\u001f\u007f-\u009f\u2028\u2029]*"

Recipient = Annotated[str, rule(Regexp(ADDRESS))]


@dataclass(frozen=True, kw_only=True)
class SendEmail:
    """The message; the sender is the service's own (MAIL_FROM)."""

    to: list[Recipient] = rule(
        Length(min=1, max=50), or_one=True, description="Addresses, or one", examples=("ann@example.org",)
    )
    cc: list[Recipient] = rule(Length(max=50), or_one=True, default_factory=list)
    bcc: list[Recipient] = rule(Length(max=50), or_one=True, default_factory=list, description="Seen by no reader")
    subject: str = rule(Length(min=1, max=200), Regexp(ONE_LINE), examples=("Your invoice",))
    text: str = rule(default="", description="The message as plain text")
    html: str | None = rule(default=None, description="The same for readers that show HTML; `text` is the fallback")
    attachments: list[UUID] = rule(
        Length(max=20), default_factory=list, description="Ids of artifacts; together 20 MB at most"
    )


def undo_send_email(task: TaskContext, payload: SendEmail, result: dict[str, Any]) -> dict[str, Any]:
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
def send_email(task: TaskContext, payload: SendEmail) -> dict[str, Any]:
    """Send one message through the relay of SMTP_URL, over TLS where the relay offers it.

    What the relay refuses for good (5xx) fails the task at once and nobody gets the message; what it puts off (4xx),
    and connections that break, are tried again. The Message-ID is the same on every attempt, so that relays and readers
    can tell a repetition; and what the relay has accepted is noted at once, so that no later attempt sends it again.
    Only a worker that dies between the two leaves a second copy, with the same Message-ID. The result is
    `{"message_id", "recipients", "relay_said"}`.
    """
    if task.ledger.noted(ACCEPTED) is not None:
        return _before(task)
    message = _message(task, payload)
    return _sent(task, message, payload)


def _headed(task: TaskContext, payload: SendEmail) -> EmailMessage:
    """A message with every header but its subject."""
    message = EmailMessage()
    from_ = sender(task.settings)
    message["From"] = from_
    message["To"] = ", ".join(payload.to)
    if payload.cc:
        message["Cc"] = ", ".join(payload.cc)
    message["Message-ID"] = f"<{task.id}@{from_.domain}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office reply to this
    return message


def _message(task: TaskContext, payload: SendEmail) -> EmailMessage:
    message = _headed(task, payload)
    message["Subject"] = payload.subject
    message.set_content(payload.text)
    if payload.html is not None:
        message.add_alternative(payload.html, subtype="html")
    room = MOST_ATTACHED_BYTES
    for artifact_id in dict.fromkeys(payload.attachments):
        room = _attach(message, task, artifact_id, room)
    return message


def _attach(message: EmailMessage, task: TaskContext, artifact_id: UUID, room: int) -> int:
    """Add a file; returns how many bytes of others may still be added."""
    known = task.artifacts.info(artifact_id)
    if known.size > room:
        raise PermanentError(
            f"the attachments are larger than {MOST_ATTACHED_BYTES} bytes together; send links instead"
        )
    with task.artifacts.open(artifact_id) as content:
        data = content.read(room + 1)
    main, _, sub = known.media_type.partition(";")[0].strip().lower().partition("/")
    is_known = main.isalnum() and sub.replace("-", "").replace(".", "").replace("+", "").isalnum()
    is_whole = main not in ("message", "multipart")  # these would have to be parsed to be attached
    kind = (main, sub) if is_known and is_whole and known.media_type.isascii() else ("application", "octet-stream")
    name = " ".join("".join(each if each.isprintable() else " " for each in known.name).split())
    message.add_attachment(data, maintype=kind[0], subtype=kind[1], filename=name[:200] or str(artifact_id))
    return room - len(data)


def _sent(task: TaskContext, message: EmailMessage, payload: SendEmail) -> dict[str, Any]:
    recipients = _everyone(payload.to, payload.cc, payload.bcc)
    said = deliver(message, recipients, task.settings)
    result = {"message_id": message["Message-ID"], "recipients": len(recipients), "relay_said": said[:500]}
    task.ledger.note(ACCEPTED, result)
    task.log("message_handed_over", recipients=len(recipients))
    return result


def _before(task: TaskContext) -> dict[str, Any]:
    """What an earlier attempt returned, or would have: its message was accepted, whatever became of its outcome."""
    result: dict[str, Any] = task.ledger.noted(ACCEPTED)
    task.log("message_was_handed_over_before")
    return result


def _everyone(*groups: Sequence[str]) -> list[str]:
    """Each address once, however often it is named."""
    return list(dict.fromkeys(address for group in groups for address in group))
