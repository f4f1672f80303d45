"""What goes to the exchange `dlx`: recorded failures and messages that are no hints of ours, each with a reason."""

from dataclasses import dataclass, field
from typing import Any

BODY_CHARACTERS = 2_000


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadLetter:
    """A message for people who watch the queue `tasks.dead`. It holds ids and words, no payload."""

    reason: str
    task_id: str | None = None
    type: str | None = None
    detail: dict[str, Any] = field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        """As JSON."""
        known = {"reason": self.reason, "task_id": self.task_id, "type": self.type, **self.detail}
        return {name: value for name, value in known.items() if value is not None}
