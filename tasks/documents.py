"""Documents that generate_pdf prints: what an invoice and a report consist of."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Literal
from uuid import UUID

from marshmallow.validate import Length, Range, Regexp

from taskledger_sdk.payload import Places, rule

MAX_ROWS = 5000
MAX_LINES = 5000  # positions of an invoice
MAX_NOTE = 1000
Money = Annotated[Decimal, rule(Places(4))]
# JSON Schema has no bounds for numbers in strings; the pattern says the same.
PERCENT = r"^(?:100(?:\.0{1,2})?|[1-9]?[0-9](?:\.[0-9]{1,2})?)$"
Percent = Annotated[Decimal, rule(Places(2), Range(min=0, max=100), schema={"pattern": PERCENT})]


@dataclass(frozen=True, kw_only=True)
class InvoiceLine:
    """One position; `net` is what it comes to before tax."""

    description: str = rule(Length(min=1, max=500))
    quantity: Decimal = rule(Places(3))
    unit_price: Money
    tax_percent: Percent
    net: Money


@dataclass(frozen=True, kw_only=True)
class InvoiceTax:
    """The tax of all positions of one rate."""

    tax_percent: Percent
    net: Money
    tax: Money


@dataclass(frozen=True, kw_only=True)
class InvoiceData:
    """An invoice as create_invoice returns it; the amounts are printed as they are, and not added up again."""

    number: str = rule(Length(min=1, max=60), examples=("INV-000017",))
    issued_on: dt.date
    due_on: dt.date
    customer_id: str = rule(Length(min=1, max=100))
    customer_name: str | None = rule(Length(max=200), default=None)
    date_from: dt.date
    date_to: dt.date
    currency: str = rule(Regexp("[A-Z]{3}"))
    lines: list[InvoiceLine] = rule(Length(min=1, max=MAX_LINES))
    taxes: list[InvoiceTax] = rule(Length(max=MAX_LINES))
    net: Money
    tax: Money
    total: Money
    invoice_id: UUID | None = None
    created: bool = True


@dataclass(frozen=True, kw_only=True)
class Seller:
    """Who sends the invoice, as printed at its head and foot."""

    name: str = rule(Length(min=1, max=100))
    address: list[Annotated[str, rule(Length(max=100))]] = rule(Length(max=6), default_factory=list)
    tax_id: str = rule(Length(max=40), default="")
    bank: str = rule(Length(max=120), default="", description="Where to pay, on one line")


@dataclass(frozen=True, kw_only=True)
class Invoice:
    """An invoice."""

    template: Literal["invoice"]
    data: InvoiceData
    seller: Seller | None = None
    note: str = rule(Length(max=MAX_NOTE), default="", description="Below the total")


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of a table; `width` is its share of the page's width, against the other columns'."""

    title: str = rule(Length(max=60))
    align: Literal["left", "right"] = "left"
    width: float = rule(Range(min=0.1, max=20), default=1.0)


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of texts; a row that is too short is filled with empty cells."""

    columns: list[Column] = rule(Length(min=1, max=12))
    rows: list[Annotated[list[Annotated[str, rule(Length(max=500))]], rule(Length(max=12))]] = rule(
        Length(max=MAX_ROWS)
    )


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of a report: any of a heading, a text (paragraphs parted by line ends) and a table."""

    heading: str = rule(Length(max=120), default="")
    text: str = rule(Length(max=20_000), default="")
    table: Table | None = None


@dataclass(frozen=True, kw_only=True)
class ReportData:
    """What the report says."""

    title: str = rule(Length(min=1, max=120))
    subtitle: str = rule(Length(max=200), default="")
    date: dt.date | None = None
    sections: list[Section] = rule(Length(min=1, max=50))


@dataclass(frozen=True, kw_only=True)
class Report:
    """A report."""

    template: Literal["report"]
    data: ReportData


Document = Invoice | Report
