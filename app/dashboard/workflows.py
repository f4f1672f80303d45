"""Workflows: their steps drawn, their versions, starting a run, and switching them on and off."""

import json
from typing import Any
from uuid import UUID, uuid4

from flask import flash, redirect, render_template, request, url_for
from werkzeug.exceptions import BadRequest
from werkzeug.wrappers import Response

from app.clock import utcnow
from app.dashboard.blueprint import blueprint
from app.dashboard.form_keys import form_key
from app.dashboard.runs import with_lines
from app.errors import Refused, flatten
from app.services import workflows
from app.services.workflows import Filter, NewRun, picture
from app.web import quotas
from app.web.access import Access, access, visible_owner, workflow_caller
from app.web.requests import pagination
from app.web.requests.parsing import parse_json
from app.web.schemas.workflows import shown_definition
from app.web.transactions import in_transaction, transaction
from taskledger_sdk.workflows import Definition
from tasks.masking import is_secret_name

PAGE, RUNS_SHOWN = 50, 10
MAX_TEXT = 200


@blueprint.get("/workflows")
def list_workflows() -> str:
    """Workflows that the caller can start, newest first."""
    text = request.args.get("q", "").strip()[:MAX_TEXT].replace("\0", "")
    before = pagination.decode(request.args.get("cursor"), "dashboard.workflows")
    with transaction() as session:
        items, last = workflows.find_workflows(
            session,
            caller=workflow_caller(),
            active=None,
            text=text or None,
            before=before,
            limit=PAGE,
            now=utcnow(),
        )
    next_cursor = pagination.encode(last, "dashboard.workflows")
    return render_template("dashboard/workflows.html", items=items, next_cursor=next_cursor)


@blueprint.get("/workflows/<name>")
def show_workflow(name: str) -> str:
    """One workflow: its picture, its versions, its newest runs."""
    return _page(name)


@blueprint.post("/workflows/<name>/runs")
def start_run(name: str) -> Any:
    """Start a run of the newest version."""
    text = request.form.get("input", "").strip()
    try:
        given = parse_json(text.encode()) if text else {}
        if not isinstance(given, dict):
            raise Refused({"input": ["must be an object"]})
        run_id, is_new = in_transaction(lambda session: _start(session, name, given))
    except Refused as error:
        return _page(name, sent=text, faults=[f"{path}: {why}" for path, why in flatten(error.errors)]), 422
    except BadRequest as error:  # of a form it is said as of a body
        return _page(name, sent=text, faults=[str(error.description).replace("The body", "The input")]), 422
    flash("Started." if is_new else "This form was sent before: here is its run.")
    return redirect(url_for("dashboard.show_run", run_id=run_id))


@blueprint.get("/workflows/<name>/<any(activate, deactivate, delete):action>")
@access(Access.WRITE)
def ask_workflow(name: str, action: str) -> str:
    """Ask first."""
    with transaction() as session:
        found = workflows.read_workflow(session, name, caller=workflow_caller(), now=utcnow())
    return render_template("dashboard/confirm_workflow.html", workflow=found, action=action)


@blueprint.post("/workflows/<name>/<any(activate, deactivate, delete):action>")
def act_on_workflow(name: str, action: str) -> Response:
    """Do it."""
    with transaction() as session:
        if action == "delete":
            workflows.delete(session, name, caller=workflow_caller(), now=utcnow())
        else:
            workflows.set_active(session, name, action == "activate", caller=workflow_caller(), now=utcnow())
    if action == "delete":
        flash("Deleted; its finished runs stay.")
        return redirect(url_for("dashboard.list_workflows"))
    flash("New runs can be started." if action == "activate" else "No new run is started; those under way go on.")
    return redirect(url_for("dashboard.show_workflow", name=name))


def _start(session: Any, name: str, given: dict[str, Any]) -> tuple[UUID, bool]:
    quotas.check_size(given)
    key = form_key("runs", {"workflow": name, "input": given})
    run, is_new = workflows.start_once(
        session,
        name,
        NewRun(input=given),
        key=key,
        caller=workflow_caller(),
        now=utcnow(),
        allowance=quotas.allowance_in(session),
    )
    return run.id, is_new


def _page(name: str, **more: Any) -> str:
    number = request.args.get("version", type=int)
    with transaction() as session:
        found = workflows.read_workflow(session, name, caller=workflow_caller(), now=utcnow(), number=number)
        versions = workflows.version_list(session, found)
        runs, _ = workflows.find(
            session, Filter(workflow=found.name), visible_to=visible_owner(), before=None, limit=RUNS_SHOWN
        )
    definition = Definition.stored(found.definition)
    shown = picture.draw(definition, title=f"Steps of {found.name}, version {found.version}").as_json()
    return render_template(
        "dashboard/workflow.html",
        workflow=found,
        definition=definition,
        shown_definition=shown_definition(found.definition),
        drawn=with_lines(shown, {node["key"]: node for node in shown["nodes"]}),
        versions=versions,
        newest=versions[0]["number"] if versions else found.version,
        runs=runs,
        example=json.dumps(_example(definition), indent=2, ensure_ascii=False),
        key=uuid4(),
        **more,
    )


def _example(definition: Definition) -> dict[str, Any]:
    """An input to begin with: each name with its default, or an empty value of its type.

    A secret that has a default is left out: what a run is not given, it takes from there.
    """
    empty: dict[str, Any] = {"integer": 0, "number": 0, "boolean": False, "list": [], "object": {}}
    declared = definition.inputs or {}
    return {
        name: empty.get(each.type, "") if each.required else each.default
        for name, each in declared.items()
        if each.required or not is_secret_name(name)
    }
