"""What a team writes its task types with, and what its programs talk to Taskledger with.

Names are loaded when they are first asked for, so that a program that only submits does not load what validates.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from taskledger_sdk.client import AsyncClient, Client, Submission
    from taskledger_sdk.context import TaskContext
    from taskledger_sdk.errors import PermanentError, RetryLater, ShuttingDown, TaskCancelled, TimeLimitReached
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
    "Client": "client",
    "Lifespan": "lifespans",
    "PermanentError": "errors",
    "Places": "payload",
    "RetryLater": "errors",
    "RetryPolicy": "retry",
    "ShuttingDown": "errors",
    "Submission": "client",
    "TaskCancelled": "errors",
    "TaskContext": "context",
    "TimeLimitReached": "errors",
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
    "Client",
    "Lifespan",
    "PermanentError",
    "Places",
    "RetryLater",
    "RetryPolicy",
    "ShuttingDown",
    "Submission",
    "TaskCancelled",
    "TaskContext",
    "TimeLimitReached",
    "__version__",
    "lifespan",
    "ref",
    "rule",
    "schedule",
    "step",
    "task_type",
    "text",
    "workflow",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
