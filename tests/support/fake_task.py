"""An attempt for tests of the service's own handlers."""

from dataclasses import dataclass, field
from typing import Any

from taskledger_sdk.testing import TASK_ID, Attempt

__all__ = ["TASK_ID", "FakeLedger", "FakeTask"]


class FakeLedger:
    """Notes in memory."""

    def __init__(self) -> None:
        self.notes: dict[str, Any] = {}

    def noted(self, key: str) -> Any:
        return self.notes.get(key)

    def note(self, key: str, value: Any) -> None:
        self.notes.setdefault(key, value)


@dataclass(kw_only=True)
class FakeTask(Attempt):
    """An attempt that only remembers what its handler says, with what the service's own handlers have besides."""

    ledger: FakeLedger = field(default_factory=FakeLedger)
