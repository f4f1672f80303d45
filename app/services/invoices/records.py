"""Invoices as they are read: frozen records, and their JSON, where money is a string."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.database import Session
from app.errors import NotFound
from app.models import Invoice, InvoiceLine, InvoiceTax
from app.services.invoices.amounts import text

INVOICES, LINES, TAXES = (each.metadata.tables[each.__tablename__] for each in (Invoice, InvoiceLine, InvoiceTax))


@dataclass(frozen=True, kw_only=True, slots=True)
class InvoiceRecord:
    """An invoice or a credit note, with its lines and taxes as JSON has them."""

    id: UUID
    owner_id: UUID | None
    number: str
    series: str
    sequence: int
    kind: str
    status: str
    customer_id: str
    customer_name: str | None
    date_from: date
    date_to: date
    currency: str
    net: Decimal
    tax: Decimal
    total: Decimal
    issued_on: date
    due_on: date
    time_zone: str | None
    digest: str
    task_id: UUID
    cancels: UUID | None
    reason: str | None
    created_at: datetime
    cancelled_at: datetime | None
    pdf_task_id: UUID | None
    lines: tuple[dict[str, str], ...] = ()
    taxes: tuple[dict[str, str], ...] = ()

    def as_json(self) -> dict[str, Any]:
        """For answers and results."""
        return {
            "invoice_id": str(self.id),
            "number": self.number,
            "kind": self.kind,
            "status": self.status,
            "customer_id": self.customer_id,
            "customer_name": self.customer_name,
            "date_from": self.date_from.isoformat(),
            "date_to": self.date_to.isoformat(),
            "currency": self.currency,
            "lines": list(self.lines),
            "taxes": list(self.taxes),
            "net": text(self.net),
            "tax": text(self.tax),
            "total": text(self.total),
            "issued_on": self.issued_on.isoformat(),
            "due_on": self.due_on.isoformat(),
            "reason": self.reason,
        }


def read(session: Session, number: str, *, owner_id: UUID | None) -> InvoiceRecord:
    """An owner's invoice or credit note. Raises NotFound."""
    found = session.execute(sa.select(INVOICES).where(INVOICES.c.number == number, of_owner(owner_id)))
    row = found.mappings().one_or_none()
    if row is None:
        raise NotFound(f"There is no invoice {number}, or it is not yours.")
    return _whole(session, [row])[0]


def of_customer(session: Session, customer_id: str, *, owner_id: UUID | None, limit: int) -> list[InvoiceRecord]:
    """A customer's invoices and credit notes, newest first."""
    chosen = sa.select(INVOICES).where(INVOICES.c.customer_id == customer_id, of_owner(owner_id))
    rows = session.execute(chosen.order_by(INVOICES.c.id.desc()).limit(limit)).mappings()
    return _whole(session, list(rows))


def of_owner(owner_id: UUID | None) -> sa.ColumnElement[bool]:
    """Rows of this owner; None is an owner like any other: numbers are counted for each apart."""
    return INVOICES.c.owner_id.is_not_distinct_from(owner_id)


def _whole(session: Session, rows: Sequence[Any]) -> list[InvoiceRecord]:
    """With lines and taxes."""
    ids = [row["id"] for row in rows]
    lines = session.execute(
        sa.select(LINES).where(LINES.c.invoice_id.in_(ids)).order_by(LINES.c.invoice_id, LINES.c.position)
    )
    taxes = session.execute(
        sa.select(TAXES).where(TAXES.c.invoice_id.in_(ids)).order_by(TAXES.c.invoice_id, TAXES.c.tax_percent)
    )
    lines_of: dict[UUID, list[dict[str, str]]] = {id_: [] for id_ in ids}
    taxes_of: dict[UUID, list[dict[str, str]]] = {id_: [] for id_ in ids}
    for line in lines.mappings():
        lines_of[line["invoice_id"]].append(line_json(line))
    for tax in taxes.mappings():
        taxes_of[tax["invoice_id"]].append({name: text(tax[name]) for name in ("tax_percent", "net", "tax")})
    return [InvoiceRecord(**row, lines=tuple(lines_of[row["id"]]), taxes=tuple(taxes_of[row["id"]])) for row in rows]


def line_json(line: Any) -> dict[str, str]:
    """A line as JSON has it."""
    amounts = {name: text(line[name]) for name in ("quantity", "unit_price", "tax_percent", "net")}
    return {"description": line["description"], **amounts}
