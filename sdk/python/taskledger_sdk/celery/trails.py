"""The results of calls that a task makes, which Celery keeps among its children."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def trailed(parent: Any, result: Any, options: Mapping[str, Any]) -> Any:
    """The result, which the task that made the call, `app.current_worker_task`, has among its children."""
    if parent and options.get("add_to_parent", True):
        parent.add_trail(result)
    return result
