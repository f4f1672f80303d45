"""The client: submit tasks from Python, follow them, and do what the API can do.

`Client` is for threads, `AsyncClient` for coroutines; both have the same methods, results and errors.
"""

from taskledger_sdk.client.asynchronous import AsyncClient
from taskledger_sdk.client.blocking import Client
from taskledger_sdk.client.options import Unsendable
from taskledger_sdk.client.results import (
    Artifact,
    Attempt,
    Event,
    LogLine,
    NotFinished,
    Run,
    Schedule,
    Step,
    Submitted,
    Task,
    TaskError,
    TaskType,
    Why,
)
from taskledger_sdk.client.submissions import Submission, new_id
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
    "NotAuthenticated",
    "NotConfigured",
    "NotFinished",
    "NotFound",
    "NotPermitted",
    "QuotaReached",
    "RateLimited",
    "Refused",
    "RequestFailed",
    "Run",
    "Schedule",
    "Step",
    "Submission",
    "Submitted",
    "Task",
    "TaskError",
    "TaskType",
    "TooManyRequests",
    "TypedPayload",
    "Unavailable",
    "Unreachable",
    "Unsendable",
    "Why",
    "new_id",
]
