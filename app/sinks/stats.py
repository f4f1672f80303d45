"""The stats sink: adds events to per-minute statistics, in the transaction that notes how far it has come."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from app.database import Session
from app.services.events import History, Numbered
from app.services.lifecycle.transitions import UNREPLAYED
from app.services.measuring import task_stats


class StatsSink:
    """Counts, run times and waiting times by minute, owner, type and status: the table task_stats."""

    name = "stats"

    def __init__(self) -> None:
        self._history = History()

    def first_position(self, _: Session) -> int:
        """From the beginning of what is kept."""
        return 0

    def resume(self, state: dict[str, Any] | None) -> None:
        """Everything is in the database; what was remembered since may have been taken back."""
        self._history = History()

    def handle(self, session: Session, taken: Sequence[Numbered], *, now: datetime) -> None:
        """Add them, but for replays that were undone: those tasks have failed before, and are counted."""
        before = self._history.before(session, taken)
        counted = [event for event in taken if not UNREPLAYED.joins(event.previous_status, event.status)]
        task_stats.add(session, counted, before)
