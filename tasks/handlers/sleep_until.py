"""sleep_until: what a step of a workflow is that waits for a moment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from marshmallow.validate import Range

from taskledger_sdk import rule, task_type
from taskledger_sdk.workflows.control import MAX_WAIT_SECONDS, SLEEP
from tasks.context import DurableServiceContext


@dataclass(frozen=True, kw_only=True)
class SleepUntil:
    """So many seconds, or until a moment."""

    seconds: float | None = rule(Range(0, MAX_WAIT_SECONDS), default=None)
    until: datetime | None = None

    def __post_init__(self) -> None:
        if (self.seconds is None) == (self.until is None):
            raise ValueError("give either seconds or until")


@task_type(SLEEP, durable=True, internal=True, examples=({"seconds": 3_600},))
def sleep_until(task: DurableServiceContext, payload: SleepUntil) -> None:
    """Wait for a moment, without a worker; steps of workflows are such tasks."""
    task.sleep(payload.until if payload.until is not None else payload.seconds or 0.0)
