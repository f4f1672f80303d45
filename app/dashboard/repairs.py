"""Repairs: a form, a preview of payloads before and after, and a page that follows one as it goes."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from flask import flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from app.clock import utcnow
from app.dashboard.account_names import names_of
from app.dashboard.blueprint import blueprint
from app.errors import Refused, flatten
from app.models import RepairStatus
from app.services import repairs
from app.services.repairs import CoursePoint
from app.web import repairs as repair_requests
from app.web.access import Access, access, current_principal, visible_owner
from app.web.repairs import DEFAULT_CANARY, DEFAULT_PER_SECOND, DEFAULT_RATIO
from app.web.requests import pagination
from app.web.schemas.repairs import StartRepair
from app.web.transactions import transaction
from taskledger_sdk.errors import UnknownTaskType

KIND, PAGE_SIZE = "repairs", 50
MAX_PROBLEMS, MAX_SECONDS = 50, 240
TEXTS = ("type", "fingerprint", "q")
NUMBERS = ("canary", "per_second", "stop_above_failure_ratio")
DEFAULTS = {
    "canary": str(DEFAULT_CANARY),
    "per_second": f"{DEFAULT_PER_SECOND:g}",
    "stop_above_failure_ratio": f"{DEFAULT_RATIO:g}",
}
DONE = {"pause": "It is paused.", "resume": "It goes on.", "stop": "It is stopped.", "undo": "It is being undone."}


@blueprint.get("/repairs")
def list_repairs() -> str:
    """Repairs, newest first."""
    before = pagination.decode(request.args.get("cursor") or None, KIND)
    with transaction() as session:
        found, after = repairs.find(session, visible_to=visible_owner(), before=before, limit=PAGE_SIZE)
        people = names_of(session, {each.owner_id for each in found})
    cursor = pagination.encode(after, KIND)
    return render_template("dashboard/repairs.html", items=found, next_cursor=cursor, people=people)


@blueprint.get("/repairs/new")
@access(Access.WRITE)
def new_repair() -> str:
    """The form, filled in for a cause."""
    given = {**DEFAULTS, **{name: request.args.get(name, "") for name in TEXTS}}
    return render_template("dashboard/repair_form.html", given=given, errors={})


@blueprint.post("/repairs/new")
def preview_repair() -> Any:
    """Count, and show payloads before and after; nothing is changed. With `change`, the form again as it was sent."""
    given = {name: request.form.get(name, "").replace("\0", "").strip() for name in (*TEXTS, *NUMBERS, "patch")}
    if "change" in request.form:
        return render_template("dashboard/repair_form.html", given=given, errors={})
    try:
        found = _dry_run(given)
    except (Refused, UnknownTaskType) as error:
        errors = dict(flatten(error.errors)) if isinstance(error, Refused) else {"filter.type": str(error)}
        return render_template("dashboard/repair_form.html", given=given, errors=errors), 422
    examples = repair_requests.shown_examples(found)
    return render_template("dashboard/repair_preview.html", found=found, examples=examples, given=given)


def _dry_run(given: dict[str, str]) -> repair_requests.DryRun:
    body: dict[str, Any] = {"filter": {name: given[name] for name in TEXTS if given[name]}, "dry_run": True}
    body |= {name: _number(name, given[name]) for name in NUMBERS}
    if given["patch"]:
        body["patch"] = _json(given["patch"])
    schema = StartRepair()
    faults = schema.validate(body)
    if faults:
        raise Refused(faults)
    asked = schema.load(body)
    pace = {name: asked[name] for name in NUMBERS}
    plan, patch = repair_requests.plan_of(asked["filter"], asked.get("patch"), **pace)
    with transaction() as session:
        return repair_requests.dry_run(session, plan, patch, visible_to=visible_owner())


def _number(name: str, text: str) -> float | int | str | None:
    """As JSON has it; a ratio that is left out means never."""
    if not text and name == "stop_above_failure_ratio":
        return None
    try:
        return int(text) if name == "canary" else float(text)
    except ValueError:
        return text


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Refused({"patch": [f"is no JSON: {error}"]}) from None


@blueprint.post("/repairs")
def start_repair() -> Response:
    """Do what was shown."""
    repair = repair_requests.start(request.form.get("token"), {}, visible_to=visible_owner())
    return redirect(url_for("dashboard.show_repair", repair_id=repair.id))


@blueprint.get("/repairs/<uuid:repair_id>")
def show_repair(repair_id: UUID) -> str:
    """How it goes."""
    now = utcnow()
    with transaction() as session:
        repair = repairs.read(session, repair_id, visible_to=visible_owner())
        problems = repairs.items(session, repair, outcomes=["refused"], after=None, limit=MAX_PROBLEMS).items
        people = names_of(session, {repair.owner_id})
        return render_template(
            "dashboard/repair.html",
            repair=repair,
            rate=repairs.rate(session, repair, now=now),
            series=series_of(repairs.course(session, repair, buckets=MAX_SECONDS)),
            problems=problems,
            actions=_actions(repair.status, repair.unended),
            people=people,
        )


def _actions(status: str, unended: int) -> list[str]:
    if not current_principal().may("tasks:write"):
        return []
    possible = [what for what, arrow in repairs.ARROWS.items() if status in arrow.sources]
    is_over = status in (RepairStatus.STOPPED, RepairStatus.COMPLETED)
    return [what for what in possible if what != "undo" or unended or not is_over]


def series_of(course: Sequence[CoursePoint]) -> dict[str, Any]:
    """The course as a chart has it: stretches of equal length without gaps. Pure."""
    if not course:
        return {"times": [], "width_seconds": 1, "replayed": [], "well": [], "failed": []}
    width = course[0].seconds
    first = course[0].at
    by_place = {_place(first, point.at, width): point for point in course}
    places = range(max(by_place) + 1)
    begun = first.timestamp()
    series: dict[str, Any] = {"times": [round(begun + place * width) for place in places], "width_seconds": width}
    for name in ("replayed", "well", "failed"):
        series[name] = [getattr(by_place[place], name) if place in by_place else 0 for place in places]
    return series


def _place(first: datetime, at: datetime, width: float) -> int:
    return round((at - first).total_seconds() / width)


@blueprint.get("/repairs/<uuid:repair_id>/<any(pause, resume, stop, undo):action>")
@access(Access.WRITE)
def ask_repair(repair_id: UUID, action: str) -> str:
    """Ask first."""
    with transaction() as session:
        repair = repairs.read(session, repair_id, visible_to=visible_owner())
    return render_template("dashboard/confirm_repair.html", repair=repair, action=action)


@blueprint.post("/repairs/<uuid:repair_id>/<any(pause, resume, stop, undo):action>")
def act_on_repair(repair_id: UUID, action: str) -> Response:
    """Do it."""
    repair = repair_requests.steer(repair_id, action, visible_to=visible_owner())
    flash("It is undone." if repair.status == RepairStatus.UNDONE else DONE[action])
    return redirect(url_for("dashboard.show_repair", repair_id=repair_id))
