"""/tasks/{id}/steps: what a durable task remembers."""

from typing import Any

from app.api.tasks.routes import TASK_ID, parse_id
from app.models.page import Page
from app.services.tasks import records, remembered
from app.services.tasks.remembered import RememberedStep
from app.web import signals
from app.web.access import visible_owner
from app.web.blueprint import Blueprint
from app.web.schemas.signals import TaskStepList
from app.web.transactions import transaction

blueprint = Blueprint("task steps", __name__, url_prefix="/api/v1", description="What durable tasks remember")


@blueprint.get("/tasks/<task_id>/steps", parameters=TASK_ID)
@blueprint.pages(TaskStepList(), "steps", key=remembered.place_of)
def list_steps(page: dict[str, Any], task_id: str) -> Page[RememberedStep]:
    """Read what the handler of a durable task has behind it, in its order: each step, and what came of it."""
    id_ = parse_id(task_id)
    with transaction() as session:
        task = records.read(session, id_, owner=visible_owner())
        found = remembered.find(session, id_, after=page["before"], limit=page["limit"])
    return Page(signals.steps_shown(task, found.items), found.next)
