"""ServiceContext: what the service's own handlers are given beyond what every author may rely on."""

from __future__ import annotations

from typing import Protocol

from taskledger_sdk.context import TaskContext
from taskledger_sdk.durable import DurableTask
from tasks.ports import DurableTasks, Invoices, Ledger, Runs, Triggers, Webhooks


class ServiceContext(TaskContext, Protocol):
    """The running attempt of one of the service's own task types."""

    @property
    def invoices(self) -> Invoices:
        """The invoices of the task's owner."""

    @property
    def ledger(self) -> Ledger:
        """Other tasks of the task's owner."""

    @property
    def durable_tasks(self) -> DurableTasks:
        """Durable tasks, for the task that undoes one."""

    @property
    def webhooks(self) -> Webhooks:
        """Deliveries to webhooks, for the tasks that make them."""

    @property
    def triggers(self) -> Triggers:
        """Triggers, for the tasks that apply them."""

    @property
    def runs(self) -> Runs:
        """Runs of workflows, for the tasks of steps that have no type of their own."""

    def with_settings_of(self, type_name: str) -> ServiceContext:
        """The same attempt with the settings that another type declared: an undo reads those of its own type."""


class DurableServiceContext(ServiceContext, DurableTask, Protocol):
    """The same of a durable type."""
