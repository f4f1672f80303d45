"""hand_out: submits other tasks, at once or with its outcome, and ends as it is told; for tests only."""

import os
import signal
import time
from dataclasses import dataclass
from typing import Any

from taskledger_sdk import PermanentError, RetryPolicy, TaskContext, task_type


@dataclass(frozen=True, kw_only=True)
class Part:
    """One task to submit; `key` and `options` as task.submit() takes them."""

    type: str = "reverse_string"
    payload: Any = "part"
    key: str | None = None
    now: bool = False
    options: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class HandOut:
    """What to submit, and what to do then: on attempts up to `fail_until` raise, up to `die_until` die."""

    parts: list[Part]
    seconds: float = 0.0
    fail_until: int = 0
    die_until: int = 0
    permanent: bool = False


@task_type(
    "hand_out",
    retry=RetryPolicy(max_retries=5, base_seconds=0.1, cap_seconds=0.2),
    chunk=10,
    max_seconds_each=1.0,
    examples=({"parts": [{}]},),
)
def hand_out(task: TaskContext, payload: HandOut) -> list[str]:
    """Submit the parts; return their ids."""
    ids = [
        str(task.submit(part.type, part.payload, key=part.key, now=part.now, **(part.options or {})))
        for part in payload.parts
    ]
    time.sleep(payload.seconds)
    if task.attempt <= payload.die_until:
        os.kill(os.getpid(), signal.SIGKILL)
    if task.attempt <= payload.fail_until:
        raise PermanentError("told to fail") if payload.permanent else RuntimeError("told to fail")
    return ids
