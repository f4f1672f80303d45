"""fetch_orders: the orders of one customer in one period, from the orders service."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any
from urllib.parse import urlencode

from marshmallow.validate import Length, Range, Regexp

from taskledger_sdk import PermanentError, Places, RetryPolicy, TaskContext, rule, task_type
from taskledger_sdk.errors import PayloadRefused
from taskledger_sdk.payload import PayloadSpec
from taskledger_sdk.payload.mail_addresses import MAX_NAMED
from tasks.documents import MAX_LINES
from tasks.http_rules import require_status
from tasks.money import is_whole, line_net
from tasks.outbound import NoAnswer, Outbound

MAX_PAGES, MAX_PAGE_BYTES = 200, 4_194_304
PAGE_SECONDS = 30.0
LARGEST = Decimal("999999999.9999")  # as create_invoice has it

CustomerId = Annotated[str, rule(Regexp(r"[A-Za-z0-9][A-Za-z0-9._\-]{0,63}"))]


@dataclass(frozen=True, kw_only=True)
class FetchOrders:
    """Whose orders, and of which days; both days are included."""

    customer_id: CustomerId = rule(examples=("customer-1",))
    date_from: dt.date = rule(examples=("2026-01-01",))
    date_to: dt.date = rule(examples=("2026-01-31",))

    def __post_init__(self) -> None:
        if self.date_to < self.date_from:
            raise ValueError(f"date_to={self.date_to} is before date_from={self.date_from}; exchange them")


@dataclass(frozen=True, kw_only=True)
class OrderLine:
    """What was ordered: so many of something, at a price before tax."""

    description: str = rule(Length(min=1, max=200))
    quantity: Decimal = rule(Places(3), Range(min=0, max=LARGEST))
    unit_price: Decimal = rule(Places(4), Range(min=-LARGEST, max=LARGEST))
    tax_percent: Decimal = rule(Places(2), Range(min=0, max=100))
    sku: str = rule(Length(max=64), default="")


@dataclass(frozen=True, kw_only=True)
class Order:
    """One order, as the service sends it."""

    id: str = rule(Length(min=1, max=64))
    customer_id: str
    ordered_on: dt.date
    currency: str = rule(Regexp("[A-Z]{3}"))
    lines: list[OrderLine] = rule(Length(min=1, max=MAX_LINES))
    customer_name: str = rule(Length(max=200), default="")
    customer_email: str = rule(Length(max=MAX_NAMED), default="")


@dataclass(frozen=True, kw_only=True)
class Page:
    """One page of the answer; `next` is the cursor of the one after it."""

    items: list[Order] = rule(Length(max=1000))
    next: str | None = rule(Length(max=500), default=None)


PAGE = PayloadSpec.of(Page)


@task_type(
    "fetch_orders",
    retry=RetryPolicy(max_retries=6, base_seconds=2, cap_seconds=300),
    timeout_seconds=180,
    settings=("ORDERS_API_URL", "OUTBOUND_ALLOW"),
    examples=({"customer_id": "customer-1", "date_from": "2026-01-01", "date_to": "2026-01-31"},),
)
def fetch_orders(task: TaskContext, payload: FetchOrders) -> dict[str, Any]:
    """Fetch the orders of one customer in one period, page by page, and check what comes back.

    Asks `GET {ORDERS_API_URL}/orders?customer_id=…&date_from=…&date_to=…&cursor=…`, which answers
    `{"items": [order], "next": cursor or null}`. An answer that is malformed, or has orders of somebody else or of
    other days, fails the task; an outage is retried. The result holds the orders, oldest first, their sum before
    tax, each line rounded to the currency's unit, and as `lines` what create_invoice charges for them: the same sum.
    """
    orders: dict[str, Order] = {}
    for order in _orders(task, payload):
        _check_asked_for(order, payload)
        orders.setdefault(order.id, order)  # an order that moved to the next page meanwhile comes twice
    found = sorted(orders.values(), key=lambda order: (order.ordered_on, order.id))
    currencies = sorted({order.currency for order in found})
    if len(currencies) > 1:
        raise PermanentError(f"the orders are in several currencies ({', '.join(currencies)}) and have no common sum")
    return {
        "customer_id": payload.customer_id,
        "customer_name": next((order.customer_name for order in reversed(found) if order.customer_name), None),
        "customer_email": next((order.customer_email for order in reversed(found) if order.customer_email), None),
        "date_from": payload.date_from.isoformat(),
        "date_to": payload.date_to.isoformat(),
        "currency": currencies[0] if currencies else None,
        "order_count": len(found),
        "total": format(sum((_total(order) for order in found), Decimal("0.00") if not found else Decimal()), "f"),
        "orders": [_shown(order) for order in found],
        "lines": _charged(found),
    }


def _orders(task: TaskContext, payload: FetchOrders) -> Iterator[Order]:
    """Every order of every page, in the order in which they come."""
    base = task.settings.get("ORDERS_API_URL", "").rstrip("/")
    if not base:
        raise PermanentError(
            "ORDERS_API_URL is not set for the worker; set it, for example ORDERS_API_URL=http://orders:8020"
        )
    outbound = Outbound(allow=task.settings.get("OUTBOUND_ALLOW", ""), peers=(base,))
    asked = {"customer_id": payload.customer_id, "date_from": payload.date_from, "date_to": payload.date_to}
    cursor: str | None = None
    seen: set[str] = set()
    for number in range(1, MAX_PAGES + 1):
        page = _page(outbound, f"{base}/orders?{urlencode({**asked, **({'cursor': cursor} if cursor else {})})}")
        yield from page.items
        cursor = page.next
        if not cursor:
            return
        if cursor in seen:
            raise PermanentError(f"the orders service gave the cursor {cursor[:80]!r} twice: its pages never end")
        seen.add(cursor)
        task.progress(number / (number + 1), f"page {number} read")
    raise PermanentError(f"there are more than {MAX_PAGES} pages of orders; ask for a shorter period")


def _page(outbound: Outbound, url: str) -> Page:
    accept = {"Accept": "application/json"}
    answer = outbound.send("GET", url, headers=accept, seconds=PAGE_SECONDS, most_bytes=MAX_PAGE_BYTES)
    require_status(answer, sender="the orders service")
    if answer.truncated:
        raise PermanentError(f"the orders service sent a page of more than {MAX_PAGE_BYTES} bytes")
    try:
        page: Page = PAGE.load(_without_unknown(json.loads(answer.body), Page))
    except PayloadRefused as fault:
        raise PermanentError(f"the orders service sent what is no page of orders: {fault}"[:2000]) from None
    except (ValueError, RecursionError) as fault:
        # An error page of something in between, with status 200, goes away; so this is tried again.
        raise NoAnswer(f"the orders service sent what is no JSON: {fault}"[:500]) from None
    return page


def _without_unknown(value: Any, kind: type) -> Any:
    """A page with only the fields we know: a service may add others at any time."""
    inner = {Page: ("items", Order), Order: ("lines", OrderLine)}.get(kind)
    if not isinstance(value, dict):
        return value
    kept = {name: below for name, below in value.items() if name in kind.__annotations__}
    if inner and isinstance(kept.get(inner[0]), list):
        kept[inner[0]] = [_without_unknown(each, inner[1]) for each in kept[inner[0]]]
    return kept


def _check_asked_for(order: Order, payload: FetchOrders) -> None:
    if order.customer_id != payload.customer_id:
        raise PermanentError(f"the orders service sent order {order.id}, which is of another customer")
    if not payload.date_from <= order.ordered_on <= payload.date_to:
        raise PermanentError(f"the orders service sent order {order.id} of {order.ordered_on}, outside of the period")


def _total(order: Order) -> Decimal:
    """Before tax: each line rounded, as create_invoice rounds it."""
    return sum((line_net(line.quantity, line.unit_price, order.currency) for line in order.lines), Decimal())


def _charged(orders: list[Order]) -> list[dict[str, str]]:
    """What create_invoice takes as its `lines`: the same article at the same price and tax is one line.

    Only lines that need no rounding are joined, so that the invoice comes to the sum of the orders: three of 0.335 are
    three lines of 0.34, and not one of 1.01.
    """
    joined: dict[tuple[str, Decimal, Decimal], Decimal] = {}
    apart: list[tuple[tuple[str, Decimal, Decimal], Decimal]] = []
    for order in orders:
        for line in order.lines:
            article = (line.description, line.unit_price, line.tax_percent)
            if not is_whole(line.quantity, line.unit_price, order.currency):
                apart.append((article, line.quantity))
            elif joined.get(article, Decimal()) + line.quantity <= LARGEST:
                joined[article] = joined.get(article, Decimal()) + line.quantity
            else:
                apart.append((article, line.quantity))
    return [
        {
            "description": description,
            "quantity": format(quantity, "f"),
            "unit_price": format(unit_price, "f"),
            "tax_percent": format(tax_percent, "f"),
        }
        for (description, unit_price, tax_percent), quantity in sorted([*joined.items(), *apart])
    ]


def _shown(order: Order) -> dict[str, Any]:
    lines = [
        {
            "sku": line.sku,
            "description": line.description,
            "quantity": format(line.quantity, "f"),
            "unit_price": format(line.unit_price, "f"),
            "tax_percent": format(line.tax_percent, "f"),
        }
        for line in order.lines
    ]
    return {
        "id": order.id,
        "ordered_on": order.ordered_on.isoformat(),
        "currency": order.currency,
        "total": format(_total(order), "f"),
        "lines": lines,
    }
