"""Making and changing a schedule: its rule with a preview, and the form of what it submits."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from flask import current_app, flash, redirect, render_template, request, url_for
from marshmallow import ValidationError
from werkzeug.datastructures import MultiDict

from app.api import quotas
from app.api.auth import Access, access, current_owner_id, visible_owner
from app.api.schedule_schemas import ChangeSchedule, MakeSchedule
from app.api.transaction import transaction
from app.clock import utcnow
from app.dashboard import hidden, submission_form
from app.dashboard.blueprint import blueprint
from app.dashboard.submission_form import Draft
from app.errors import NotFound, Refused
from app.models import Misfire, Overlap, ScheduleRecord
from app.services import schedules
from app.services.schedules import Preview, zones
from tasks.errors import PayloadRefused, UnknownTaskType
from tasks.redaction import redacted
from tasks.registry import TaskType, get_type, load_types

TEXTS = ("schedule_name", "cron", "run_at", "time_zone", "misfire", "overlap", "starts_at", "ends_at")
MOMENTS = ("run_at", "starts_at", "ends_at")
NUMBERS = ("misfire_cap", "jitter_seconds")
DEFAULTS = {
    "kind": "cron",
    "cron": "0 7 * * *",
    "time_zone": "UTC",
    "misfire": Misfire.RUN_ONCE.value,
    "overlap": Overlap.ALLOW.value,
    "misfire_cap": "10",
    "jitter_seconds": "0",
}


@dataclass(frozen=True, kw_only=True)
class Form:
    """What the page holds: the rule as texts, and the draft of the task."""

    rule: dict[str, str]
    draft: Draft


@blueprint.get("/schedules/new")
@access(Access.WRITE)
def new_schedule() -> str:
    """Choose a type, then write the schedule."""
    name = request.args.get("type")
    types = [each for each in load_types().values() if not each.sensitive]
    if name is None:
        return render_template("dashboard/schedule_choose.html", types=types)
    task_type = _type(name)
    return _page(task_type, Form(rule=dict(DEFAULTS), draft=submission_form.empty(task_type)))


@blueprint.post("/schedules/new")
def make_schedule() -> Any:
    """Make it, or draw the form again."""
    task_type = _type(request.args.get("type", ""))
    form = _read(task_type, request.form)
    redrawn = submission_form.after_button(task_type, form.draft, request.form)
    if redrawn is not None:
        return _page(task_type, Form(rule=form.rule, draft=redrawn))
    try:
        wanted = MakeSchedule().load(_body(task_type, form))
        most = current_app.config["MAX_SCHEDULES_PER_OWNER"]
        with transaction() as session:
            made = schedules.create(
                session,
                wanted,
                owner_id=current_owner_id(),
                most=most,
                now=utcnow(),
                allowance=quotas.allowance_in(session),
            )
    except (Refused, PayloadRefused, ValidationError) as error:
        return _page(task_type, form, errors=_errors(error)), 422
    flash("Made.")
    return redirect(url_for("dashboard.show_schedule", schedule_id=made.id))


@blueprint.get("/schedules/<uuid:schedule_id>/edit")
@access(Access.WRITE)
def edit_schedule(schedule_id: UUID) -> str:
    """The form, filled with the schedule as it is."""
    schedule = _schedule(schedule_id)
    task_type = _type(schedule.target["task"]["type"])
    return _page(task_type, _of(schedule, task_type), schedule=schedule)


@blueprint.post("/schedules/<uuid:schedule_id>/edit")
def change_schedule(schedule_id: UUID) -> Any:
    """Change it, or draw the form again."""
    schedule = _schedule(schedule_id)
    task_type = _type(schedule.target["task"]["type"])
    form = _read(task_type, request.form)
    redrawn = submission_form.after_button(task_type, form.draft, request.form)
    if redrawn is not None:
        return _page(task_type, Form(rule=form.rule, draft=redrawn), schedule=schedule)
    try:
        body = _body(task_type, form)
        if schedule.owner_id is not None and schedule.owner_id == current_owner_id():
            original = schedule.target["task"].get("payload")
            mask = redacted(task_type.name, original)
            body["task"]["payload"] = hidden.merged(body["task"]["payload"], mask, original)
        body["task"] = _not_drawn(schedule.target["task"]) | body["task"]
        fields = ChangeSchedule().load(body)
        with transaction() as session:
            schedules.change(
                session,
                schedule_id,
                fields,
                seen_by=visible_owner(),
                now=utcnow(),
                allowance=quotas.allowance_in(session),
            )
    except (Refused, PayloadRefused, ValidationError) as error:
        return _page(task_type, form, schedule=schedule, errors=_errors(error)), 422
    flash("Changed; the new rule begins now.")
    return redirect(url_for("dashboard.show_schedule", schedule_id=schedule_id))


def _read(task_type: TaskType, sent: MultiDict[str, str]) -> Form:
    rule = {name: sent.get(name, "").strip() for name in (*TEXTS, *NUMBERS)}
    rule["kind"] = "once" if sent.get("kind") == "once" else "cron"
    return Form(rule=rule, draft=submission_form.read(task_type, sent))


def _of(schedule: ScheduleRecord, task_type: TaskType) -> Form:
    template = schedule.target["task"]
    moments = {name: getattr(schedule, name) for name in MOMENTS}
    rule = {
        "kind": "cron" if schedule.cron else "once",
        "schedule_name": schedule.name or "",
        "cron": schedule.cron or "",
        **{name: f"{moment:%Y-%m-%dT%H:%M}" if moment else "" for name, moment in moments.items()},
        **{name: str(getattr(schedule, name)) for name in ("time_zone", "misfire", "overlap", *NUMBERS)},
    }
    draft = submission_form.empty(task_type, redacted(task_type.name, template.get("payload")))
    fields = {
        name: str(template[name]) for name in ("name", "priority", "max_retries", "timeout") if template.get(name)
    }
    labels = {key: str(value) for key, value in template.get("labels", {}).items()}
    return Form(rule=rule, draft=Draft(payload=draft.payload, json_text=draft.json_text, fields=fields, labels=labels))


def _body(task_type: TaskType, form: Form) -> dict[str, Any]:
    rule = form.rule
    body: dict[str, Any] = {name: rule[name] for name in ("time_zone", "misfire", "overlap") if rule[name]}
    body["name"] = rule["schedule_name"] or None
    if rule["kind"] == "once":
        body |= {"run_at": _moment(rule["run_at"]) or "", "starts_at": None, "ends_at": None}
    else:
        body |= {"cron": rule["cron"], **{name: _moment(rule[name]) for name in ("starts_at", "ends_at")}}
    for name in NUMBERS:
        if rule[name]:
            body[name] = int(rule[name]) if rule[name].isascii() and rule[name].isdigit() else rule[name]
    task = submission_form.fields_of(form.draft)
    return {
        **body,
        "task": {"type": task_type.name, **{k: v for k, v in task.items() if k not in submission_form.MOMENTS}},
    }


def _not_drawn(task: dict[str, Any]) -> dict[str, Any]:
    """What the form has no place for (a callback, keys): it stays, because a template is replaced as a whole."""
    return {name: value for name, value in task.items() if name not in submission_form.DRAWN}


def _moment(text: str) -> str | None:
    return f"{text}:00Z" if len(text) == 16 else text or None


def _errors(error: Exception) -> dict[str, Any]:
    """Messages by the names of this page, where the task's fields stand beside the schedule's."""
    messages: dict[str, Any] = dict(
        error.normalized_messages() if isinstance(error, ValidationError) else getattr(error, "errors", {})
    )
    if "name" in messages:
        messages["schedule_name"] = messages.pop("name")
    below = messages.pop("task", {})
    return {**messages, **below} if isinstance(below, dict) else {**messages, "_schema": below}


def _page(
    task_type: TaskType, form: Form, *, schedule: ScheduleRecord | None = None, errors: dict[str, Any] | None = None
) -> str:
    preview, fault = _preview(form.rule)
    drawn = submission_form.nodes(task_type, form.draft, errors or {})
    own = {*TEXTS, *NUMBERS}
    return render_template(
        "dashboard/schedule_form.html",
        type=task_type,
        schedule=schedule,
        rule=form.rule,
        preview=preview,
        preview_fault=fault,
        zones=sorted(zones.known()),
        misfires=list(Misfire),
        overlaps=list(Overlap),
        **{**drawn, "unplaced": [each for each in drawn["unplaced"] if each.partition(":")[0] not in own]},
    )


def _preview(rule: dict[str, str]) -> tuple[Preview | None, str | None]:
    if rule["kind"] != "cron" or not rule.get("cron"):
        return None, None
    try:
        return schedules.preview(rule["cron"], time_zone=rule.get("time_zone") or "UTC", after=utcnow()), None
    except Refused as error:
        return None, str(error)


def _schedule(schedule_id: UUID) -> ScheduleRecord:
    with transaction() as session:
        return schedules.read(session, schedule_id, seen_by=visible_owner())


def _type(name: str) -> TaskType:
    try:
        return get_type(name)
    except UnknownTaskType as error:
        text = str(error)
        raise NotFound(f"{text[0].upper()}{text[1:]}.") from None
