"""The parts of Celery that its stubs do not describe, and that all its versions from 5.3 on have."""

from __future__ import annotations

from typing import Any

import celery.canvas
from celery.app import routes
from celery.app.task import Task

Signature: Any = celery.canvas.Signature
Chain: Any = celery.canvas._chain
Chord: Any = celery.canvas._chord  # type: ignore[attr-defined]
Group: Any = celery.canvas.group
Chunks: Any = celery.canvas.chunks
TaskClass: Any = Task
MapRoute: Any = routes.MapRoute
SUBMITTED_AS_ONE = (Chain, Chord, Group)


def signature(said: Any, app: Any, *, copy: bool = False) -> Any:
    """A signature, also of one that was read from JSON."""
    found: Any = celery.canvas.maybe_signature(said, app=app)
    return found.clone() if copy else found


def known_tasks(app: Any) -> Any:
    """The tasks of an application by name; unlike `app.tasks` this does not finish it, so that more may follow."""
    return app._tasks
