"""The results of calls that a task makes, which Celery keeps among its children."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from celery import Celery


def trailed(app: Celery, result: Any, options: Mapping[str, Any]) -> Any:
    """The result, which the task that made the call has among its children."""
    parent = app.current_worker_task
    if parent and options.get("add_to_parent", True):
        parent.add_trail(result)
    return result
