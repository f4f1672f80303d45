"""wait_for_signal: what a step of a workflow is that waits for a signal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from marshmallow.validate import Length, Range

from taskledger_sdk import rule, task_type
from taskledger_sdk.errors import WaitTimedOut
from taskledger_sdk.workflows.control import FAIL, MAX_SIGNAL, MAX_WAIT_SECONDS, WAIT_FOR
from tasks.context import DurableServiceContext


@dataclass(frozen=True, kw_only=True)
class WaitForSignal:
    """Which signal; `timeout` is in seconds."""

    signal: str = rule(Length(min=1, max=MAX_SIGNAL))
    schema: dict[str, Any] | None = rule(default=None, description="JSON Schema of its data")
    timeout: float | None = rule(Range(0, MAX_WAIT_SECONDS), default=None)
    on_timeout: Literal["fail", "skip"] = "fail"


@task_type(WAIT_FOR, durable=True, internal=True, examples=({"signal": "approved", "timeout": 86_400},))
def wait_for_signal(task: DurableServiceContext, payload: WaitForSignal) -> dict[str, Any]:
    """Wait for a signal to the run, without a worker; steps of workflows are such tasks.

    Data that do not fit the schema are passed over, and the next signal is waited for. Where none comes in time it
    fails with WaitTimedOut, or returns `timed_out` where that is to skip the step.
    """
    until = (
        None if payload.timeout is None else task.once("moment of the timeout", task.runs.moment_after, payload.timeout)
    )
    while True:
        left = None if until is None else task.runs.seconds_until(until)
        try:
            data = task.wait_for(payload.signal, timeout=left, schema=payload.schema)
        except WaitTimedOut:
            if payload.on_timeout == FAIL:
                raise
            return {"data": None, "timed_out": True}
        faults = [] if payload.schema is None else task.runs.faults(payload.schema, data)
        if not faults:
            return {"data": data, "timed_out": False}
        task.log("signal_passed_over", signal=payload.signal, faults=faults)
