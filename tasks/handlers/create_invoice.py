"""create_invoice: one invoice for a customer and a period, with the next number of its series."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from marshmallow import ValidationError
from marshmallow.validate import Length, Range, Regexp

from taskledger_sdk import PermanentError, Places, RetryPolicy, rule, task_type
from taskledger_sdk.payload.mail_addresses import RECIPIENT_SCHEMA, recipient
from tasks.context import ServiceContext
from tasks.documents import MAX_LINES, MAX_NOTE, Percent, Seller
from tasks.mail import Relay, sender
from tasks.ports import InvoiceDraft, InvoiceLine
from tasks.time_zones import ZONE_SCHEMA, zone_name

LARGEST = Decimal("999999999.9999")
# JSON Schema has no bounds for numbers in strings; patterns say the same.
BELOW_A_BILLION = "(?:0|[1-9][0-9]{0,8})"


@dataclass(frozen=True, kw_only=True)
class Position:
    """One position."""

    description: str = rule(Length(min=1, max=500), description="What is charged")
    quantity: Decimal = rule(
        Places(3),
        Range(min=0, max=LARGEST),
        schema={"pattern": rf"^{BELOW_A_BILLION}(?:\.[0-9]{{1,3}})?$"},
        examples=("2",),
    )
    unit_price: Decimal = rule(
        Places(4),
        Range(min=-LARGEST, max=LARGEST),
        schema={"pattern": rf"^-?{BELOW_A_BILLION}(?:\.[0-9]{{1,4}})?$"},
        description="Price of one before tax; negative for a discount",
        examples=("12.50",),
    )
    tax_percent: Percent = rule(examples=("19",))


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """What later steps make of the invoice. It is looked at first, so that none is numbered that cannot be sent."""

    send_to: str = rule(recipient, schema=RECIPIENT_SCHEMA, description="Who gets the mail")
    seller: Seller | None = rule(default=None, description="Who sends the invoice, as printed")
    note: str = rule(Length(max=MAX_NOTE), default="", description="Printed below the total")


@dataclass(frozen=True, kw_only=True)
class CreateInvoice:
    """Who is charged for what, and for which days (both included)."""

    customer_id: str = rule(Length(min=1, max=100), description="Who pays")
    customer_name: str | None = rule(Length(max=200), default=None, description="Their name, as printed")
    date_from: date = rule(description="First day of the period")
    date_to: date = rule(description="Last day of the period")
    lines: list[Position] = rule(Length(min=1, max=MAX_LINES), description="What is charged")
    currency: str = rule(Regexp("[A-Z]{3}"), default="EUR", description="ISO 4217")
    series: str = rule(Regexp("[A-Z][A-Z0-9-]{0,19}"), default="INV", description="What the number begins with")
    due_days: int = rule(Range(min=0, max=365), default=14, description="Days until it must be paid")
    time_zone: str | None = rule(
        Length(max=64),
        zone_name,
        default=None,
        schema=ZONE_SCHEMA,
        description="IANA name of the zone that the invoice's date is a day of; else that of the installation",
        examples=("Pacific/Auckland",),
    )
    may_overlap: bool = rule(
        default=False, description="Whether the customer may have other invoices for some of the same days"
    )
    delivery: Delivery | None = rule(default=None, description="What is done with it next, to be looked at first")

    def __post_init__(self) -> None:
        if self.date_from > self.date_to:
            raise ValueError("date_from must not be later than date_to")


def cancel_invoice(task: ServiceContext, _payload: CreateInvoice, result: dict[str, Any]) -> dict[str, Any]:
    """Cancel the invoice by a credit note, if this task issued it; one that it only found belongs to another task."""
    if not result["created"]:
        return {"cancelled": None, "kept": result["number"]}
    task.invoices.cancel(result["number"], reason=f"compensation {task.id}")
    return {"cancelled": result["number"]}


@task_type(
    "create_invoice",
    retry=RetryPolicy(max_retries=5, base_seconds=1),
    timeout_seconds=60,
    settings=("INVOICE_TIME_ZONE", "SMTP_URL", "MAIL_FROM"),
    undo=cancel_invoice,
    examples=(
        {
            "customer_id": "C-1001",
            "customer_name": "Łódź Coffee Roasters",
            "date_from": "2026-01-01",
            "date_to": "2026-01-31",
            "lines": [
                {"description": "Espresso beans, 1 kg", "quantity": "12", "unit_price": "18.90", "tax_percent": "7"},
                {"description": "Grinder maintenance", "quantity": "1.5", "unit_price": "80.00", "tax_percent": "19"},
            ],
        },
    ),
)
def create_invoice(task: ServiceContext, payload: CreateInvoice) -> dict[str, Any]:
    """Issue an invoice, once per customer and period however often it is tried.

    The number is drawn together with the task's completion, so a series has no gaps and no repeats. Amounts are decimal
    strings, rounded half up; tax is rounded once per rate. A second task with the same content returns the first
    invoice (`created` is false); with other content it fails, as the period is already charged, and so does an invoice
    for days of which some are charged already, unless it says `may_overlap`. Its date is today's in `time_zone`.
    """
    if payload.delivery is not None:
        _check_mail(task)
    zone = payload.time_zone or _zone_of(task)
    amounts = task.invoices.issue(
        InvoiceDraft(
            time_zone=zone,
            may_overlap=payload.may_overlap,
            series=payload.series,
            customer_id=payload.customer_id,
            customer_name=payload.customer_name,
            date_from=payload.date_from,
            date_to=payload.date_to,
            currency=payload.currency,
            due_days=payload.due_days,
            lines=tuple(
                InvoiceLine(
                    description=line.description,
                    quantity=line.quantity,
                    unit_price=line.unit_price,
                    tax_percent=line.tax_percent,
                )
                for line in payload.lines
            ),
        )
    )
    return {
        "customer_id": payload.customer_id,
        "customer_name": payload.customer_name,
        "date_from": payload.date_from.isoformat(),
        "date_to": payload.date_to.isoformat(),
        "currency": payload.currency,
        **amounts,
    }


def _zone_of(task: ServiceContext) -> str:
    """That of the installation. Raises PermanentError."""
    name = task.settings.get("INVOICE_TIME_ZONE") or "UTC"
    try:
        zone_name(name)
    except ValidationError as fault:
        raise PermanentError(f"INVOICE_TIME_ZONE={name[:100]!r} {fault}") from None
    return name


def _check_mail(task: ServiceContext) -> None:
    """That the worker could send mail at all. Raises PermanentError, before a number is drawn."""
    Relay.of(task.settings.get("SMTP_URL", ""))
    sender(task.settings)
