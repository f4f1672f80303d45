"""What a WAITING task waits for, as `tasks.waits_for` has it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from taskledger_sdk.durable.values import Wait


@dataclass(frozen=True, kw_only=True)
class Waits(Wait):
    """A wait of a durable handler as its row has it: signals to the run `target` are for it, too.

    `steps` are the steps whose children are waited for; with `is_group` they are all items of the step `step`, of which
    at most `max_parallel` are under way at once. `children` is how many children that are.
    """

    target: UUID | None = None

    def as_json(self) -> dict[str, Any]:
        """For the column; what is not waited for is left out."""
        said: dict[str, Any] = {"step": self.step}
        if self.until is not None:
            said["until"] = self.until.isoformat()
        if self.signal is not None:
            said["signal"] = self.signal
        if self.target is not None:
            said["target"] = str(self.target)
        if self.children is not None:
            said["children"] = self.children
            said.update({"group": True} if self.is_group else {"steps": list(self.steps)})
        if self.max_parallel is not None:
            said["max_parallel"] = self.max_parallel
        if self.schema is not None:
            said["schema"] = dict(self.schema)
        if self.never_asked_for:
            said["never_asked_for"] = list(self.never_asked_for)
        return said

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> "Waits":
        """From the column."""
        return cls(
            step=said["step"],
            until=datetime.fromisoformat(said["until"]) if said.get("until") else None,
            signal=said.get("signal"),
            target=UUID(said["target"]) if said.get("target") else None,
            steps=tuple(said.get("steps", ())),
            is_group=bool(said.get("group")),
            max_parallel=said.get("max_parallel"),
            children=said.get("children"),
            schema=said.get("schema"),
            never_asked_for=tuple(said.get("never_asked_for", ())),
        )

    def __str__(self) -> str:
        """After "waits for"; a moment is not named, because `due_at` has it."""
        if self.signal is None and self.children is None:
            return f"a moment ({self.step})"
        return super().__str__()
