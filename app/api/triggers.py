"""/triggers: rules that submit tasks or start runs when something happened elsewhere (POST /events tells of it)."""

from typing import Any
from uuid import UUID

from app.clock import utcnow
from app.models import MatchRecord, TriggerRecord
from app.models.page import Page
from app.services import triggers
from app.services.accounts import audit
from app.services.triggers import NewTrigger
from app.web import quotas
from app.web.access import current_actor, current_owner_id, visible_owner
from app.web.blueprint import LOCATION, Blueprint, Created
from app.web.requests.etags import IfMatch, etag_header
from app.web.requests.idempotency import key_of
from app.web.schemas.triggers import (
    ChangeTrigger,
    CreateTrigger,
    MatchList,
    TriggerFilter,
    TriggerList,
    TriggerView,
    trigger_path,
)
from app.web.transactions import transaction

blueprint = Blueprint("triggers", __name__, url_prefix="/api/v1", description="Work that starts when something happens")

ETAG = {"ETag": {"description": "Changes when somebody changes the trigger", "schema": {"type": "string"}}}
EXAMPLES = {
    "task": {
        "summary": "Submit a task for each large order",
        "value": {
            "event": "order.paid",
            "when": {"at_least": [{"$from": "event.data.total"}, 100]},
            "task": {
                "type": "uppercase_text",
                "payload": {"$text": ["order ", {"$from": "event.data.order_id"}]},
                "ordering_key": {"$from": "event.data.customer_id"},
            },
        },
    },
}


@blueprint.post("/triggers")
@blueprint.arguments(CreateTrigger(), examples=EXAMPLES)
@blueprint.creates(TriggerView(), "trigger", headers=LOCATION | ETAG)
@blueprint.problem(422, "No condition or template, an unknown task type or workflow, too many triggers")
def create_trigger(wanted: NewTrigger, headers: dict[str, Any]) -> Created[TriggerRecord]:
    """Create a trigger; events that came before do not concern it."""
    key, now = key_of(headers, "triggers", wanted), utcnow()
    with transaction() as session:
        trigger, is_new = triggers.create_once(
            session,
            wanted,
            key=key,
            owner_id=current_owner_id(),
            now=now,
            allowance=quotas.allowance_in(session),
        )
        if is_new:
            audit.record(session, "trigger.created", current_actor(), now=now, subject=f"trigger:{trigger.id}")
    return Created(record=trigger, path=trigger_path(trigger), is_new=is_new, headers=etag_header(trigger))


@blueprint.get("/triggers")
@blueprint.pages(TriggerList(), "triggers", query=TriggerFilter())
def list_triggers(wanted: dict[str, Any]) -> Page[TriggerRecord]:
    """List triggers, newest first."""
    with transaction(autocommit=True) as session:
        return triggers.find(
            session,
            visible_to=visible_owner(),
            event=wanted["event"],
            enabled=wanted["enabled"],
            text=wanted["q"],
            before=wanted["before"],
            limit=wanted["limit"],
        )


@blueprint.get("/triggers/<uuid:trigger_id>")
@blueprint.response(200, TriggerView(), headers=ETAG)
def read_trigger(trigger_id: UUID) -> tuple[TriggerRecord, dict[str, str]]:
    """Read a trigger."""
    with transaction(autocommit=True) as session:
        found = triggers.read(session, trigger_id, visible_to=visible_owner())
    return found, etag_header(found)


@blueprint.patch("/triggers/<uuid:trigger_id>")
@blueprint.arguments(ChangeTrigger())
@blueprint.arguments(IfMatch(), location="headers")
@blueprint.response(200, TriggerView(), headers=ETAG)
@blueprint.problem(412, "Changed since it was read")
@blueprint.problem(422, "As for a new one")
def change_trigger(
    fields: dict[str, Any], headers: dict[str, Any], trigger_id: UUID
) -> tuple[TriggerRecord, dict[str, str]]:
    """Change, enable or disable a trigger; events that wait to be applied meet it as it is then."""
    now = utcnow()
    with transaction() as session:
        changed = triggers.change(
            session,
            trigger_id,
            fields,
            visible_to=visible_owner(),
            now=now,
            states=headers["states"],
            allowance=quotas.allowance_in(session),
        )
        said = sorted("when" if name == "condition" else name for name in fields)
        audit.record(session, "trigger.changed", current_actor(), now=now, subject=f"trigger:{trigger_id}", fields=said)
    return changed, etag_header(changed)


@blueprint.delete("/triggers/<uuid:trigger_id>")
@blueprint.arguments(IfMatch(), location="headers")
@blueprint.response(204, description="Deleted; what it has started stays")
@blueprint.problem(412, "Changed since it was read")
def delete_trigger(headers: dict[str, Any], trigger_id: UUID) -> None:
    """Delete a trigger; what it has started stays."""
    now = utcnow()
    with transaction() as session:
        triggers.delete(session, trigger_id, visible_to=visible_owner(), states=headers["states"])
        audit.record(session, "trigger.deleted", current_actor(), now=now, subject=f"trigger:{trigger_id}")


@blueprint.get("/triggers/<uuid:trigger_id>/matches")
@blueprint.pages(MatchList(), "matches")
def list_trigger_matches(wanted: dict[str, Any], trigger_id: UUID) -> Page[MatchRecord]:
    """List the events that a trigger matched and what they started, newest first."""
    with transaction(autocommit=True) as session:
        found = triggers.read(session, trigger_id, visible_to=visible_owner())
        return triggers.matches(session, found.id, before=wanted["before"], limit=wanted["limit"])
