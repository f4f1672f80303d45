"""Triggers: rules that start work on events, what they matched, and what became of one event."""

from typing import Any
from uuid import UUID, uuid4

from flask import flash, redirect, render_template, request, url_for
from marshmallow import ValidationError
from werkzeug.exceptions import BadRequest
from werkzeug.wrappers import Response

from app.clock import utcnow
from app.dashboard.account_names import names_of
from app.dashboard.blueprint import blueprint
from app.dashboard.form_keys import form_key
from app.database import Session
from app.errors import ProblemError, Refused, flatten
from app.models import TriggerRecord
from app.services import triggers
from app.services.accounts import audit
from app.web import quotas
from app.web.access import Access, access, current_actor, current_principal, visible_owner
from app.web.requests import pagination
from app.web.requests.parsing import parse_json
from app.web.schemas.triggers import CreateTrigger, shown_task, shown_workflow
from app.web.transactions import transaction
from taskledger_sdk.registry import offered_types
from tasks.masking import mask_named

PAGE, MATCHES_PAGE = 50, 50
MAX_TEXT = 200
DONE = {"enable": "It starts work from now on.", "disable": "It starts nothing until it is enabled."}
AUDITED: dict[str, tuple[str, dict[str, Any]]] = {
    "delete": ("trigger.deleted", {}),
    "enable": ("trigger.changed", {"fields": ["enabled"]}),
    "disable": ("trigger.changed", {"fields": ["enabled"]}),
}


@blueprint.get("/triggers")
def list_triggers() -> str:
    """The triggers that the caller sees, newest first."""
    return _list()


@blueprint.post("/triggers")
def create_trigger() -> Any:
    """Create one."""
    sent = {name: request.form.get(name, "").strip() for name in ("event", "name", "when", "starts", "template")}
    try:
        wanted = CreateTrigger().load(_said(sent))
        with transaction() as session:
            made, is_new = triggers.create_once(
                session,
                wanted,
                key=form_key("triggers", sent),
                owner_id=current_principal().user_id,
                now=utcnow(),
                allowance=quotas.allowance_in(session),
            )
            if is_new:
                _audit(session, "trigger.created", made.id)
    except ValidationError as error:
        return _list(sent=sent, faults=flatten(error.normalized_messages())), 422
    except Refused as error:
        return _list(sent=sent, faults=flatten(error.errors)), 422
    except ProblemError as error:
        return _list(sent=sent, faults=[("", error.detail)]), error.status
    flash("Created." if is_new else "This form was sent before: here is its trigger.")
    return redirect(url_for("dashboard.show_trigger", trigger_id=made.id))


@blueprint.get("/triggers/<uuid:trigger_id>")
def show_trigger(trigger_id: UUID) -> str:
    """One trigger, and what it has matched."""
    before = pagination.decode(request.args.get("cursor"), "dashboard.matches")
    with transaction() as session:
        trigger = triggers.read(session, trigger_id, visible_to=visible_owner())
        matches, last = triggers.matches(session, trigger_id, before=before, limit=MATCHES_PAGE)
        people = names_of(session, [trigger.owner_id])
    return render_template(
        "dashboard/trigger.html",
        trigger=trigger,
        starts=shown_task(trigger.target) or shown_workflow(trigger.target),
        what=what_starts(trigger),
        matches=matches,
        people=people,
        next_cursor=pagination.encode(last, "dashboard.matches"),
    )


@blueprint.get("/triggers/events/<uuid:event_id>")
def show_outside_event(event_id: UUID) -> str:
    """One event: what it started, and which triggers did not match and why."""
    with transaction() as session:
        view = triggers.view_event(session, triggers.read_event(session, event_id, visible_to=visible_owner()))
        people = names_of(session, [view.event.owner_id])
    return render_template("dashboard/outside_event.html", view=view, data=mask_named(view.event.data), people=people)


@blueprint.get("/triggers/<uuid:trigger_id>/<any(enable, disable, delete):action>")
@access(Access.WRITE)
def ask_trigger(trigger_id: UUID, action: str) -> str:
    """Ask first."""
    with transaction() as session:
        trigger = triggers.read(session, trigger_id, visible_to=visible_owner())
    return render_template("dashboard/confirm_trigger.html", trigger=trigger, action=action)


@blueprint.post("/triggers/<uuid:trigger_id>/<any(enable, disable, delete):action>")
def act_on_trigger(trigger_id: UUID, action: str) -> Response:
    """Do it."""
    with transaction() as session:
        if action == "delete":
            triggers.delete(session, trigger_id, visible_to=visible_owner())
        else:
            triggers.change(
                session,
                trigger_id,
                {"enabled": action == "enable"},
                visible_to=visible_owner(),
                now=utcnow(),
                allowance=quotas.allowance_in(session),
            )
        what, detail = AUDITED[action]
        _audit(session, what, trigger_id, **detail)
    if action == "delete":
        flash("Deleted; what it has started stays.")
        return redirect(url_for("dashboard.list_triggers"))
    flash(DONE[action])
    return redirect(url_for("dashboard.show_trigger", trigger_id=trigger_id))


def what_starts(trigger: TriggerRecord) -> str:
    """The task type, or the workflow."""
    target = trigger.target
    return str(target["task"]["type"]) if "task" in target else f"workflow {target['workflow']['name']}"


def _said(sent: dict[str, str]) -> dict[str, Any]:
    """The form as a body of the API. Raises Refused."""
    body: dict[str, Any] = {"event": sent["event"], "when": _json("when", sent["when"])}
    if sent["name"]:
        body["name"] = sent["name"]
    kind, _, name = sent["starts"].partition(":")
    template = _json("payload", sent["template"])
    if kind == "workflow":
        return body | {"workflow": {"name": name, "input": {} if template is None else template}}
    return body | {"task": {"type": name, "payload": template}}


def _json(name: str, text: str) -> Any:
    if not text:
        return None
    try:
        return parse_json(text.encode())
    except BadRequest as error:
        raise Refused({name: [str(error.description).replace("The body ", "")]}) from None


def _list(**more: Any) -> str:
    text = request.args.get("q", "").strip()[:MAX_TEXT].replace("\0", "")
    before = pagination.decode(request.args.get("cursor"), "dashboard.triggers")
    with transaction() as session:
        items, last = triggers.find(session, visible_to=visible_owner(), text=text or None, before=before, limit=PAGE)
        people = names_of(session, [each.owner_id for each in items])
    return render_template(
        "dashboard/triggers.html",
        items=items,
        people=people,
        what_starts=what_starts,
        types=[each.name for each in offered_types().values() if not each.sensitive],
        key=uuid4(),
        next_cursor=pagination.encode(last, "dashboard.triggers"),
        **more,
    )


def _audit(session: Session, what: str, trigger_id: UUID, **detail: Any) -> None:
    audit.record(session, what, current_actor(), now=utcnow(), subject=f"trigger:{trigger_id}", **detail)
