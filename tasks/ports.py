"""Ports: how a handler reaches outside state that belongs to the ledger; the application implements them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, Protocol
from uuid import UUID

from taskledger_sdk.durable import Child


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
    schema_hash: str | None = None
    """The schema that its payload was accepted under; None is not known."""


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
class StepToUndo:
    """A step of a durable task that is to be taken back, by a task of a type; `result` is None where not known."""

    name: str
    type: str
    payload: Any
    result: Any = None


class DurableTasks(Protocol):
    """Durable tasks that have failed or were cancelled; for the task that the service submits to undo one."""

    def to_undo(self, task_id: UUID) -> list[StepToUndo]:
        """What is left to undo, the last step first.

        Raises PermanentError for a task that this one was not submitted to undo, or that goes on again.
        """

    def note_undone(self, task_id: UUID, step: str) -> None:
        """Note at once that a step was taken back."""


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


class Triggers(Protocol):
    """Triggers of the task's owner, for the tasks that the service submits to apply them."""

    def apply_some(self, event_id: UUID) -> bool:
        """Apply the next of those that listen for an event; whether more are left.

        Raises NoRoom when the owner's quota is full: what is left is applied by a later attempt.
        """


@dataclass(frozen=True, kw_only=True)
class EndedRun:
    """How a run has ended; `results` are those of its last steps, where it is COMPLETED."""

    status: str
    reason: str | None
    results: dict[str, Any]


class Runs(Protocol):
    """Runs of workflows of the task's owner, for the tasks that steps without a type of their own are."""

    def moment_after(self, seconds: float) -> str:
        """The moment so many seconds from now, as a text."""

    def seconds_until(self, moment: str) -> float:
        """How many seconds it is until a moment; 0 once it has passed."""

    def faults(self, schema: dict[str, Any], data: Any) -> list[str]:
        """What a JSON Schema finds in data; nothing when they fit."""

    def items(self, run_id: UUID, step: str) -> tuple[list[Child], int | None]:
        """The tasks of a step with `for_each`, in the order of the items, and how many may be under way at once.

        Raises PermanentError for what is no list, or too long, and for items that their type refuses.
        """

    def completed_items(self, run_id: UUID, step: str) -> list[int]:
        """The numbers of the completed items of a step that can be taken back, the last to complete first."""

    def undos(self, run_id: UUID, step: str, numbers: Sequence[int], reason: str) -> list[dict[str, Any]]:
        """The tasks, type and payload, that take back these items of a step, in this order."""

    def new_id(self) -> UUID:
        """An id for a run to be."""

    def start(self, run_id: UUID, workflow: str, input: dict[str, Any]) -> None:  # noqa: A002
        """Start a run of a workflow that this task waits for, unless it is there.

        Raises PermanentError where that is refused; NoRoom when the owner's quota is full.
        """

    def ended(self, run_id: UUID) -> EndedRun | None:
        """How a run has ended; None: it has not."""

    def of_task(self, task_id: UUID) -> UUID | None:
        """The run that a task has started; None where there is none."""

    def compensate(self, run_id: UUID, reason: str) -> str:
        """Let a run take back what it did, and this task hear of its end; the status that it has now."""
