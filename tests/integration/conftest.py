"""What tests of the application in this process share."""

from dataclasses import dataclass

import pytest

from taskledger_sdk import TaskContext, registry, task_type
from taskledger_sdk.registry import TaskType


@dataclass(frozen=True, kw_only=True)
class Card:
    number: str


@pytest.fixture
def charge_card(monkeypatch: pytest.MonkeyPatch) -> TaskType:
    """A sensitive type, known as long as the test runs."""
    monkeypatch.setattr(registry, "_types", dict(registry._types))
    monkeypatch.setattr(registry, "_found", None)

    @task_type("charge_card", sensitive=True, examples=({"number": "4111-1111"},))
    def charge_card(task: TaskContext, payload: Card) -> dict[str, str]:
        """Charge a card."""
        if payload.number == "broken":
            raise ValueError(f"the card {payload.number} was refused")
        return {"charged": payload.number}

    return registry.get_type("charge_card")
