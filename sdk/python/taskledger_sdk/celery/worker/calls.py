"""What the worker's parent process hands to a child, and what it gets back. Pure values, which are pickled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from celery.app.task import Context

from taskledger_sdk.celery.payloads import CalledWith, CallOptions


class Call(NamedTuple):
    """One attempt, as a child is to run it."""

    task_id: str
    """The task in the ledger; `self.request.id` is another one where the caller chose it."""
    lease: str
    name: str
    """As Celery has it."""
    payload: Any
    attempt: int
    kept: Any
    """What an earlier attempt has kept: see `Kept`."""
    hostname: str
    queue: str
    slot: int
    """Where a child looks whether it was asked to stop."""


class Ended(NamedTuple):
    """How an attempt ended: the outcome, as JSON of `POST /work/outcomes`, and what it told last."""

    outcome: str
    content: bytes
    note: str | None = None
    fraction: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """What one attempt leaves to the next one, in the checkpoint of its task."""

    retries: int = 0
    """As Celery counts: those that the task itself asked for."""
    requeues: int = 0
    """How often it was given back by `Reject(requeue=True)`."""
    attempt: int = 0
    """The number of the attempt that asked for a retry; any attempt but the next one is the same call again."""

    @classmethod
    def of(cls, kept: Any) -> Kept:
        """As it was read; nothing for what is none of ours."""
        if not isinstance(kept, Mapping):
            return cls()
        numbers = {name: kept.get(name) for name in ("retries", "requeues", "attempt")}
        return cls(**{name: number for name, number in numbers.items() if isinstance(number, int)})

    def as_json(self) -> dict[str, int]:
        """As it is kept."""
        return {"retries": self.retries, "requeues": self.requeues, "attempt": self.attempt}


def request_of(call: Call, called: CalledWith, task: Any) -> dict[str, Any]:
    """What Celery's tracer makes `self.request` of, as a worker of Celery would have it from a message.

    `task` is Celery's: a message says its limits where the call has none.
    """
    options: CallOptions = called.options
    headers = dict(options.get("headers") or {})
    kept = Kept.of(call.kept)
    id_ = options.get("id") or call.task_id
    stamped = options.get("stamped_headers") or []
    said = {"ignore_result": options["ignore_result"]} if "ignore_result" in options else {}  # else the task's own
    return {
        **headers,
        **said,
        "id": id_,
        "task": call.name,
        "root_id": options.get("root_id") or id_,
        "parent_id": options.get("parent_id"),
        "group": options.get("group"),
        "group_index": options.get("group_index"),
        "shadow": options.get("shadow"),
        "headers": headers or None,
        "stamped_headers": stamped or None,
        "stamps": {name: headers.get(name) for name in stamped} or None,
        "errbacks": options.get("errbacks"),
        "timelimit": options.get("timelimit") or [task.time_limit, task.soft_time_limit],
        "eta": options.get("eta"),
        "expires": options.get("expires") or _expiry_in(call, options),
        "retries": kept.retries,
        "hostname": call.hostname,
        "correlation_id": id_,
        "delivery_info": {
            "exchange": "",
            "routing_key": options.get("queue") or call.queue,
            "priority": options.get("priority"),
            "redelivered": call.attempt > kept.attempt + 1,
        },
        "properties": {},
        "is_eager": False,
        "utc": True,
        "lang": "py",
        "argsrepr": None,
        "kwargsrepr": None,
    }


def _expiry_in(call: Call, options: CallOptions) -> str | None:
    """The id of a step's task says when it was made, which is when its turn came."""
    seconds = options.get("expires_in")
    if seconds is None:
        return None
    made_at = datetime.fromtimestamp((UUID(call.task_id).int >> 80) / 1000, UTC)
    return (made_at + timedelta(seconds=seconds)).isoformat()


def context_of(call: Call, called: CalledWith, task: Any) -> Context:
    """The same for signals that the parent process sends."""
    return Context(request_of(call, called, task), args=called.args, kwargs=called.kwargs, called_directly=False)
