"""The port by which the task of an event applies the triggers of its account."""

from uuid import UUID

from app import clock
from app.database import in_transaction
from app.services import triggers
from app.worker.outages import CLAIM_SECONDS, retry_while_unavailable
from taskledger_sdk.errors import NoRoom


class WorkerTriggers:
    """tasks.ports.Triggers: each batch is a transaction of its own, in which a trigger starts its work once.

    So a worker that has lost its lease harms nothing: it goes on where all others go on.
    """

    def apply_some(self, event_id: UUID) -> bool:
        """Apply the next triggers of an event; whether more are left. Raises NoRoom."""
        progress = retry_while_unavailable(
            lambda: in_transaction(lambda session: triggers.apply_some(session, event_id, now=clock.utcnow())),
            seconds=CLAIM_SECONDS,
        )
        if not progress.has_room:
            raise NoRoom("as many tasks of the account wait as may (max_waiting_tasks)")
        return not progress.is_done
