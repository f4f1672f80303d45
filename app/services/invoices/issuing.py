"""Issuing an invoice: once per customer and period, with the next number of its series.

Numbers have no gaps because one is drawn only in the transaction that also completes the task; they have no repeats
because the series' row stays locked until that transaction ends.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from app.database import Session
from app.models import new_id
from app.services.invoices.amounts import Amounts, digest
from app.services.invoices.records import INVOICES, LINES, TAXES, of_owner
from taskledger_sdk.errors import PermanentError
from tasks.ports import InvoiceDraft

# Two tasks for one customer wait for each other here, whatever series and days they name: periods may overlap.
LOCK_CUSTOMER = sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:what, 5))")
NEXT_NUMBER = sa.text("""
    INSERT INTO invoice_series (owner_id, name, last_number)
    VALUES (CAST(:owner_id AS uuid), :name, 1)
    ON CONFLICT (owner_id, name) DO UPDATE SET last_number = invoice_series.last_number + 1
    RETURNING last_number
""")
DIGITS = 6


def issue(
    session: Session, draft: InvoiceDraft, amounts: Amounts, *, owner_id: UUID | None, task_id: UUID, now: datetime
) -> dict[str, Any]:
    """Issue an invoice, or find the same one; returns what its task's result says of it.

    Raises PermanentError if the customer has a different invoice for the period, or one that overlaps it and the draft
    does not say that it may.
    """
    session.execute(LOCK_CUSTOMER, {"what": f"{owner_id}/{draft.customer_id}"})
    existing = session.execute(
        sa.select(INVOICES).where(
            of_owner(owner_id),
            INVOICES.c.customer_id == draft.customer_id,
            INVOICES.c.date_from == draft.date_from,
            INVOICES.c.date_to == draft.date_to,
            INVOICES.c.kind == "invoice",
            INVOICES.c.status == "ISSUED",
        )
    ).mappings()
    row: Any = existing.one_or_none()
    if row is None:
        _check_overlap(session, draft, owner_id=owner_id)
        return _told(_insert(session, draft, amounts, owner_id=owner_id, task_id=task_id, now=now), created=True)
    if row["digest"] != digest(draft):
        raise PermanentError(
            f"customer {draft.customer_id} already has invoice {row['number']} for {draft.date_from} to "
            f"{draft.date_to}, with other lines; cancel it (compensate task {row['task_id']}) and try again"
        )
    return _told(row, created=row["task_id"] == task_id)


def _check_overlap(session: Session, draft: InvoiceDraft, *, owner_id: UUID | None) -> None:
    """Raises PermanentError where a day of the draft is charged already: an order of it would be paid twice."""
    if draft.may_overlap:
        return
    others = sa.select(INVOICES.c.number, INVOICES.c.date_from, INVOICES.c.date_to, INVOICES.c.task_id).where(
        of_owner(owner_id),
        INVOICES.c.customer_id == draft.customer_id,
        INVOICES.c.date_from <= draft.date_to,
        INVOICES.c.date_to >= draft.date_from,
        INVOICES.c.kind == "invoice",
        INVOICES.c.status == "ISSUED",
    )
    other = session.execute(others.order_by(INVOICES.c.date_from, INVOICES.c.number).limit(1)).one_or_none()
    if other is not None:
        raise PermanentError(
            f"customer {draft.customer_id} already has invoice {other.number} for {other.date_from} to "
            f"{other.date_to}, which overlaps {draft.date_from} to {draft.date_to}: orders on the days of both "
            f"would be charged twice. Ask for other days, cancel it (compensate task {other.task_id}), "
            "or say may_overlap: true"
        )


def _insert(
    session: Session, draft: InvoiceDraft, amounts: Amounts, *, owner_id: UUID | None, task_id: UUID, now: datetime
) -> dict[str, Any]:
    today = now.astimezone(ZoneInfo(draft.time_zone)).date()
    row = {
        "id": new_id(),
        "owner_id": owner_id,
        **draw_number(session, draft.series, owner_id=owner_id),
        "kind": "invoice",
        "status": "ISSUED",
        "customer_id": draft.customer_id,
        "customer_name": draft.customer_name,
        "date_from": draft.date_from,
        "date_to": draft.date_to,
        "currency": draft.currency,
        "net": amounts.net,
        "tax": amounts.tax,
        "total": amounts.total,
        "issued_on": today,
        "due_on": today + timedelta(days=draft.due_days),
        "time_zone": draft.time_zone,
        "digest": digest(draft),
        "task_id": task_id,
        "created_at": now,
    }
    lines = [
        {
            "description": charged.line.description,
            "quantity": charged.line.quantity,
            "unit_price": charged.line.unit_price,
            "tax_percent": charged.line.tax_percent,
            "net": charged.net,
        }
        for charged in amounts.lines
    ]
    taxes = [{"tax_percent": tax.tax_percent, "net": tax.net, "tax": tax.tax} for tax in amounts.taxes]
    store(session, row, lines, taxes)
    return row


def draw_number(session: Session, series: str, *, owner_id: UUID | None) -> dict[str, Any]:
    """The next number of a series, which nobody else draws from until the transaction ends."""
    sequence: int = session.execute(NEXT_NUMBER, {"owner_id": owner_id, "name": series}).scalar_one()
    return {"series": series, "sequence": sequence, "number": f"{series}-{sequence:0{DIGITS}d}"}


def store(
    session: Session, row: dict[str, Any], lines: Iterable[dict[str, Any]], taxes: Iterable[dict[str, Any]]
) -> None:
    """Write an invoice or a credit note with its lines and taxes."""
    session.execute(sa.insert(INVOICES), [row])
    numbered = [{"invoice_id": row["id"], "position": position, **line} for position, line in enumerate(lines, 1)]
    session.execute(sa.insert(LINES), numbered)
    session.execute(sa.insert(TAXES), [{"invoice_id": row["id"], **tax} for tax in taxes])


def _told(row: Any, *, created: bool) -> dict[str, Any]:
    return {
        "invoice_id": str(row["id"]),
        "number": row["number"],
        "issued_on": row["issued_on"].isoformat(),
        "due_on": row["due_on"].isoformat(),
        "created": created,
    }
