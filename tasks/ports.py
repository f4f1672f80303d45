"""Ports: how a handler reaches outside state that belongs to the ledger; the application implements them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, Protocol
from uuid import UUID


@dataclass(frozen=True, kw_only=True)
class InvoiceLine:
    """One position: so many of something at a price before tax."""

    description: str
    quantity: Decimal
    unit_price: Decimal
    tax_percent: Decimal


@dataclass(frozen=True, kw_only=True)
class InvoiceDraft:
    """An invoice that has no number yet; `date_from` and `date_to` are the first and the last day of its period."""

    series: str
    customer_id: str
    customer_name: str | None
    date_from: date
    date_to: date
    currency: str
    due_days: int
    lines: tuple[InvoiceLine, ...]
    time_zone: str = "UTC"  # IANA name: the zone that the date of the invoice is a day of
    may_overlap: bool = False  # whether the customer's other invoices may be for some of the same days


class Invoices(Protocol):
    """Invoices of the task's owner. What is asked for here happens in the transaction that records the outcome.

    So a number is drawn only for a task that is COMPLETED, by the one attempt that completes it, and none is ever
    missing. What is then known (the number, say) is added to the result, which must be an object or None.
    """

    def issue(self, draft: InvoiceDraft) -> dict[str, Any]:
        """Issue it with this attempt's outcome, once per customer and period; returns its lines, taxes and totals.

        The result gets `invoice_id`, `number`, `issued_on`, `due_on` and `created` (false: another task issued the
        same invoice before). Raises PermanentError for amounts too large to be money; the task fails if the customer
        has another invoice for the period or, unless it may overlap, for some of its days.
        """

    def cancel(self, number: str, reason: str) -> None:
        """Cancel an invoice by a credit note with this attempt's outcome; the result gets `credit_number`.

        An invoice that is cancelled already keeps its first credit note.
        """


@dataclass(frozen=True, kw_only=True)
class CompletedTask:
    """Another task: what it was given, and what it returned."""

    id: UUID
    type: str
    payload: Any
    result: Any


class Ledger(Protocol):
    """Other tasks of the task's owner, and what this one keeps between its attempts."""

    def begin_compensation(self, task_id: UUID) -> CompletedTask | UUID:
        """The completed task that this one may compensate, or the id of the task that does or did so already.

        Raises PermanentError for a task that is not there, not theirs or not COMPLETED.
        """

    def noted(self, key: str) -> Any:
        """What an attempt of this task noted under a key; None if none did."""

    def note(self, key: str, value: Any) -> None:
        """Note at once that something has happened outside, so that no later attempt does it again.

        Kept even if this attempt has lost its lease, because it has happened all the same; the first word stands. Waits
        for a database that is away: without the note, the effect may come twice.
        """


@dataclass(frozen=True, kw_only=True)
class OutgoingWebhook:
    """One delivery as it is to be sent; without secrets it is sent unsigned."""

    id: UUID
    url: str
    body: bytes
    secrets: tuple[str, ...] = field(repr=False)


class Webhooks(Protocol):
    """Deliveries to webhooks; for the tasks that the service submits to make them."""

    def outgoing(self, delivery_id: UUID) -> OutgoingWebhook:
        """What to send now. Raises PermanentError when there is nothing to send any more."""

    def note(
        self, delivery_id: UUID, *, status: int | None = None, error: str | None = None, elapsed_ms: int | None = None
    ) -> None:
        """Keep in the delivery log what came of an attempt: the status of the answer, or why there was none."""
