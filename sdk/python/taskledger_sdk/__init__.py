"""What a team writes its task types with, and what its programs talk to Taskledger with.

Names are loaded when they are first asked for, so that a program that only submits does not load what validates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskledger_sdk.lazy_names import lazy_names

if TYPE_CHECKING:
    from taskledger_sdk.client import AsyncClient, Client, Submission
    from taskledger_sdk.context import TaskContext
    from taskledger_sdk.durable import AsyncDurableTask, DurableTask, child
    from taskledger_sdk.errors import (
        ChildFailed,
        LeaseLost,
        NotDeterministic,
        PermanentError,
        RetryLater,
        ShuttingDown,
        TaskCancelled,
        TimeLimitReached,
        WaitTimedOut,
    )
    from taskledger_sdk.lifespans import Lifespan, lifespan
    from taskledger_sdk.payload import Places, rule
    from taskledger_sdk.registry import task_type
    from taskledger_sdk.retry import RetryPolicy
    from taskledger_sdk.schedules import schedule
    from taskledger_sdk.workflows import ref, step, text, workflow

__version__ = "0.1.0"
"""The version of this release, of the SDK and of the service, which go together: the one place that says it."""

_HOMES = {
    "AsyncClient": "client",
    "AsyncDurableTask": "durable",
    "ChildFailed": "errors",
    "Client": "client",
    "DurableTask": "durable",
    "LeaseLost": "errors",
    "Lifespan": "lifespans",
    "NotDeterministic": "errors",
    "PermanentError": "errors",
    "Places": "payload",
    "RetryLater": "errors",
    "RetryPolicy": "retry",
    "ShuttingDown": "errors",
    "Submission": "client",
    "TaskCancelled": "errors",
    "TaskContext": "context",
    "TimeLimitReached": "errors",
    "WaitTimedOut": "errors",
    "child": "durable",
    "lifespan": "lifespans",
    "ref": "workflows",
    "rule": "payload",
    "schedule": "schedules",
    "step": "workflows",
    "task_type": "registry",
    "text": "workflows",
    "workflow": "workflows",
}

__all__ = [
    "AsyncClient",
    "AsyncDurableTask",
    "ChildFailed",
    "Client",
    "DurableTask",
    "LeaseLost",
    "Lifespan",
    "NotDeterministic",
    "PermanentError",
    "Places",
    "RetryLater",
    "RetryPolicy",
    "ShuttingDown",
    "Submission",
    "TaskCancelled",
    "TaskContext",
    "TimeLimitReached",
    "WaitTimedOut",
    "__version__",
    "child",
    "lifespan",
    "ref",
    "rule",
    "schedule",
    "step",
    "task_type",
    "text",
    "workflow",
]


__getattr__, __dir__ = lazy_names(__name__, _HOMES)
