"""/tasks/{id}/compensate: undo a completed task."""

from typing import Any

from app.api.tasks.routes import TASK_ID, parse_id
from app.clock import utcnow
from app.models import TaskRecord
from app.services.tasks import compensation
from app.web import quotas
from app.web.access import visible_owner
from app.web.blueprint import Blueprint
from app.web.fields import text
from app.web.requests.parsing import StrictSchema
from app.web.schemas.tasks import TaskView, task_path
from app.web.transactions import transaction

blueprint = Blueprint("compensations", __name__, url_prefix="/api/v1", description="Undoing completed tasks")


class Compensate(StrictSchema):
    """Why a task is undone; may be left out."""

    may_be_left_out = True

    reason = text(500, load_default="", metadata={"description": "For people: kept with the compensation"})


@blueprint.post("/tasks/<task_id>/compensate", parameters=TASK_ID)
@blueprint.arguments(Compensate(), required=False)
@blueprint.response(201, TaskView(), description="The task that undoes it")
@blueprint.alt_response(200, schema=TaskView(), description="It was asked for before: the task that undoes it")
@blueprint.problem(403, "The API key may not be used for tasks of its type: `type_not_allowed`")
@blueprint.problem(409, "Not COMPLETED, or its type cannot be undone")
def compensate_task(fields: dict[str, Any], task_id: str) -> tuple[TaskRecord, int, dict[str, str]]:
    """Undo a completed task, by a task that does so; asking again answers with the same one."""
    id_ = parse_id(task_id)
    with transaction() as session:
        made, is_new = compensation.request(
            session,
            id_,
            owner=visible_owner(),
            reason=fields.get("reason", ""),
            now=utcnow(),
            allowance=quotas.compensation_allowance(),
        )
    return made, 201 if is_new else 200, {"Location": task_path(made)}
