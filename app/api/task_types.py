"""/task-types: what can be submitted, with each payload's JSON Schema."""

from typing import Any

import marshmallow as ma

from app.errors import NotFound
from app.web.blueprint import Blueprint
from app.web.schemas.task_types import TaskTypeView, shown
from taskledger_sdk.errors import UnknownTaskType
from taskledger_sdk.registry import get_type, offered_types

blueprint = Blueprint("task types", __name__, url_prefix="/api/v1", description="What can be submitted")


class TaskTypeList(ma.Schema):
    """All task types, by name."""

    items = ma.fields.List(ma.fields.Nested(TaskTypeView), required=True)
    next = ma.fields.String(required=True, allow_none=True, metadata={"description": "Always null: they fit one page"})


@blueprint.get("/task-types")
@blueprint.response(200, TaskTypeList())
def list_task_types() -> dict[str, Any]:
    """List the task types."""
    return {"items": [shown(each) for each in offered_types().values()], "next": None}


@blueprint.get("/task-types/<name>")
@blueprint.response(200, TaskTypeView())
@blueprint.problem(404, "No type of this name")
def read_task_type(name: str) -> dict[str, Any]:
    """Read one task type."""
    try:
        return shown(get_type(name))
    except UnknownTaskType as error:
        text = str(error)
        raise NotFound(f"{text[0].upper()}{text[1:]}.") from None
