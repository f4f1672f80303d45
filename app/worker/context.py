"""The TaskContext that handlers get in a worker."""

import copy
import os
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Unpack
from uuid import UUID

import structlog

from app import clock
from app.config.secret_files import value_of
from app.observability.scrubbing import scrub
from app.services.recovery.failures import storable
from app.services.tasks.outcomes import Write
from app.services.tasks.task_log import LogLine
from app.worker.attempt import LeaseGone
from app.worker.checkpoints import AttemptCheckpoints
from app.worker.heartbeat import PARENT_STOP
from app.worker.in_progress import Running
from app.worker.lifespans import LIFESPANS
from app.worker.ports import Ports
from taskledger_sdk.artifacts import Artifacts
from taskledger_sdk.context import SubmitOptions
from taskledger_sdk.errors import ShuttingDown, TaskCancelled
from taskledger_sdk.registry import TaskType, get_type
from tasks.ports import DurableTasks, Invoices, Ledger, Runs, Triggers, Webhooks

log = structlog.get_logger("tasks")

MESSAGE_CHARACTERS = 2_000


class AttemptContext:
    """The running attempt as its handler sees it."""

    def __init__(self, task_type: TaskType, running: Running) -> None:
        self._type = task_type
        self._running = running
        self._ports = Ports(running.claim)
        self._checkpoints = AttemptCheckpoints(running.claim, running.checkpoint, is_sensitive=task_type.sensitive)

    @property
    def id(self) -> UUID:
        """The task's id."""
        return self._running.claim.id

    @property
    def type(self) -> str:
        """The name of its type."""
        return self._type.name

    @property
    def attempt(self) -> int:
        """The number of this attempt."""
        return self._running.claim.attempt

    @property
    def deadline(self) -> datetime:
        """When TimeLimitReached is raised in the handler."""
        left = self._running.started + self._running.timeout_seconds - time.monotonic()
        return clock.utcnow() + timedelta(seconds=left)

    @property
    def settings(self) -> Mapping[str, str]:
        """The settings its type declares, and no others."""
        declared = {name: value_of(os.environ, name) for name in self._type.settings}
        return MappingProxyType({name: value for name, value in declared.items() if value is not None})

    @property
    def artifacts(self) -> Artifacts:
        """The files of the task's owner."""
        return self._ports.artifacts

    @property
    def invoices(self) -> Invoices:
        """The invoices of the task's owner."""
        return self._ports.invoices

    @property
    def ledger(self) -> Ledger:
        """Other tasks of the task's owner."""
        return self._ports.ledger

    @property
    def durable_tasks(self) -> DurableTasks:
        """Durable tasks, for the task that undoes one."""
        return self._ports.durable_tasks

    @property
    def webhooks(self) -> Webhooks:
        """Deliveries to webhooks, for the tasks that make them."""
        return self._ports.webhooks

    @property
    def triggers(self) -> Triggers:
        """Triggers, for the tasks that apply them."""
        return self._ports.triggers

    @property
    def runs(self) -> Runs:
        """Runs of workflows, for the tasks of steps that have no type of their own."""
        return self._ports.runs

    @property
    def writes(self) -> tuple[Write, ...]:
        """What the ports shall do in the outcome's transaction."""
        forget = (self._checkpoints.forget,) if self._checkpoints.exist else ()
        return (*forget, *self._ports.all_writes)

    def with_settings_of(self, type_name: str) -> "AttemptContext":
        """The same attempt with another type's settings; what the handlers of that type share is started, too."""
        other = copy.copy(self)
        other._type = get_type(type_name)
        LIFESPANS.ensure(other._type.handler.__module__)
        return other

    @property
    def last_checkpoint(self) -> Any:
        """What this attempt or an earlier one has kept."""
        return self._checkpoints.last

    def checkpoint(self, value: Any) -> None:
        """Keep a value for the next attempt, which is where a worker that shuts down stops the handler."""
        if not self._checkpoints.keep(value):
            raise LeaseGone
        self.check_cancelled()
        if PARENT_STOP.is_announced() and self._running.checkpoint.text is None:
            raise ShuttingDown

    def submit(
        self,
        type_name: str,
        payload: Any,
        /,
        *,
        key: str | None = None,
        now: bool = False,
        **options: Unpack[SubmitOptions],
    ) -> UUID:
        """Submit a task, with this attempt's outcome or at once."""
        self.check_cancelled()
        return self._ports.children.submit(type_name, payload, key=key, now=now, options=options)

    def progress(self, fraction: float, message: str = "") -> None:
        """Tell how far the task is; written with the next heartbeat."""
        self.check_cancelled()
        bounded = min(1.0, max(0.0, float(fraction)))
        self._running.progress = {"fraction": bounded, "message": scrub(storable(message))[:MESSAGE_CHARACTERS]}

    def log(self, message: str, **fields: Any) -> None:
        """Keep a line with the task; written with the next heartbeat."""
        text = scrub(storable(message))[:MESSAGE_CHARACTERS]
        plain = {
            name: value if isinstance(value, int | float | bool) else scrub(storable(str(value)))
            for name, value in fields.items()
        }
        claim = self._running.claim
        self._running.write(
            LogLine(task_id=claim.id, attempt=claim.attempt, at=clock.utcnow(), message=text, fields=plain)
        )
        log.info("task_log", task_id=str(claim.id), attempt=claim.attempt, message=text, fields=plain)

    def check_cancelled(self) -> None:
        """Raise TaskCancelled if cancelling was asked for."""
        # After a time limit the handler cleans up, and may report how far it got with that.
        if isinstance(self._running.stop_error, TaskCancelled | LeaseGone | ShuttingDown):
            raise type(self._running.stop_error)
