"""What people may do to schedules that are written in code: pause them, and nothing else."""

from collections.abc import Mapping
from typing import Any

from app.errors import Conflict
from app.models import ScheduleRecord
from taskledger_sdk.schedules import load_schedules

PEOPLE_DECIDE = frozenset({"enabled"})


def check_code(schedule: ScheduleRecord, wanted: Mapping[str, Any]) -> None:
    """Raises Conflict for a change that the next `setup` would take back."""
    if schedule.declared is None:
        return
    if wanted.keys() - PEOPLE_DECIDE:
        raise Conflict(f"The schedule is written in code ({_place(schedule)}): change it there, or disable it here.")
    if schedule.withdrawn and wanted.get("enabled"):
        raise Conflict("The schedule is in the code no more: make one of your own, or bring it back and run setup.")


def check_deletable(schedule: ScheduleRecord) -> None:
    """Raises Conflict for one that the next `setup` would make again."""
    if schedule.declared is not None and schedule.name in load_schedules():
        raise Conflict(
            f"The schedule is written in code ({_place(schedule)}): remove it there and run setup, or disable it here."
        )


def _place(schedule: ScheduleRecord) -> str:
    declared = load_schedules().get(schedule.name or "")
    return "it is not in this process's packages" if declared is None else declared.place
