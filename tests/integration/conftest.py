"""What tests of the application in this process share."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from taskledger_sdk import TaskContext, registry, task_type
from taskledger_sdk.registry import TaskType, get_type, load_types


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


@pytest.fixture
def release(monkeypatch) -> Callable[..., TaskType]:
    """Let this process be of a release whose type `resize` takes such payloads."""
    known = dict(load_types())

    def of(payload_class: type, **options: Any) -> TaskType:
        monkeypatch.setattr(registry, "_types", dict(known))
        monkeypatch.setattr(registry, "_found", None)

        def resize(task: TaskContext, payload: Any) -> str:
            return repr(payload)

        resize.__annotations__ = {"task": TaskContext, "payload": payload_class}
        task_type("resize", **options)(resize)
        return get_type("resize")

    return of
