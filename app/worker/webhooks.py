"""The port by which the task of a delivery reads what it has to send, and notes what came of it."""

from datetime import timedelta
from uuid import UUID

import structlog

from app import clock
from app.config import get_settings
from app.database import Session
from app.observability.scrubbing import scrub
from app.services import webhooks
from app.services.accounts.rights import TypeNotAllowed
from app.services.lifecycle import Claim
from app.services.recovery.failures import storable
from app.worker.outages import transact
from app.worker.payload_keys import payload_keys
from taskledger_sdk.errors import PermanentError
from tasks.ports import OutgoingWebhook

log = structlog.get_logger(__name__)

GONE = 410


class WorkerWebhooks:
    """tasks.ports.Webhooks over the delivery log."""

    def __init__(self, claim: Claim) -> None:
        self._claim = claim

    def outgoing(self, delivery_id: UUID) -> OutgoingWebhook:
        """What to send, if this is the task that was made to send it."""
        keys, task_id = payload_keys(), self._claim.id

        def read(session: Session) -> webhooks.Outgoing:
            return webhooks.outgoing(session, delivery_id, task_id=task_id, keys=keys, now=clock.utcnow())

        try:
            found = transact(read)
        except (webhooks.NotDeliverable, TypeNotAllowed) as error:
            raise PermanentError(str(error)) from error
        return OutgoingWebhook(id=found.id, url=found.url, body=found.body, secrets=found.secrets)

    def note(
        self, delivery_id: UUID, *, status: int | None = None, error: str | None = None, elapsed_ms: int | None = None
    ) -> None:
        """Add an attempt to the log; one that fails for too long disables the webhook."""
        now, hours = clock.utcnow(), get_settings().webhook_disable_hours
        said = {"status": status, "error": error and scrub(storable(error)), "elapsed_ms": elapsed_ms}
        attempt = {"at": clock.rfc_3339(now), "attempt": self._claim.attempt, **said}
        noted = transact(
            lambda session: webhooks.note_attempt(
                session,
                delivery_id,
                attempt,
                accepted=status is not None and 200 <= status < 300,
                gone=status == GONE,
                disable_after=timedelta(hours=hours) if hours else None,
                now=now,
            )
        )
        if noted.disabled:
            log.warning("webhook_disabled", delivery_id=str(delivery_id))
        if noted.retry_at is not None:
            log.warning("webhook_circuit_opened", receiver=noted.receiver, until=noted.retry_at.isoformat())
