"""The client: submit tasks from Python, follow them, and do what the API can do.

`Client` is for threads, `AsyncClient` for coroutines; both have the same methods, results and errors.
"""

from taskledger_sdk.client.asynchronous import AsyncClient
from taskledger_sdk.client.blocking import Client
from taskledger_sdk.client.results import (
    Artifact,
    Attempt,
    Event,
    LogLine,
    Match,
    NotFinished,
    OutsideEvent,
    Run,
    Schedule,
    Signal,
    Step,
    Submitted,
    Task,
    TaskError,
    TaskStep,
    TaskType,
    Trigger,
    Why,
)
from taskledger_sdk.client.submissions import Submission, new_id
from taskledger_sdk.client.work import WorkTask
from taskledger_sdk.http.errors import (
    Conflict,
    Invalid,
    NotAuthenticated,
    NotConfigured,
    NotFound,
    NotPermitted,
    QuotaReached,
    RateLimited,
    Refused,
    RequestFailed,
    TooManyRequests,
    Unavailable,
    Unreachable,
    Unsendable,
)
from taskledger_sdk.typed_payloads import UNSET, TypedPayload

__all__ = [
    "UNSET",
    "Artifact",
    "AsyncClient",
    "Attempt",
    "Client",
    "Conflict",
    "Event",
    "Invalid",
    "LogLine",
    "Match",
    "NotAuthenticated",
    "NotConfigured",
    "NotFinished",
    "NotFound",
    "NotPermitted",
    "OutsideEvent",
    "QuotaReached",
    "RateLimited",
    "Refused",
    "RequestFailed",
    "Run",
    "Schedule",
    "Signal",
    "Step",
    "Submission",
    "Submitted",
    "Task",
    "TaskError",
    "TaskStep",
    "TaskType",
    "TooManyRequests",
    "Trigger",
    "TypedPayload",
    "Unavailable",
    "Unreachable",
    "Unsendable",
    "Why",
    "WorkTask",
    "new_id",
]
