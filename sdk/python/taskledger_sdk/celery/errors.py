"""What adopted calls raise, as kinds of what Celery's callers catch already."""

from __future__ import annotations

from celery.exceptions import ImproperlyConfigured, NotRegistered
from kombu.exceptions import OperationalError


class LedgerAway(OperationalError):
    """The ledger did not answer: whether the task was accepted is not known. Celery says the same of a broker."""


class NotDeclared(NotRegistered):
    """No worker has declared the task, so that nobody could run it; the text says what to start."""


class NotAdopted(ImproperlyConfigured, NotImplementedError):
    """Celery can do this and the ledger cannot; the text says what to write."""
