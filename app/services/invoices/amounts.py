"""What an invoice adds up to: exact decimals, rounded half up to the currency once a line and once a tax rate. Pure."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Any

from app.database import to_json
from taskledger_sdk.errors import PermanentError
from tasks.money import EXACT, line_net, places, rounded
from tasks.ports import InvoiceDraft, InvoiceLine

LARGEST = Decimal(10) ** 15


@dataclass(frozen=True, kw_only=True, slots=True)
class ChargedLine:
    """A line and what it comes to before tax."""

    line: InvoiceLine
    net: Decimal


@dataclass(frozen=True, kw_only=True, slots=True)
class Tax:
    """The tax of all lines of one rate."""

    tax_percent: Decimal
    net: Decimal
    tax: Decimal


@dataclass(frozen=True, kw_only=True, slots=True)
class Amounts:
    """Lines, taxes by ascending rate, and totals."""

    lines: tuple[ChargedLine, ...]
    taxes: tuple[Tax, ...]
    net: Decimal
    tax: Decimal
    total: Decimal

    def as_json(self) -> dict[str, Any]:
        """For a task's result; decimals are strings."""
        lines = [
            {
                "description": charged.line.description,
                "quantity": text(charged.line.quantity),
                "unit_price": text(charged.line.unit_price),
                "tax_percent": text(charged.line.tax_percent),
                "net": text(charged.net),
            }
            for charged in self.lines
        ]
        taxes = [
            {"tax_percent": text(each.tax_percent), "net": text(each.net), "tax": text(each.tax)} for each in self.taxes
        ]
        totals = {"net": text(self.net), "tax": text(self.tax), "total": text(self.total)}
        return {"lines": lines, "taxes": taxes, **totals}


def compute(draft: InvoiceDraft) -> Amounts:
    """Add up a draft. Raises PermanentError for a negative total or one beyond 10^15."""
    unit = Decimal(1).scaleb(-places(draft.currency))
    with localcontext(EXACT):
        lines = tuple(
            ChargedLine(line=line, net=line_net(line.quantity, line.unit_price, draft.currency)) for line in draft.lines
        )
        taxes = tuple(_taxes(lines, draft.currency))
        net = sum((line.net for line in lines), Decimal(0)).quantize(unit)
        tax = sum((each.tax for each in taxes), Decimal(0)).quantize(unit)
        total = net + tax
    if not 0 <= total < LARGEST:
        raise PermanentError(
            f"the lines add up to {total} {draft.currency}; an invoice comes to 0 or more, and less than {LARGEST:f}"
        )
    return Amounts(lines=lines, taxes=taxes, net=net, tax=tax, total=total)


def _taxes(lines: Iterable[ChargedLine], currency: str) -> Iterable[Tax]:
    """Rounded once a rate, as tax offices and EN 16931 have it: rounding each line would drift with their number."""
    by_rate: dict[Decimal, Decimal] = {}
    for charged in lines:
        rate = charged.line.tax_percent
        by_rate[rate] = by_rate.get(rate, Decimal(0)) + charged.net
    for rate, net in sorted(by_rate.items()):
        yield Tax(tax_percent=rate, net=net, tax=rounded(net * rate / 100, currency))


def digest(draft: InvoiceDraft) -> str:
    """Equal for drafts that charge the same: to tell a repetition from a different invoice for the same period."""
    lines = [
        [line.description, *(text(value.normalize()) for value in (line.quantity, line.unit_price, line.tax_percent))]
        for line in draft.lines
    ]
    parts = [draft.customer_id, str(draft.date_from), str(draft.date_to), draft.currency, lines]
    return hashlib.sha256(to_json(parts).encode()).hexdigest()


def text(value: Decimal) -> str:
    """A decimal as JSON carries it: a string, without an exponent."""
    return format(value, "f")
