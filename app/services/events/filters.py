"""Which events somebody wants to see. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.database import Session
from app.messaging import Numbered
from app.services.circuits import DELIVERY_TYPE

Labels = Mapping[UUID, Mapping[str, Any]]
"""The labels of tasks, by id."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EventFilter:
    """An event is shown when all that is said holds; `owner` None is everybody's, what is empty does not restrict.

    Of an account's events, those of the deliveries to its webhooks are shown only where `types` names them.
    """

    owner: UUID | None = None
    statuses: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()
    task_ids: frozenset[UUID] = frozenset()
    labels: tuple[tuple[str, str], ...] = ()

    def matches(self, event: Numbered, labels: Labels) -> bool:
        """Whether it is shown; `labels` are needed where the filter asks for some."""
        return (
            (self.owner is None or event.owner_id == self.owner)
            and (not self.statuses or event.status in self.statuses)
            and (event.type in self.types if self.types else self.owner is None or event.type != DELIVERY_TYPE)
            and (not self.task_ids or event.task_id in self.task_ids)
            and (not self.labels or self._has_labels(labels.get(event.task_id, {})))
        )

    def _has_labels(self, held: Mapping[str, Any]) -> bool:
        return all(held.get(key) == value for key, value in self.labels)


def labels_of(session: Session, events: Sequence[Numbered]) -> Labels:
    """The labels of the tasks of these events; of those that still exist."""
    statement = sa.text("SELECT id, labels FROM tasks WHERE id = ANY(CAST(:ids AS uuid[]))")
    return {row.id: row.labels for row in session.execute(statement, {"ids": list({e.task_id for e in events})})}
