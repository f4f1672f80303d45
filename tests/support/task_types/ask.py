"""ask: waits for the signal `approved`, and returns what it was told; an example of an approval."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from taskledger_sdk import DurableTask, task_type

ANSWER = {
    "type": "object",
    "properties": {
        "approved": {"type": "boolean", "description": "Whether it may go on"},
        "note": {"type": "string", "description": "For whoever asked"},
    },
    "required": ["approved"],
    "additionalProperties": False,
}


@dataclass(frozen=True, kw_only=True)
class Question:
    text: str
    seconds: float | None = None


@task_type("ask", durable=True)
def ask(task: DurableTask, payload: Question) -> Any:
    """Return the answer; None where nobody gives one in time."""
    timeout = None if payload.seconds is None else timedelta(seconds=payload.seconds)
    return task.wait_for("approved", timeout=timeout, default=None, schema=ANSWER)
