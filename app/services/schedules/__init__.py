"""Schedules: rules that submit tasks, and what became of each of their slots (docs/explanation/schedules.md)."""

from app.services.schedules.changing import NewSchedule, change, create, delete, run_now
from app.services.schedules.declared import Declaration, sync
from app.services.schedules.firing import fire_due, fire_released, with_something_to_fire
from app.services.schedules.moments import forget as forget_zone_data
from app.services.schedules.previewing import Preview, preview
from app.services.schedules.putting import Put, put, replace
from app.services.schedules.reading import find, id_of, of_task, read, slots, soonest
from app.services.schedules.repeated import create_once, run_once_now
from app.services.schedules.targets import TaskTemplate, WorkflowTemplate
from app.services.schedules.upkeep import FIRST_ID, prune_slots, recompute

__all__ = [
    "FIRST_ID",
    "Declaration",
    "NewSchedule",
    "Preview",
    "Put",
    "TaskTemplate",
    "WorkflowTemplate",
    "change",
    "create",
    "create_once",
    "delete",
    "find",
    "fire_due",
    "fire_released",
    "forget_zone_data",
    "id_of",
    "of_task",
    "preview",
    "prune_slots",
    "put",
    "read",
    "recompute",
    "replace",
    "run_now",
    "run_once_now",
    "slots",
    "soonest",
    "sync",
    "with_something_to_fire",
]
