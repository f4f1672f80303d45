"""Recorded failures as dead letters for the broker's queue: ids and words, no payload."""

from app.messaging import DeadLetter
from app.services.lifecycle import Claim


def letter(held: Claim, reason: str, error_type: str) -> DeadLetter:
    """The dead letter of a task that is FAILED."""
    return DeadLetter(
        reason=reason, task_id=str(held.id), type=held.type, detail={"error": error_type, "attempt": held.attempt}
    )
