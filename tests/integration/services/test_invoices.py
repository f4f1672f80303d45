"""Invoices on PostgreSQL: one a customer and period, numbers without gaps or repeats, credit notes."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from app.database import in_transaction
from app.errors import NotFound
from app.models import new_id
from app.services import invoices
from app.services.tasks import outcomes
from app.services.tasks.outcomes import Completed
from taskledger_sdk.errors import PermanentError
from tasks.ports import InvoiceDraft, InvoiceLine
from tests.support.factories import NOON, make_claim

LINE = InvoiceLine(description="beans", quantity=Decimal("3"), unit_price=Decimal("9.99"), tax_percent=Decimal("19"))
DRAFT = InvoiceDraft(
    series="INV",
    customer_id="C-1",
    customer_name="Łódź Coffee",
    date_from=date(2026, 1, 1),
    date_to=date(2026, 1, 31),
    currency="EUR",
    due_days=14,
    lines=(LINE,),
)


def issue(session, draft=DRAFT, *, owner_id=None, task_id=None):
    amounts = invoices.compute(draft)
    return invoices.issue(session, draft, amounts, owner_id=owner_id, task_id=task_id or new_id(), now=NOON)


def issue_with_outcome(held, draft):
    """As a worker does: the number is drawn in the transaction that completes the task."""
    amounts = invoices.compute(draft)

    def write(session, now):
        return invoices.issue(session, draft, amounts, owner_id=None, task_id=held.id, now=now)

    recorded = in_transaction(
        lambda session: outcomes.record(session, [(held, Completed(result={}, writes=(write,)))], now=NOON)
    )
    return recorded[held.id].result


def sequences(session, series="INV"):
    rows = session.scalars(sa.text("SELECT sequence FROM invoices WHERE series = :s ORDER BY 1"), {"s": series})
    return rows.all()


def at_once(work, arguments):
    """Run it for all arguments in 16 threads that begin together."""
    ready = threading.Barrier(16)

    def begin():
        ready.wait(10)

    with ThreadPoolExecutor(16, initializer=begin) as pool:
        return list(pool.map(work, arguments))


def test_an_invoice_has_number_totals_lines_and_taxes(session):
    issued = issue(session)

    record = invoices.read(session, issued["number"], owner_id=None)
    assert issued["number"] == "INV-000001"
    assert (record.net, record.tax, record.total) == (Decimal("29.97"), Decimal("5.69"), Decimal("35.66"))
    assert record.as_json()["lines"][0]["unit_price"] == "9.99"
    assert record.as_json()["taxes"] == [{"tax_percent": "19", "net": "29.97", "tax": "5.69"}]
    assert (issued["issued_on"], issued["due_on"]) == ("2026-03-02", "2026-03-16")


def test_the_same_invoice_again_is_the_first_one(session):
    first, second = issue(session), issue(session)

    assert second["number"] == first["number"]
    assert (first["created"], second["created"]) == (True, False)


def test_other_lines_for_a_charged_period_are_refused(session):
    issue(session)

    with pytest.raises(PermanentError, match="already has invoice INV-000001"):
        issue(session, replace(DRAFT, lines=(replace(LINE, quantity=Decimal(4)),)))


def test_100_tasks_for_one_period_at_once_make_one_invoice(engine, session):
    claims = [make_claim(session, type="create_invoice") for _ in range(100)]
    session.commit()

    results = at_once(lambda held: issue_with_outcome(held, DRAFT), claims)

    assert {result["number"] for result in results} == {"INV-000001"}
    assert sum(result["created"] for result in results) == 1
    assert sequences(session) == [1]


def test_one_period_in_two_series_at_once_makes_one_invoice(engine, session):
    claims = [make_claim(session, type="create_invoice") for _ in range(40)]
    session.commit()

    at_once(lambda pair: issue_with_outcome(pair[1], replace(DRAFT, series="AB"[pair[0] % 2])), enumerate(claims))

    assert session.scalar(sa.text("SELECT count(*) FROM invoices")) == 1


def test_200_different_invoices_at_once_leave_no_gap(engine, session):
    claims = [make_claim(session, type="create_invoice") for _ in range(200)]
    session.commit()

    at_once(lambda pair: issue_with_outcome(pair[1], replace(DRAFT, customer_id=f"C-{pair[0]}")), enumerate(claims))

    assert sequences(session) == list(range(1, 201))


def test_attempts_that_lost_their_lease_leave_no_gap(engine, session):
    claims = [make_claim(session, type="create_invoice") for _ in range(40)]
    session.execute(
        sa.text("UPDATE tasks SET lease = gen_random_uuid() WHERE id = ANY(:ids)"),
        {"ids": [held.id for held in claims[::2]]},
    )
    session.commit()

    def work(pair):
        draft = replace(DRAFT, customer_id=f"C-{pair[0]}")
        if pair[0] % 2:
            issue_with_outcome(pair[1], draft)
        else:
            with pytest.raises(KeyError):
                issue_with_outcome(pair[1], draft)

    at_once(work, enumerate(claims))

    assert sequences(session) == list(range(1, 21))


def test_a_transaction_that_is_rolled_back_gives_its_number_back(session):
    issue(session)
    session.commit()
    issue(session, replace(DRAFT, customer_id="C-2"))
    session.rollback()

    assert issue(session, replace(DRAFT, customer_id="C-3"))["number"] == "INV-000002"


def test_owners_have_their_own_numbers_and_periods(session):
    ours, theirs = new_id(), new_id()

    numbers = [issue(session, owner_id=owner)["number"] for owner in (ours, theirs, None)]

    assert numbers == ["INV-000001"] * 3
    assert invoices.read(session, "INV-000001", owner_id=ours).owner_id == ours
    with pytest.raises(NotFound):
        invoices.read(session, "INV-000001", owner_id=new_id())


def test_a_cancelled_invoice_has_a_credit_note_of_the_opposite_amounts(session):
    number = issue(session)["number"]

    told = invoices.cancel(session, number, owner_id=None, reason="by mistake", task_id=new_id(), now=NOON)

    credit = invoices.read(session, told["credit_number"], owner_id=None)
    assert told["credit_number"] == "INV-CN-000001"
    assert (credit.kind, credit.total, credit.reason) == ("credit_note", Decimal("-35.66"), "by mistake")
    assert credit.lines[0]["quantity"] == "-3"
    assert invoices.read(session, number, owner_id=None).status == "CANCELLED"


def test_cancelling_twice_leaves_one_credit_note(session):
    number = issue(session)["number"]

    told = [invoices.cancel(session, number, owner_id=None, reason="", task_id=new_id(), now=NOON) for _ in range(2)]

    assert told[0] == told[1]
    assert sequences(session, "INV-CN") == [1]


def test_a_cancelled_period_can_be_charged_again(session):
    number = issue(session)["number"]
    invoices.cancel(session, number, owner_id=None, reason="", task_id=new_id(), now=NOON)

    again = issue(session, replace(DRAFT, lines=(replace(LINE, quantity=Decimal(1)),)))

    assert (again["number"], again["created"]) == ("INV-000002", True)


def test_a_customers_invoices_come_newest_first(session):
    for month in (1, 2, 3):
        start = date(2026, month, 1)
        issue(session, replace(DRAFT, date_from=start, date_to=start + timedelta(days=27)))

    found = invoices.of_customer(session, "C-1", owner_id=None, limit=2)

    assert [record.number for record in found] == ["INV-000003", "INV-000002"]


def test_a_credit_note_or_a_strangers_invoice_cannot_be_cancelled(session):
    number = issue(session)["number"]
    credit = invoices.cancel(session, number, owner_id=None, reason="", task_id=new_id(), now=NOON)["credit_number"]

    for wrong, owner_id in ((credit, None), (number, new_id())):
        with pytest.raises(PermanentError):
            invoices.cancel(session, wrong, owner_id=owner_id, reason="", task_id=new_id(), now=NOON)


AUCKLAND = replace(DRAFT, time_zone="Pacific/Auckland")
NIGHT = datetime(2026, 3, 28, 14, 14, tzinfo=UTC)  # 03:14 on the 29th in Auckland


def issue_at(session, draft, now):
    return invoices.issue(session, draft, invoices.compute(draft), owner_id=None, task_id=new_id(), now=now)


def test_an_invoice_is_dated_by_the_clock_of_its_time_zone(session):
    issued = issue_at(session, AUCKLAND, NIGHT)

    assert (issued["issued_on"], issued["due_on"]) == ("2026-03-29", "2026-04-12")
    assert invoices.read(session, issued["number"], owner_id=None).time_zone == "Pacific/Auckland"


def test_a_credit_note_is_dated_by_the_same_clock(session):
    number = issue_at(session, AUCKLAND, NIGHT)["number"]

    told = invoices.cancel(session, number, owner_id=None, reason="test", task_id=new_id(), now=NIGHT)

    credit = invoices.read(session, told["credit_number"], owner_id=None)
    assert (credit.issued_on, credit.time_zone) == (date(2026, 3, 29), "Pacific/Auckland")


def test_an_invoice_of_before_has_its_credit_note_dated_in_utc(session):
    number = issue_at(session, DRAFT, NIGHT)["number"]
    session.execute(sa.text("UPDATE invoices SET time_zone = NULL"))

    told = invoices.cancel(session, number, owner_id=None, reason="test", task_id=new_id(), now=NIGHT)

    assert invoices.read(session, told["credit_number"], owner_id=None).issued_on == date(2026, 3, 28)


OVERLAPPING = [
    (date(2026, 1, 31), date(2026, 2, 28)),
    (date(2025, 12, 1), date(2026, 1, 1)),
    (date(2026, 1, 10), date(2026, 1, 10)),
    (date(2025, 1, 1), date(2026, 12, 31)),
    (date(2026, 1, 1), date(2026, 1, 30)),
]


@pytest.mark.parametrize(("first", "last"), OVERLAPPING)
def test_an_invoice_for_days_that_are_charged_already_is_refused_whatever_its_series(session, first, last):
    issue(session)

    with pytest.raises(PermanentError, match=r"already has invoice INV-000001 .* overlaps"):
        issue(session, replace(DRAFT, date_from=first, date_to=last, series="SUB"))

    assert sequences(session, "SUB") == []


def test_days_before_and_after_and_other_customers_and_owners_do_not_overlap(session):
    issue(session)
    after = replace(DRAFT, date_from=date(2026, 2, 1), date_to=date(2026, 2, 28))
    before = replace(DRAFT, date_from=date(2025, 12, 1), date_to=date(2025, 12, 31))

    issue(session, after)
    issue(session, before)
    issue(session, replace(DRAFT, customer_id="C-2", date_to=date(2026, 2, 5)))
    issue(session, replace(DRAFT, date_to=date(2026, 2, 5)), owner_id=new_id())

    assert sequences(session) == [1, 1, 2, 3, 4]


def test_who_says_that_periods_may_overlap_gets_both(session):
    issue(session)

    assert issue(session, replace(DRAFT, date_to=date(2026, 1, 15), may_overlap=True))["number"] == "INV-000002"


def test_after_cancelling_the_days_can_be_charged_with_others(session):
    number = issue(session)["number"]
    invoices.cancel(session, number, owner_id=None, reason="test", task_id=new_id(), now=NOON)

    assert issue(session, replace(DRAFT, date_to=date(2026, 1, 15)))["number"] == "INV-000002"


def test_of_many_overlapping_periods_at_once_one_is_charged(engine, session):
    claims = [make_claim(session, type="create_invoice") for _ in range(32)]
    session.commit()

    def attempt(pair):
        number, held = pair
        draft = replace(DRAFT, date_from=date(2026, 1, 1) + timedelta(days=number % 16), date_to=date(2026, 1, 31))
        try:
            return issue_with_outcome(held, replace(draft, lines=(replace(LINE, quantity=Decimal(number + 1)),)))
        except PermanentError as error:
            return error

    at_once(attempt, list(enumerate(claims)))

    assert session.scalar(sa.text("SELECT count(*) FROM invoices")) == 1
    assert sequences(session) == [1]


def test_an_invoice_of_5000_lines_is_kept_whole(session):
    lines = tuple(replace(LINE, description=f"beans {n}") for n in range(5000))

    record = invoices.read(session, issue(session, replace(DRAFT, lines=lines))["number"], owner_id=None)

    assert (len(record.lines), record.lines[-1]["description"]) == (5000, "beans 4999")
    assert record.net == Decimal("29.97") * 5000
