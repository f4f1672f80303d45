"""What fetch_orders adds up is what create_invoice charges for it, whatever the prices and the currency."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.services.invoices import compute
from taskledger_sdk.registry import get_type
from tasks.handlers import fetch_orders
from tasks.handlers.fetch_orders import Order, OrderLine
from tasks.ports import InvoiceDraft, InvoiceLine
from tests.support.fake_task import FakeTask

DAY = date(2026, 1, 5)
ASKED = {"customer_id": "c", "date_from": "2026-01-01", "date_to": "2026-01-31"}


def order(number, *lines, currency="EUR"):
    made = [
        OrderLine(description=what, quantity=Decimal(quantity), unit_price=Decimal(price), tax_percent=Decimal(19))
        for what, quantity, price in lines
    ]
    return Order(id=str(number), customer_id="c", ordered_on=DAY, currency=currency, lines=made)


def fetched(monkeypatch, orders):
    monkeypatch.setattr(fetch_orders, "_orders", lambda _task, _payload: iter(orders))
    return fetch_orders.fetch_orders(FakeTask(), get_type("fetch_orders").payload.load(ASKED))


def invoiced(result):
    asked = {**ASKED, "currency": result["currency"], "lines": result["lines"]}
    payload = get_type("create_invoice").payload.load(asked)
    lines = tuple(InvoiceLine(**{name: getattr(line, name) for name in LINE_FIELDS}) for line in payload.lines)
    draft = InvoiceDraft(series="INV", customer_id="c", customer_name=None, date_from=DAY, date_to=DAY,
                         currency=payload.currency, due_days=14, lines=lines)  # fmt: skip
    return compute(draft)


LINE_FIELDS = ("description", "quantity", "unit_price", "tax_percent")


@pytest.mark.parametrize(
    ("currency", "price", "total"),
    [
        ("EUR", "0.335", "1.02"),
        ("EUR", "0.334", "0.99"),
        ("EUR", "-0.335", "-1.02"),
        ("JPY", "0.5", "3"),
        ("KWD", "0.3335", "1.002"),
    ],
)
def test_three_orders_come_to_the_same_in_orders_total_and_invoice(monkeypatch, currency, price, total):
    plus = ("deposit", "1", "100")
    orders = [order(number, ("beans", "1", price), currency=currency) for number in range(3)]
    orders.append(order(4, plus, currency=currency))

    result = fetched(monkeypatch, orders)

    wanted = Decimal(total) + 100
    assert Decimal(result["total"]) == wanted
    assert sum(Decimal(each["total"]) for each in result["orders"]) == wanted
    assert invoiced(result).net == wanted


def test_orders_of_the_same_article_are_one_line_where_nothing_is_rounded(monkeypatch):
    result = fetched(monkeypatch, [order(number, ("beans", "2", "18.90")) for number in range(3)])

    assert [(line["quantity"], line["unit_price"]) for line in result["lines"]] == [("6", "18.90")]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(("a", "b")),
            st.decimals(0, 1000, places=3, allow_nan=False),
            st.decimals(0, 1000, places=4, allow_nan=False),
        ),
        min_size=1,
        max_size=8,
    ),
    st.sampled_from(("EUR", "JPY", "KWD")),
)
@settings(max_examples=100, deadline=None, database=None)
def test_total_and_invoice_agree_for_any_prices(lines, currency):
    with pytest.MonkeyPatch.context() as monkeypatch:
        result = fetched(monkeypatch, [order(n, line, currency=currency) for n, line in enumerate(lines)])

    assert invoiced(result).net == Decimal(result["total"])


def test_more_than_a_thousand_lines_are_fetched_and_charged(monkeypatch):
    orders = [order(number, (f"article {number}", "1", "1.00")) for number in range(3000)]

    assert invoiced(fetched(monkeypatch, orders)).net == 3000
