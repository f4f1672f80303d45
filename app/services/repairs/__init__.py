"""Repairs: many dead letters replayed together, patched, at a rate, with a canary first, and stopped when they fail."""

from app.services.repairs.choice import Choice
from app.services.repairs.pacing import Spec
from app.services.repairs.preview import Preview, preview_of
from app.services.repairs.records import CoursePoint, course, find, items, rate, read
from app.services.repairs.starting import MAX_TASKS, Plan, RepairUnderWay, check_count, check_free, path_of, start
from app.services.repairs.steering import ARROWS, steer
from app.services.repairs.upkeep import prune
from app.services.repairs.working import step, unsettled

__all__ = [
    "ARROWS",
    "MAX_TASKS",
    "Choice",
    "CoursePoint",
    "Plan",
    "Preview",
    "RepairUnderWay",
    "Spec",
    "check_count",
    "check_free",
    "course",
    "find",
    "items",
    "path_of",
    "preview_of",
    "prune",
    "rate",
    "read",
    "start",
    "steer",
    "step",
    "unsettled",
]
