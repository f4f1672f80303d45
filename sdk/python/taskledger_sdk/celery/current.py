"""The attempt that runs in this thread: what the worker sets, and what the hooks of an adopted application ask.

`self.retry()` and `self.update_state()` call the application's own `send_task` and backend; these look here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Protocol


class RunningTask(Protocol):
    """An attempt of this process."""

    @property
    def id(self) -> str:
        """`self.request.id`: the id by which its caller knows the task."""

    def tell(self, state: str, meta: Any) -> None:
        """Keep a custom state and its meta; they go out with the next heartbeat."""

    def ask_for_retry(self, args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]) -> None:
        """`self.retry()` was called: the next attempt has these arguments. `options` has `countdown` or `eta`."""

    def is_cancelled(self) -> bool:
        """Whether somebody asked it to stop."""


running: ContextVar[RunningTask | None] = ContextVar("taskledger_celery_running", default=None)
"""None outside of `celery -A proj ledger`."""
