"""Making and changing a schedule: its rule with a preview, and the form of what it submits."""

from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from flask import current_app, flash, redirect, render_template, request, url_for
from marshmallow import ValidationError
from werkzeug.datastructures import MultiDict

from app.clock import utcnow
from app.dashboard import masked_values, submission_form, untouched
from app.dashboard.blueprint import blueprint
from app.dashboard.submission_form import Draft
from app.dashboard.untouched import moment_shown, moment_typed
from app.errors import Conflict, NotFound, Refused
from app.models import Misfire, Overlap, ScheduleRecord
from app.services import schedules
from app.services.schedules import Preview, zones
from app.web import quotas
from app.web.access import Access, access, current_owner_id, visible_owner
from app.web.schemas.schedules import ChangeSchedule, CreateSchedule
from app.web.transactions import transaction
from taskledger_sdk.errors import PayloadRefused, UnknownTaskType
from taskledger_sdk.registry import MAX_TIMEOUT_SECONDS, TaskType, get_type, offered_types
from tasks.masking import masked

WORDS = ("time_zone", "misfire", "overlap")
MOMENTS = ("run_at", "starts_at", "ends_at")
NUMBERS = ("misfire_cap", "jitter_seconds")
KINDS = {
    "kind": "choice",
    "schedule_name": "text",
    "cron": "text",
    "time_zone": "text",
    "misfire": "choice",
    "overlap": "choice",
    **dict.fromkeys(MOMENTS, untouched.MOMENT),
    **dict.fromkeys(NUMBERS, "whole"),
}
CRON, ONCE = "cron", "once"
RULE = frozenset({"cron", "run_at", "time_zone", "misfire", "misfire_cap", "overlap", "jitter_seconds", "starts_at",
                  "ends_at"})  # fmt: skip
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
    """What the page holds: the rule as texts, what of it was touched, and the draft of the task."""

    rule: dict[str, str]
    draft: Draft
    touched: frozenset[str] = frozenset()


@blueprint.get("/schedules/new")
@access(Access.WRITE)
def new_schedule() -> str:
    """Choose a type, then write the schedule."""
    name = request.args.get("type")
    types = [each for each in offered_types().values() if not each.sensitive]
    if name is None:
        return render_template("dashboard/schedule_choose.html", types=types)
    task_type = _type(name)
    return _page(task_type, _new(task_type))


@blueprint.post("/schedules/new")
def create_schedule() -> Any:
    """Make it, or draw the form again."""
    task_type = _type(request.args.get("type", ""))
    form = _read(task_type, request.form, _new(task_type))
    redrawn = submission_form.after_button(task_type, form.draft, request.form)
    if redrawn is not None:
        return _page(task_type, replace(form, draft=redrawn))
    try:
        wanted = CreateSchedule().load(_body(task_type, form))
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
    except (Refused, Conflict, PayloadRefused, ValidationError) as error:
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
    form = _read(task_type, request.form, _of(schedule, task_type))
    redrawn = submission_form.after_button(task_type, form.draft, request.form)
    if redrawn is not None:
        return _page(task_type, replace(form, draft=redrawn), schedule=schedule)
    try:
        body = _changes(schedule, form)
        if not body:
            flash("Nothing was changed.")
            return redirect(url_for("dashboard.show_schedule", schedule_id=schedule_id))
        fields = ChangeSchedule().load(body)
        with transaction() as session:
            schedules.change(
                session,
                schedule_id,
                fields,
                visible_to=visible_owner(),
                now=utcnow(),
                allowance=quotas.allowance_in(session),
            )
    except (Refused, Conflict, PayloadRefused, ValidationError) as error:
        return _page(task_type, form, schedule=schedule, errors=_errors(error)), 422
    flash("Changed; a new rule begins now." if body.keys() & RULE else "Changed.")
    return redirect(url_for("dashboard.show_schedule", schedule_id=schedule_id))


def _new(task_type: TaskType) -> Form:
    draft = submission_form.empty(task_type)
    return Form(rule=dict(DEFAULTS), draft=replace(draft, shown={**DEFAULTS, **draft.shown}))


def _read(task_type: TaskType, sent: MultiDict[str, str], drawn: Form) -> Form:
    draft = submission_form.read(task_type, sent, drawn.draft)
    rule = {name: sent.get(name, draft.shown.get(name, "")) for name in KINDS}
    rule["kind"] = ONCE if rule["kind"] == ONCE else CRON
    return Form(rule=rule, draft=draft, touched=frozenset(untouched.touched(sent, draft.shown, KINDS)))


