"""The port by which a handler issues and cancels invoices."""

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from app.database import Session
from app.services import invoices
from app.services.tasks.outcomes import Write
from tasks.ports import InvoiceDraft


class WorkerInvoices:
    """tasks.ports.Invoices: everything is written with the outcome, to whose `writes` it is added."""

    def __init__(self, task_id: UUID, owner_of_task: Callable[[], UUID | None], writes: list[Write]) -> None:
        self._task_id, self._owner_of_task, self._writes = task_id, owner_of_task, writes

    def issue(self, draft: InvoiceDraft) -> dict[str, Any]:
        """Add the draft up now, and draw its number with the outcome."""
        amounts = invoices.compute(draft)
        owner_id, task_id = self._owner_of_task(), self._task_id

        def write(session: Session, now: datetime) -> dict[str, Any]:
            return invoices.issue(session, draft, amounts, owner_id=owner_id, task_id=task_id, now=now)

        self._writes.append(write)
        return amounts.as_json()

    def cancel(self, number: str, reason: str) -> None:
        """Cancel an invoice with the outcome."""
        owner_id, task_id = self._owner_of_task(), self._task_id

        def write(session: Session, now: datetime) -> dict[str, Any]:
            return invoices.cancel(session, number, owner_id=owner_id, reason=reason, task_id=task_id, now=now)

        self._writes.append(write)
