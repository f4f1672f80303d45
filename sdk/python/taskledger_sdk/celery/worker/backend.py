"""What the tracer tells the result backend of the attempt that runs: kept for its outcome, and stored nowhere else.

The backend of the application stays what it is for everybody else: a task may ask it for the state of other tasks.
"""

from __future__ import annotations

import logging
from typing import Any, Protocol, cast

from celery import states
from celery.app.base import Celery

from taskledger_sdk.celery.current import running

log = logging.getLogger("taskledger.celery")

TOLD_BY_OUTCOMES = frozenset({*states.READY_STATES, states.RETRY, states.RECEIVED, states.PENDING})


class Keeping(Protocol):
    """The attempt as the backend sees it."""

    @property
    def id(self) -> str:
        """As `self.request` has it."""

    @property
    def passes_on(self) -> bool:
        """Whether a later task of its canvas takes the result."""

    def keep_result(self, result: Any) -> None:
        """Raises NotJson for what cannot be written."""

    def tell(self, state: str, meta: Any) -> None:
        """Keep a custom state."""


def _attempt(task_id: str) -> Keeping | None:
    """The attempt of this thread, when it is the one of this task."""
    found = running.get()
    return cast(Keeping, found) if found is not None and found.id == task_id else None


class OfAttempts:
    """Stands before the methods of a backend by which a tracer and a task tell how an attempt goes."""

    def mark_as_done(self, task_id: str, result: Any, request: Any = None, store_result: bool = True, **kw: Any) -> Any:
        """The task returned. Raises NotJson."""
        attempt = _attempt(task_id)
        if attempt is None:
            return super().mark_as_done(task_id, result, request, store_result, **kw)  # type: ignore[misc]
        attempt.keep_result(result if store_result or attempt.passes_on else None)
        return None

    def mark_as_failure(
        self, task_id: str, exc: BaseException, traceback: Any = None, request: Any = None, **options: Any
    ) -> Any:
        """It failed for good: what was linked to that is called."""
        if _attempt(task_id) is None:
            return super().mark_as_failure(task_id, exc, traceback, request, **options)  # type: ignore[misc]
        call_errbacks(self, exc, traceback, request, is_wanted=options.get("call_errbacks", True))
        return None

    def mark_as_retry(self, task_id: str, *args: Any, **options: Any) -> Any:
        """Told by the outcome."""
        return None if _attempt(task_id) else super().mark_as_retry(task_id, *args, **options)  # type: ignore[misc]

    def mark_as_revoked(self, task_id: str, *args: Any, **options: Any) -> Any:
        """Told by the outcome."""
        return None if _attempt(task_id) else super().mark_as_revoked(task_id, *args, **options)  # type: ignore[misc]

    def store_result(self, task_id: str, result: Any, state: str, *args: Any, **options: Any) -> Any:
        """A custom state is told, and STARTED by tasks that track it; the others follow from the outcome."""
        attempt = _attempt(task_id)
        if attempt is None:
            return super().store_result(task_id, result, state, *args, **options)  # type: ignore[misc]
        if state not in TOLD_BY_OUTCOMES:
            attempt.tell(state, result)
        return result


def call_errbacks(backend: Any, error: BaseException, traceback: Any, request: Any, *, is_wanted: bool = True) -> None:
    """Call what was linked to the failure of a task; its own failure is logged, and changes nothing."""
    if not is_wanted or request is None or not request.errbacks:
        return
    try:
        backend._call_task_errbacks(request, error, traceback)
    except Exception:
        log.exception("an errback of task %s was not called", request.id)


def install(app: Celery) -> None:
    """Have the backend of an application keep what is told of attempts."""
    backend = app.backend
    if not isinstance(backend, OfAttempts):
        backend.__class__ = type(type(backend).__name__, (OfAttempts, type(backend)), {})
