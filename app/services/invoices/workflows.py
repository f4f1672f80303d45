"""Invoices as workflows: the input of their runs, what became of a customer's, and the tasks of it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.database import Session
from app.errors import Conflict, NotFound
from app.models import Task, TaskRecord
from app.models.page import Page, page_of
from app.models.task import RECORD_COLUMNS
from app.services import workflows
from app.services.invoices.records import InvoiceRecord, of_customer, read
from app.services.workflows import Filter, RunView

WORKFLOW, EMAIL_WORKFLOW, CUSTOMER = "invoice", "invoice_email", "customer_id"
MAX_SHOWN = 100
TASKS = Task.metadata.tables["tasks"]
PERIODS = ("previous_day", "previous_week", "previous_month", "previous_quarter", "previous_year")
PRINTED = (
    "invoice_id", "number", "customer_id", "customer_name", "date_from", "date_to", "currency", "lines", "taxes",
    "net", "tax", "total", "issued_on", "due_on",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class CustomerStatus:
    """The newest run of a customer, and the customer's newest invoices and credit notes."""

    customer_id: str
    run: RunView | None
    invoices: list[InvoiceRecord]


def input_of(fields: Mapping[str, Any], *, seller: str) -> dict[str, Any]:
    """The input of an invoice run; `seller` is the setting, JSON or blank. What is None is left out."""
    values = {name: value for name, value in fields.items() if value is not None}
    return values | ({"seller": json.loads(seller)} if seller else {})


def recurring_period(period: str) -> dict[str, Any]:
    """First and last day, as each slot of a schedule knows them."""
    return {name: {"$slot": f"{period}.{name}"} for name in ("date_from", "date_to")}


def email_input(session: Session, number: str, *, email: str, owner_id: UUID | None, seller: str) -> dict[str, Any]:
    """The input of a run that mails an invoice again. Raises NotFound, or Conflict for one that is cancelled."""
    invoice = read(session, number, owner_id=owner_id)
    if invoice.status == "CANCELLED":
        raise Conflict(f"Invoice {number} is CANCELLED; it is not sent any more.")
    values = {"customer_id": invoice.customer_id, "email": email, "invoice": printed(invoice)}
    return input_of(values, seller=seller)


def printed(invoice: InvoiceRecord) -> dict[str, Any]:
    """An invoice as generate_pdf takes it."""
    fields = invoice.as_json()
    return {name: fields[name] for name in PRINTED}


def status(session: Session, customer_id: str, *, owner_id: UUID | None) -> CustomerStatus:
    """What became of a customer's invoices. Raises NotFound for a customer of whom nothing is known."""
    runs, _ = workflows.find(session, _runs(customer_id), visible_to=owner_id, before=None, limit=1)
    invoices = of_customer(session, customer_id, owner_id=owner_id, limit=MAX_SHOWN)
    if not runs and not invoices:
        raise NotFound(f"There is no invoice of customer {customer_id!r}, and no run for one.")
    run = workflows.view(session, runs[0].run) if runs else None
    return CustomerStatus(customer_id=customer_id, run=run, invoices=invoices)


def tasks(
    session: Session, customer_id: str, *, owner_id: UUID | None, before: UUID | None, limit: int
) -> Page[TaskRecord]:
    """A page of the tasks of a customer's runs, newest first."""
    ids = workflows.task_ids(_runs(customer_id), visible_to=owner_id)
    query = sa.select(*RECORD_COLUMNS).where(TASKS.c.id.in_(ids))
    if before is not None:
        query = query.where(TASKS.c.id < before)
    rows = session.connection().execute(query.order_by(TASKS.c.id.desc()).limit(limit + 1)).mappings()
    records = [TaskRecord(**row) for row in rows]
    return page_of(records, limit)


def _runs(customer_id: str) -> Filter:
    return Filter(labels=[(CUSTOMER, customer_id)], names=(WORKFLOW, EMAIL_WORKFLOW))
