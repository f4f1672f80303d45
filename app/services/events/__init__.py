"""Events: taking them out of the outbox in order, numbering them, counting them, and reading them by their number."""

from app.services.events.log import Numbered, Page, newest_position, read_after
from app.services.events.outbox import Batch, Head, next_batch, published

__all__ = ["Batch", "Head", "Numbered", "Page", "newest_position", "next_batch", "published", "read_after"]
