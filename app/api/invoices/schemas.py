"""What invoices look like in requests and answers."""

from typing import Any

import marshmallow as ma

from app.models import Priority
from app.services.invoices import PERIODS
from app.web.fields import Instant, Verbatim, matching, one_of, text
from app.web.requests.pagination import PageQuery
from app.web.requests.parsing import StrictSchema
from app.web.schemas.runs import RunDetails
from app.web.schemas.schedules import MAX_CRON, MAX_ZONE
from app.web.schemas.tasks import Wait
from taskledger_sdk.payload import fields as strict
from taskledger_sdk.payload.mail_addresses import RECIPIENT_SCHEMA, recipient
from tasks.documents import MAX_NOTE
from tasks.time_zones import zone_name, zones

CUSTOMER = r"[A-Za-z0-9][A-Za-z0-9._\-]{0,63}"
NUMBER = r"[A-Z][A-Z0-9-]{0,29}-[0-9]{1,19}"


def _customer_field(**options: Any) -> strict.Text:
    fault = "must have 1 to 64 letters, digits, . _ and -, a letter or digit first"
    return matching(CUSTOMER, fault, metadata={"description": "Who pays", "examples": ["customer-1"]}, **options)


def _email_field(**options: Any) -> strict.Text:
    said = "Who gets the mail, with a name, as in Ann <ann@example.org>, or without"
    metadata = {**RECIPIENT_SCHEMA, "description": said, "examples": ["ann@example.org"]}
    return strict.Text(validate=recipient, metadata=metadata, **options)


def _date_zone() -> strict.Text:
    said = "IANA name of the zone that the invoice's date is a day of; INVOICE_TIME_ZONE unless given"
    return strict.Text(validate=zone_name, metadata={"enum": sorted(zones()), "description": said})


class InvoiceFields(StrictSchema):
    """Who is invoiced, and how."""

    customer_id = _customer_field(required=True)
    email = _email_field()
    note = text(MAX_NOTE, metadata={"description": "Printed below the total"})
    may_overlap = strict.Flag(
        metadata={"description": "Whether the customer may have other invoices for some of the same days"}
    )


class StartInvoice(InvoiceFields):
    """An invoice to be made at once."""

    date_from = strict.Day(required=True, metadata={"description": "First day of the period"})
    date_to = strict.Day(required=True, metadata={"description": "Last day of the period"})
    time_zone = _date_zone()
    priority = one_of(Priority, metadata={"description": "Of its tasks; normal unless given"})

    @ma.post_load
    def check_days(self, fields: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Both days as JSON has them."""
        return _with_days(fields)


class ScheduleInvoice(InvoiceFields):
    """An invoice to be made at a moment."""

    date_from = strict.Day(required=True, metadata={"description": "First day of the period"})
    date_to = strict.Day(required=True, metadata={"description": "Last day of the period"})
    scheduled_at = strict.Moment(required=True, metadata={"description": "When it is made"})
    time_zone = _date_zone()

    @ma.post_load
    def check_days(self, fields: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Both days as JSON has them."""
        return _with_days(fields)


class RepeatInvoice(InvoiceFields):
    """Invoices to be made again and again, each for the period before."""

    cron_expression = text(
        MAX_CRON, required=True, metadata={"description": "Five fields or an alias", "examples": ["0 6 1 * *"]}
    )
    time_zone = text(MAX_ZONE, metadata={"description": "IANA name, also for the invoices' dates; UTC unless given"})
    period = strict.Choice(
        [(name, name) for name in PERIODS],
        metadata={
            "type": "string",
            "enum": list(PERIODS),
            "description": "Before each slot; else previous_month",
        },
    )
    date_from = strict.Day(metadata={"description": "With date_to, instead of a period: the same days each time"})
    date_to = strict.Day(metadata={"description": "With date_from"})

    @ma.post_load
    def check_days(self, fields: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Both days as JSON has them, or neither."""
        given = [name for name in ("date_from", "date_to", "period") if name in fields]
        if given not in ([], ["period"], ["date_from", "date_to"]):
            raise ma.ValidationError({given[0]: ["give both date_from and date_to, or a period, or none of them"]})
        return _with_days(fields) if "date_from" in fields else fields


class ScheduleEmail(StrictSchema):
    """An invoice to be mailed again at a moment."""

    number = matching(NUMBER, "is no number of an invoice", required=True, metadata={"examples": ["INV-000001"]})
    email = _email_field(required=True)
    scheduled_at = strict.Moment(required=True, metadata={"description": "When it is sent"})


def _with_days(fields: dict[str, Any]) -> dict[str, Any]:
    if fields["date_from"] > fields["date_to"]:
        raise ma.ValidationError({"date_to": ["must not be before date_from"]})
    return fields | {name: fields[name].isoformat() for name in ("date_from", "date_to")}


class InvoiceView(ma.Schema):
    """An invoice or a credit note; amounts are strings."""

    number = ma.fields.String(required=True)
    kind = ma.fields.String(required=True, metadata={"enum": ["invoice", "credit_note"]})
    status = ma.fields.String(required=True, metadata={"enum": ["ISSUED", "CANCELLED"]})
    customer_id = ma.fields.String(required=True)
    customer_name = ma.fields.String(required=True, allow_none=True)
    date_from = ma.fields.Date(required=True)
    date_to = ma.fields.Date(required=True)
    currency = ma.fields.String(required=True)
    lines = Verbatim({"type": "array", "items": {"type": "object"}}, required=True)
    taxes = Verbatim({"type": "array", "items": {"type": "object"}}, required=True)
    net, tax, total = (ma.fields.Decimal(as_string=True, required=True) for _ in range(3))
    issued_on = ma.fields.Date(required=True)
    due_on = ma.fields.Date(required=True)
    time_zone = ma.fields.String(
        required=True, allow_none=True, metadata={"description": "Whose days the dates are; null: UTC"}
    )
    reason = ma.fields.String(required=True, allow_none=True, metadata={"description": "Of a credit note"})
    task_id = ma.fields.UUID(required=True, metadata={"description": "The task that issued it"})
    created_at = Instant(required=True)
    cancelled_at = Instant(required=True, allow_none=True)
    links = ma.fields.Function(
        lambda invoice: {"self": invoice_path(invoice.number), "pdf": f"{invoice_path(invoice.number)}/pdf"},
        required=True,
        metadata={"type": "object", "description": "Paths of what belongs to it"},
    )


class CustomerStatusView(ma.Schema):
    """What became of a customer's invoices."""

    customer_id = ma.fields.String(required=True)
    status = ma.fields.Function(
        lambda found: found.run and found.run.run.status,
        required=True,
        metadata={"type": ["string", "null"], "description": "Of the newest run; null: there is none any more"},
    )
    run = ma.fields.Nested(RunDetails, required=True, allow_none=True)
    invoices = ma.fields.List(ma.fields.Nested(InvoiceView), required=True, metadata={"description": "Newest first"})


class CustomerTasks(PageQuery):
    """Query parameters of the list of a customer's tasks."""


class WaitForPdf(Wait):
    """Query parameters of downloading a PDF that may have to be printed again."""


def invoice_path(number: str) -> str:
    """Where an invoice is read."""
    return f"/api/v1/invoices/{number}"
