"""Where a call goes: the queue that Celery's own router finds.

The ledger has a line for each type, so that a queue is a matter of which types a worker claims. A task whose call goes
to another queue than its own is of another type (`payloads.type_name(task, queue)`), which workers with `-Q` declare.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from celery import Celery
from celery.exceptions import QueueNotFound
from kombu import Queue

from taskledger_sdk.celery.internals import MapRoute, known_tasks


def home_of(app: Celery, task: str) -> str:
    """The queue of a task's plain calls: by its own `queue`, or by `task_routes`, or else the default one."""
    kind = known_tasks(app).get(task)
    own = getattr(kind, "queue", None)
    if own:
        return queue_name(own)
    try:
        return queue_name(app.amqp.router.route({}, task, (), {}, kind).get("queue")) or default_queue(app)
    except Exception:  # noqa: BLE001  (a routing function of the application, which may need arguments)
        return default_queue(app)


def route_of(app: Celery, task: str, args: Any, kwargs: Any, options: Mapping[str, Any], home: str) -> tuple[str, Any]:
    """Queue and priority of one call; the priority is None where `task_routes` says none.

    Raises QueueNotFound where `task_queues` does not have the queue.
    """
    named = options.get("queue")
    if not named and all(isinstance(each, MapRoute) for each in app.amqp.routes or ()):
        return home, _priority_of(app, task)
    routed = app.amqp.router.route({"queue": named} if named else {}, task, args, kwargs, known_tasks(app).get(task))
    return queue_name(routed.get("queue")) or home, routed.get("priority")


def _priority_of(app: Celery, task: str) -> Any:
    """By the first route that has the task."""
    known: Any = app.amqp.routes or ()
    routes = (each(task) for each in known)
    return next((route.get("priority") for route in routes if route is not None), None)


def default_queue(app: Celery) -> str:
    """The queue of what nothing else is said of."""
    name: str = app.conf.task_default_queue
    return name


def known_queues(app: Celery) -> list[str]:
    """The queues that the application names, for messages."""
    routes = [each for each in app.amqp.routes or () if isinstance(each, MapRoute)]
    routed = [route for each in routes for route in (*each.map.values(), *each.patterns.values())]
    named = [route.get("queue") if isinstance(route, Mapping) else route for route in routed]
    own = [getattr(kind, "queue", None) for kind in known_tasks(app).values()]
    declared = app.conf.task_queues or ()  # of Queues, or by name; app.amqp.queues has those that a call has made, too
    return sorted({default_queue(app), *(queue_name(each) for each in [*named, *own, *declared] if each)})


def queue_name(queue: Any) -> str:
    """Of a name, or of a kombu Queue."""
    return queue.name if isinstance(queue, Queue) else str(queue or "")


__all__ = ["QueueNotFound", "default_queue", "home_of", "known_queues", "queue_name", "route_of"]
