"""apply_triggers: start what the triggers of an account say of one event."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from taskledger_sdk import RetryPolicy, rule, task_type
from tasks.context import ServiceContext


@dataclass(frozen=True, kw_only=True)
class ApplyTriggers:
    """Which event."""

    event_id: UUID = rule(description="A row of outside_events")


@task_type(
    "apply_triggers",
    # An account whose quota is full is waited for: 5 seconds, then longer, at last each hour, for about two days.
    retry=RetryPolicy(max_retries=60, base_seconds=5, cap_seconds=3_600, jitter=0.5),
    internal=True,
    examples=({"event_id": "018f3c5e-7d2a-7000-8000-0123456789ab"},),
)
def apply_triggers(task: ServiceContext, payload: ApplyTriggers) -> dict[str, int]:
    """Apply the triggers of an event; the service submits these tasks itself.

    Each trigger starts its work once, whoever is killed in between: a later attempt goes on behind the last batch.
    """
    batches = 0
    while task.triggers.apply_some(payload.event_id):
        batches += 1
        task.check_cancelled()
    return {"batches": batches + 1}