def _of(schedule: ScheduleRecord, task_type: TaskType) -> Form:
    template = schedule.target["task"]
    rule = {
        "kind": CRON if schedule.cron else ONCE,
        "schedule_name": schedule.name or "",
        "cron": schedule.cron or "",
        **{name: moment_shown(getattr(schedule, name)) for name in MOMENTS},
        **{name: str(getattr(schedule, name)) for name in (*WORDS, *NUMBERS)},
    }
    payload = template.get("payload")
    shown = masked_values.veiled(payload, masked(task_type.name, payload))
    draft = submission_form.of_values(shown, template, template.get("labels", {}))
    return Form(rule=rule, draft=replace(draft, shown={**rule, **draft.shown}))


def _body(task_type: TaskType, form: Form) -> dict[str, Any]:
    """A new schedule, as the API takes it."""
    rule = {name: text.strip() for name, text in form.rule.items()}
    body: dict[str, Any] = {name: rule[name] for name in WORDS if rule[name]}
    body["name"] = rule["schedule_name"] or None
    if rule["kind"] == ONCE:
        body["run_at"] = moment_typed(rule["run_at"])
    else:
        body |= {"cron": rule["cron"], **{name: moment_typed(rule[name]) or None for name in ("starts_at", "ends_at")}}
    body |= {name: untouched.whole_typed(rule[name]) for name in NUMBERS if rule[name]}
    task = submission_form.body_of(form.draft)
    task["payload"] = masked_values.unveiled(task["payload"], None, task_type.name, is_allowed=False)
    return {
        **body,
        "task": {"type": task_type.name, **{k: v for k, v in task.items() if k not in submission_form.MOMENTS}},
    }


def _changes(schedule: ScheduleRecord, form: Form) -> dict[str, Any]:
    """What was touched, as a change that the API takes: what nobody touched is not in it."""
    rule = {name: text.strip() for name, text in form.rule.items()}
    is_new_kind = "kind" in form.touched
    body: dict[str, Any] = {name: rule[name] for name in WORDS if name in form.touched}
    body |= {name: untouched.whole_typed(rule[name]) for name in NUMBERS if name in form.touched}
    if "schedule_name" in form.touched:
        body["name"] = rule["schedule_name"] or None
    if rule["kind"] == ONCE:
        if is_new_kind or "run_at" in form.touched:
            body["run_at"] = moment_typed(rule["run_at"])
        body |= {"starts_at": None, "ends_at": None} if is_new_kind else {}
    else:
        if is_new_kind or "cron" in form.touched:
            body["cron"] = rule["cron"]
        body |= {name: moment_typed(rule[name]) or None for name in ("starts_at", "ends_at") if name in form.touched}
    task = _changed_task(schedule, form.draft)
    return body if task is None else body | {"task": task}


def _changed_task(schedule: ScheduleRecord, draft: Draft) -> dict[str, Any] | None:
    """The template, which is replaced as a whole, with what was touched; None where nothing of it was."""
    stored: dict[str, Any] = schedule.target["task"]
    task = dict(stored)
    for name in draft.touched & (submission_form.KINDS.keys() - set(submission_form.MOMENTS)):
        task[name] = submission_form.typed(draft, name)
        if task[name] is None:  # blank: as the type says
            del task[name]
    if "labels" in draft.touched:
        task["labels"] = submission_form.labels_of(draft)
    if "payload" in draft.touched:
        payload = submission_form.payload_of(draft)
        task["payload"] = masked_values.unveiled(
            payload, stored.get("payload"), stored["type"], is_allowed=masked_values.is_callers(schedule)
        )
    return task if draft.touched & submission_form.DRAWN else None


def _errors(error: Exception) -> dict[str, Any]:
    """Messages by the names of this page, where the task's fields stand beside the schedule's."""
    if isinstance(error, Conflict):  # its name is taken
        return {"schedule_name": [str(error)]}
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
    own = KINDS.keys()
    return render_template(
        "dashboard/schedule_form.html",
        type=task_type,
        schedule=schedule,
        rule=form.rule,
        preview=preview,
        preview_fault=fault,
        zones=sorted(zones.known()),
        misfires=list(Misfire),
        longest_timeout=MAX_TIMEOUT_SECONDS,
        overlaps=list(Overlap),
        **{**drawn, "unplaced": [each for each in drawn["unplaced"] if each.partition(":")[0] not in own]},
    )


def _preview(rule: dict[str, str]) -> tuple[Preview | None, str | None]:
    if rule["kind"] != CRON or not rule.get("cron"):
        return None, None
    try:
        cron, zone = rule["cron"].strip(), rule.get("time_zone", "").strip() or "UTC"
        return schedules.preview(cron, time_zone=zone, after=utcnow()), None
    except Refused as error:
        return None, str(error)


def _schedule(schedule_id: UUID) -> ScheduleRecord:
    with transaction() as session:
        return schedules.read(session, schedule_id, visible_to=visible_owner())


def _type(name: str) -> TaskType:
    try:
        return get_type(name)
    except UnknownTaskType as error:
        text = str(error)
        raise NotFound(f"{text[0].upper()}{text[1:]}.") from None
