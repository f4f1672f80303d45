"""Cancelling an invoice: it stays as it was issued, and a credit note with the opposite amounts stands beside it."""

from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from app.database import Session
from app.models import new_id
from app.services.invoices.issuing import draw_number, store
from app.services.invoices.records import INVOICES, LINES, TAXES, of_owner
from taskledger_sdk.errors import PermanentError

CREDIT_SERIES = "{}-CN"  # credit notes are numbered apart, so that an invoice's series holds invoices only


def cancel(
    session: Session, number: str, *, owner_id: UUID | None, reason: str, task_id: UUID, now: datetime
) -> dict[str, Any]:
    """Cancel an invoice; returns what the task's result says of it. The same again finds the first credit note.

    Raises PermanentError for a number that is not there, not theirs, or that of a credit note.
    """
    chosen = sa.select(INVOICES).where(INVOICES.c.number == number, of_owner(owner_id)).with_for_update()
    invoice: Any = session.execute(chosen).mappings().one_or_none()
    if invoice is None:
        raise PermanentError(f"there is no invoice {number}, or it is not yours")
    if invoice["kind"] != "invoice":
        raise PermanentError(f"{number} is a credit note; only an invoice can be cancelled")
    if invoice["status"] == "CANCELLED":
        credit = session.execute(sa.select(INVOICES.c.number).where(INVOICES.c.cancels == invoice["id"])).scalar_one()
        return {"credit_number": credit}
    credit = _credit(session, dict(invoice), reason=reason, task_id=task_id, now=now)
    session.execute(
        sa.update(INVOICES).where(INVOICES.c.id == invoice["id"]).values(status="CANCELLED", cancelled_at=now)
    )
    return {"credit_number": credit}


def _credit(session: Session, invoice: dict[str, Any], *, reason: str, task_id: UUID, now: datetime) -> str:
    # A credit note is dated as its invoice is, in the zone of both.
    today = now.astimezone(ZoneInfo(invoice["time_zone"] or "UTC")).date()
    row = {
        **invoice,
        "id": new_id(),
        **draw_number(session, CREDIT_SERIES.format(invoice["series"]), owner_id=invoice["owner_id"]),
        "kind": "credit_note",
        "net": -invoice["net"],
        "tax": -invoice["tax"],
        "total": -invoice["total"],
        "issued_on": today,
        "due_on": today,
        "task_id": task_id,
        "pdf_task_id": None,
        "cancels": invoice["id"],
        "reason": reason,
        "created_at": now,
    }
    charged = session.execute(sa.select(LINES).where(LINES.c.invoice_id == invoice["id"]).order_by(LINES.c.position))
    lines = [
        {name: line[name] for name in ("description", "unit_price", "tax_percent")}
        | {"quantity": -line["quantity"], "net": -line["net"]}
        for line in charged.mappings()
    ]
    rates = session.execute(sa.select(TAXES).where(TAXES.c.invoice_id == invoice["id"]))
    taxes = [{"tax_percent": tax["tax_percent"], "net": -tax["net"], "tax": -tax["tax"]} for tax in rates.mappings()]
    store(session, row, lines, taxes)
    return str(row["number"])
