"""ServiceContext: what the service's own handlers are given beyond what every author may rely on."""

from __future__ import annotations

from typing import Protocol

from taskledger_sdk.context import TaskContext
from tasks.ports import Invoices, Ledger, Webhooks


class ServiceContext(TaskContext, Protocol):
    """The running attempt of one of the service's own task types."""

    @property
    def invoices(self) -> Invoices:
        """The invoices of the task's owner."""

    @property
    def ledger(self) -> Ledger:
        """Other tasks of the task's owner."""

    @property
    def webhooks(self) -> Webhooks:
        """Deliveries to webhooks, for the tasks that make them."""

    def with_settings_of(self, type_name: str) -> ServiceContext:
        """The same attempt with the settings that another type declared: an undo reads those of its own type."""
