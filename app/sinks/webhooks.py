"""The webhooks sink: one delivery task for an event and endpoint, in the transaction that notes how far it has come."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from app.database import Session
from app.services import events, webhooks
from app.services.events import Numbered


class WebhooksSink:
    """Finds who wants to hear of an event. The deliveries are tasks: the dispatcher and the workers do the rest."""

    name = "webhooks"

    def first_position(self, session: Session) -> int:
        """From now on: nobody wants to be called for what happened before webhooks were set up."""
        return events.newest_position(session)

    def resume(self, state: dict[str, Any] | None) -> None:
        """Everything is in the database."""

    def handle(self, session: Session, taken: Sequence[Numbered], *, now: datetime) -> None:
        """Make their deliveries."""
        webhooks.fan_out(session, taken, now=now)
