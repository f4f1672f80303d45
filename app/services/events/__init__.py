"""Events: taking them out of the outbox in order, numbering them, counting them, and reading them by their number."""

from app.messaging import Numbered
from app.services.events.filters import EventFilter, Labels, labels_of
from app.services.events.history import Before, History
from app.services.events.log import Page, Window, newest_id, newest_position, read_after
from app.services.events.outbox import CHANNEL, Batch, Head, next_batch, published

__all__ = [
    "CHANNEL",
    "Batch",
    "Before",
    "EventFilter",
    "Head",
    "History",
    "Labels",
    "Numbered",
    "Page",
    "Window",
    "labels_of",
    "newest_id",
    "newest_position",
    "next_batch",
    "published",
    "read_after",
]
