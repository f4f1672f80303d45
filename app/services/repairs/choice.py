"""Which dead letters a repair is about: what the list of tasks can be filtered by, and how they failed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.clock import rfc_3339
from app.database import Session
from app.services.tasks.dead_letters import BY_ITSELF, DeadLetterFilter
from app.services.tasks.records import Filter, conditions

_MOMENTS = ("created_after", "created_before", "failed_after", "failed_before")


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """A type's dead letters; what else is None or empty does not restrict. `failed_before` is fixed by the dry run."""

    type: str
    fingerprint: str | None = None
    labels: Sequence[tuple[str, str]] = ()
    created_after: datetime | None = None
    created_before: datetime | None = None
    failed_after: datetime | None = None
    failed_before: datetime | None = None
    text: str | None = None

    def as_json(self) -> dict[str, Any]:
        """As a token, a row and the API say it; what does not restrict is left out."""
        said: dict[str, Any] = {
            "type": self.type,
            "fingerprint": self.fingerprint,
            "label": [f"{key}:{value}" for key, value in self.labels],
            "q": self.text,
            **{name: moment and rfc_3339(moment) for name in _MOMENTS if (moment := getattr(self, name))},
        }
        return {name: value for name, value in said.items() if value}

    @classmethod
    def from_json(cls, said: dict[str, Any]) -> "Choice":
        """What `as_json` said."""
        moments = {name: datetime.fromisoformat(said[name]) for name in _MOMENTS if name in said}
        labels = tuple((key, value) for key, _, value in (label.partition(":") for label in said.get("label", ())))
        return cls(type=said["type"], fingerprint=said.get("fingerprint"), labels=labels, text=said.get("q"), **moments)

    def conditions(self, session: Session, *, owner: UUID | None) -> list[sa.ColumnElement[bool]]:
        """As SQL over `tasks`; `owner` None: everybody's. Tasks of runs go with their runs."""
        failed = DeadLetterFilter(
            type=self.type,
            fingerprint=self.fingerprint,
            failed_after=self.failed_after,
            failed_before=self.failed_before,
            owner_id=owner,
        )
        listed = Filter(
            labels=self.labels, created_after=self.created_after, created_before=self.created_before, text=self.text
        )
        return [*failed.conditions(), BY_ITSELF, *conditions(session, listed)]
