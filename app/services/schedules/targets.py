"""What a slot submits: today a task; its template is checked when it is set, and read when a slot fires."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.database import to_json
from app.errors import Refused
from app.models import Json, ScheduleRecord
from app.services.submission import Submission, check_timeout
from tasks.errors import PayloadRefused, UnknownTaskType
from tasks.registry import get_type, load_types

# Every slot copies the template, and hundreds are fired in one transaction.
LONGEST_TARGET = 32 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskTemplate:
    """A submission without times: the schedule says when. `fields` are named as in a submission."""

    type: str
    payload: Json
    fields: Mapping[str, Any]


def task_target(template: TaskTemplate) -> dict[str, Any]:
    """The stored form. Raises Refused with paths below `task`, so that a template cannot fail slot after slot."""
    try:
        task_type = get_type(template.type)
        if task_type.sensitive:
            raise Refused({"type": [f"{template.type} is sensitive: its payloads are not kept in schedules"]})
        task_type.payload.load(template.payload)
        check_timeout(task_type, template.fields.get("timeout"))
    except UnknownTaskType as error:
        raise Refused({"task": {"type": [str(error)]}}, code="unknown_task_type") from None
    except PayloadRefused as error:
        raise Refused({"task": error.errors}, code="payload_refused") from None
    except Refused as error:
        raise Refused({"task": error.errors}) from None
    target = {"task": {"type": template.type, "payload": template.payload, **template.fields}}
    size = len(to_json(target))
    if size > LONGEST_TARGET:
        said = f"has {size} bytes; {LONGEST_TARGET} are allowed: give the task a reference to what is larger"
        raise Refused({"task": [said]})
    return target


def why_not(target: Mapping[str, Any]) -> str | None:
    """Why this target cannot be submitted by this process; None when it can."""
    name = target["task"]["type"]
    return None if name in load_types() else f"task type {name!r} is not known to this dispatcher"


def submission_of(schedule: ScheduleRecord, *, starts_at: datetime | None) -> Submission:
    """The submission of one slot; a task without a name of its own takes the schedule's."""
    template = schedule.target["task"]
    name = template.get("name") or schedule.name
    return Submission(**{**template, "name": name, "scheduled_at": starts_at})
