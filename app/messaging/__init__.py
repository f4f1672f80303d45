"""Hints on their way to the broker. Losing one costs a few seconds, never a task."""

from app.messaging.background import broker_fault, dispatch_soon, publish_dead_letter, waiting_hints
from app.messaging.compression import refuse_compressed
from app.messaging.line import Line, keep_by
from app.messaging.messages import (
    DeadLetter,
    Dispatchable,
    Hint,
    NotASlice,
    Numbered,
    Slice,
    coalesce,
    newest_named,
    slices,
)
from app.messaging.publisher import Published, Publisher, publish_each

__all__ = [
    "DeadLetter",
    "Dispatchable",
    "Hint",
    "Line",
    "NotASlice",
    "Numbered",
    "Published",
    "Publisher",
    "Slice",
    "broker_fault",
    "coalesce",
    "dispatch_soon",
    "keep_by",
    "newest_named",
    "publish_dead_letter",
    "publish_each",
    "refuse_compressed",
    "slices",
    "waiting_hints",
]
