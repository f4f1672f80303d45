"""The port by which a handler issues and cancels invoices."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from app.database import Session
from app.services import invoices
from tasks.ports import InvoiceDraft

if TYPE_CHECKING:
    from app.worker.ports import Ports


class WorkerInvoices:
    """tasks.ports.Invoices: everything is written with the outcome."""

    def __init__(self, ports: "Ports") -> None:
        self._ports = ports

    def issue(self, draft: InvoiceDraft) -> dict[str, Any]:
        """Add the draft up now, and draw its number with the outcome."""
        amounts = invoices.compute(draft)
        owner_id, task_id = self._ports.owner_id, self._ports.claim.id

        def write(session: Session, now: datetime) -> dict[str, Any]:
            return invoices.issue(session, draft, amounts, owner_id=owner_id, task_id=task_id, now=now)

        self._ports.writes.append(write)
        return amounts.as_json()

    def cancel(self, number: str, reason: str) -> None:
        """Cancel an invoice with the outcome."""
        owner_id, task_id = self._ports.owner_id, self._ports.claim.id

        def write(session: Session, now: datetime) -> dict[str, Any]:
            return invoices.cancel(session, number, owner_id=owner_id, reason=reason, task_id=task_id, now=now)

        self._ports.writes.append(write)
