"""What an invoice adds up to."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.services.invoices.amounts import compute, digest, places, text
from taskledger_sdk.errors import PermanentError
from tasks.ports import InvoiceDraft, InvoiceLine


def line(quantity, unit_price, tax_percent="19"):
    return InvoiceLine(
        description="x", quantity=Decimal(quantity), unit_price=Decimal(unit_price), tax_percent=Decimal(tax_percent)
    )


def draft(*lines, currency="EUR"):
    return InvoiceDraft(
        series="INV",
        customer_id="C-1",
        customer_name=None,
        date_from=date(2026, 1, 1),
        date_to=date(2026, 1, 31),
        currency=currency,
        due_days=14,
        lines=lines,
    )


@pytest.mark.parametrize(
    ("lines", "currency", "totals"),
    [
        ((line("3", "9.99"),), "EUR", ("29.97", "5.69", "35.66")),
        ((line("1", "0.005", "0"),), "EUR", ("0.01", "0.00", "0.01")),  # half up, not half to even
        ((line("1", "0.025", "0"),), "EUR", ("0.03", "0.00", "0.03")),
        ((line("1.5", "100"), line("1", "-50")), "EUR", ("100.00", "19.00", "119.00")),
        (tuple(line("1", "0.33") for _ in range(3)), "EUR", ("0.99", "0.19", "1.18")),  # tax of the sum, not 3 x 0.06
        ((line("3", "333", "10"),), "JPY", ("999", "100", "1099")),
        ((line("1", "0.1234", "5"),), "KWD", ("0.123", "0.006", "0.129")),
        (
            (line("0.1", "0.1"), line("0.2", "0.1")),
            "USD",
            ("0.03", "0.01", "0.04"),
        ),  # not 0.030000000000000002
    ],
)
def test_totals_are_exact_and_rounded_half_up(lines, currency, totals):
    amounts = compute(draft(*lines, currency=currency))

    assert (text(amounts.net), text(amounts.tax), text(amounts.total)) == totals


def test_taxes_stand_one_a_rate_by_ascending_rate():
    amounts = compute(draft(line("1", "10", "19"), line("1", "10", "7"), line("2", "5", "19.00")))

    assert [(text(tax.tax_percent), text(tax.net), text(tax.tax)) for tax in amounts.taxes] == [
        ("7", "10.00", "0.70"),
        ("19", "20.00", "3.80"),
    ]


@pytest.mark.parametrize("lines", [(line("1", "-1"),), tuple(line("1000000000", "1000000000") for _ in range(2))])
def test_a_total_below_nothing_or_beyond_all_money_is_refused(lines):
    with pytest.raises(PermanentError):
        compute(draft(*lines))


@given(
    st.lists(
        st.builds(
            line,
            st.decimals(0, 10**6, places=3).map(str),
            st.decimals(0, 10**6, places=4).map(str),
            st.sampled_from(["0", "7", "19", "8.1"]),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_lines_taxes_and_totals_always_add_up(lines):
    amounts = compute(draft(*lines))

    assert amounts.net == sum(charged.net for charged in amounts.lines) == sum(tax.net for tax in amounts.taxes)
    assert amounts.total == amounts.net + sum(tax.tax for tax in amounts.taxes)
    assert amounts.total.as_tuple().exponent == -places("EUR")


def test_the_digest_sees_amounts_and_not_how_they_are_written():
    assert digest(draft(line("1.50", "10"))) == digest(draft(line("1.5", "10.00")))
    assert digest(draft(line("1.5", "10"))) != digest(draft(line("1.5", "10.01")))
