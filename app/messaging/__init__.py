"""Hints on their way to the broker. Losing one costs a few seconds, never a task."""

from app.messaging.background import broker_fault, dispatch_soon
from app.messaging.hint import Dispatchable, Hint, coalesce
from app.messaging.publisher import Publisher

__all__ = ["Dispatchable", "Hint", "Publisher", "broker_fault", "coalesce", "dispatch_soon"]
