"""What goes to the exchange `dlx`: recorded failures and messages that are no hints of ours, each with a reason."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

BODY_CHARACTERS = 2_000
LOST = "its worker was lost, and no retry is left"


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadLetter:
    """A message for people who watch the queue `tasks.dead`. It holds ids and words, no payload."""

    reason: str
    task_id: str | None = None
    type: str | None = None
    detail: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of_failure(cls, task_id: UUID, type_name: str, attempt: int, *, reason: str, error_type: str) -> "DeadLetter":
        """The dead letter of a task whose failure has been recorded."""
        detail = {"error": error_type, "attempt": attempt}
        return cls(reason=reason, task_id=str(task_id), type=type_name, detail=detail)

    @classmethod
    def of_lost(cls, task_id: UUID, type_name: str, attempt: int) -> "DeadLetter":
        """The dead letter of a task whose worker was lost at its last attempt."""
        return cls.of_failure(task_id, type_name, attempt, reason=LOST, error_type="WorkerLost")

    def body(self) -> dict[str, Any]:
        """As JSON."""
        known = {"reason": self.reason, "task_id": self.task_id, "type": self.type, **self.detail}
        return {name: value for name, value in known.items() if value is not None}
