"""webhook_delivery: tell one receiver of one event, signed as in the Standard Webhooks specification."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from standardwebhooks.webhooks import Webhook

from taskledger_sdk import PermanentError, RetryPolicy, rule, task_type
from taskledger_sdk.errors import TaskError
from tasks.context import ServiceContext
from tasks.http_rules import require_status
from tasks.outbound import Answer, NoAnswer, Outbound
from tasks.ports import OutgoingWebhook

SECONDS = 15.0
MAX_ANSWER_BYTES = 4_096
GONE = 410


@dataclass(frozen=True, kw_only=True)
class WebhookDelivery:
    """Which delivery to make; the ledger knows where to, with what and signed by which secret."""

    delivery_id: UUID = rule(description="A row of webhook_deliveries")


@task_type(
    "webhook_delivery",
    # 10 seconds, 50 seconds, 4 minutes, 21 minutes, 2 hours, 9 hours, then 14 hours each. At least half of each
    # pause is kept: with full jitter a few deliveries would be given up within hours.
    retry=RetryPolicy(max_retries=12, base_seconds=10, factor=5, cap_seconds=51_300, jitter=0.5),
    timeout_seconds=30,
    queue="webhooks",
    settings=("OUTBOUND_ALLOW",),
    internal=True,
    reaches_outside=True,
    examples=({"delivery_id": "018f3c5e-7d2a-7000-8000-0123456789ab"},),
)
def webhook_delivery(task: ServiceContext, payload: WebhookDelivery) -> dict[str, int]:
    """Send one event to one receiver; the service submits these tasks itself.

    Accepted is what is answered with 200 to 299 within 15 seconds. Redirects are not followed, private addresses are
    refused unless OUTBOUND_ALLOW lists them, and everything else is tried again: 13 attempts in 48 to 96 hours, or in
    more where the receiver's Retry-After asks for longer pauses.
    """
    outgoing = task.webhooks.outgoing(payload.delivery_id)
    outbound = Outbound(allow=task.settings.get("OUTBOUND_ALLOW", ""))
    try:
        answer = outbound.send(
            "POST",
            outgoing.url,
            headers=_headers(outgoing),
            body=outgoing.body,
            seconds=SECONDS,
            most_bytes=MAX_ANSWER_BYTES,
            redirects=0,
        )
    except TaskError as error:
        task.webhooks.note(payload.delivery_id, error=str(error))
        raise
    task.webhooks.note(payload.delivery_id, status=answer.status, elapsed_ms=answer.elapsed_ms)
    _check(answer)
    return {"status": answer.status, "elapsed_ms": answer.elapsed_ms}


def _headers(outgoing: OutgoingWebhook) -> dict[str, str]:
    """The specification's; after a rotation there are two signatures, and the receiver needs to know one."""
    now = datetime.now(UTC)
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "Taskledger-Webhooks",
        "webhook-id": str(outgoing.id),
        "webhook-timestamp": str(int(now.timestamp())),
    }
    text = outgoing.body.decode()
    signatures = [Webhook(secret).sign(str(outgoing.id), now, text) for secret in outgoing.secrets]
    return headers | ({"webhook-signature": " ".join(signatures)} if signatures else {})


def _check(answer: Answer) -> None:
    """Receivers answer 404 and 401 while they are deployed: of the statuses, only 410 says that it is over."""
    if answer.status == GONE:
        raise PermanentError("the receiver answered 410 Gone")
    try:
        require_status(answer, sender="the receiver")
    except PermanentError as error:
        raise NoAnswer(str(error)) from None
