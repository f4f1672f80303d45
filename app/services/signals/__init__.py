"""Signals: what people and programs tell a task or a run that waits for it, or will wait for it."""

from app.services.signals.limits import MAX_BYTES, MAX_NAME, MAX_UNTAKEN, NAME, TooManySignals
from app.services.signals.reading import Signal, Untaken, find, untaken
from app.services.signals.sending import COLUMN, NewSignal, Sender, send_to_run, send_to_task

__all__ = [
    "COLUMN",
    "MAX_BYTES",
    "MAX_NAME",
    "MAX_UNTAKEN",
    "NAME",
    "NewSignal",
    "Sender",
    "Signal",
    "TooManySignals",
    "Untaken",
    "find",
    "send_to_run",
    "send_to_task",
    "untaken",
]
