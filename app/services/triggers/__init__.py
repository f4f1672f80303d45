"""Triggers: rules that start tasks and runs when something happened elsewhere (docs/how-to/start-work-on-events.md)."""

from app.services.triggers.applying import Progress, apply_some
from app.services.triggers.arriving import NewEvent, receive_once
from app.services.triggers.changing import NewTrigger, change, create, create_once, delete
from app.services.triggers.reading import (
    EventView,
    find,
    find_events,
    matches,
    read,
    read_event,
    view_event,
)
from app.services.triggers.targets import TaskTemplate, WorkflowTemplate
from app.services.triggers.upkeep import prune

__all__ = [
    "EventView",
    "NewEvent",
    "NewTrigger",
    "Progress",
    "TaskTemplate",
    "WorkflowTemplate",
    "apply_some",
    "change",
    "create",
    "create_once",
    "delete",
    "find",
    "find_events",
    "matches",
    "prune",
    "read",
    "read_event",
    "receive_once",
    "view_event",
]
