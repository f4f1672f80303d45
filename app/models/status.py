"""The words for where a task stands and how urgent it is."""

from enum import StrEnum


class Status(StrEnum):
    """Where a task stands; docs/reference/statuses.md draws the arrows between them."""

    SCHEDULED = "SCHEDULED"
    PENDING = "PENDING"
    PROCESSING = "PROCESSING"
    RETRYING = "RETRYING"
    WAITING = "WAITING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


UNCLAIMED = frozenset({Status.SCHEDULED, Status.PENDING, Status.RETRYING})
"""Waiting for its turn: no attempt is under way, and one can begin as soon as its moment has come."""
FINISHED = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED})


class Priority(StrEnum):
    """How urgent a task is, most urgent first."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


class Receipt(StrEnum):
    """What a cancellation found: the truthful answer that stays with the task."""

    NEVER_STARTED = "never_started"
    STOPPED = "stopped"
    KILLED = "killed"
    FINISHED_FIRST = "finished_first"
