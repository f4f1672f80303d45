"""Schedules: what comes next, what became of each slot, and running, holding and deleting them."""

from datetime import datetime
from itertools import islice
from uuid import UUID

from flask import flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from app.clock import utcnow
from app.dashboard.account_names import names_of
from app.dashboard.blueprint import blueprint
from app.database import Session
from app.errors import Refused
from app.models import ScheduleRecord
from app.services import schedules
from app.services.schedules import cron as crons
from app.services.schedules import zones
from app.services.schedules.rule import LATEST, Rule
from app.web import quotas
from app.web.access import Access, access, visible_owner
from app.web.requests import pagination
from app.web.schemas.schedules import shown_task
from app.web.transactions import transaction
from taskledger_sdk.schedules import load_schedules

PAGE, SLOTS_PAGE, COMING = 50, 50, 10
MAX_TEXT = 200
DONE = {"run": "Submitted.", "enable": "It has slots again.", "disable": "It has no slots until it is enabled."}


@blueprint.get("/schedules")
def list_schedules() -> str:
    """All schedules that the caller sees, newest first."""
    text = request.args.get("q", "").strip()[:MAX_TEXT].replace("\0", "")
    enabled = {"yes": True, "no": False}.get(request.args.get("enabled", ""))
    before = pagination.decode(request.args.get("cursor"), "dashboard.schedules")
    with transaction() as session:
        items, last = schedules.find(
            session,
            visible_to=visible_owner(),
            enabled=enabled,
            text=text or None,
            before=before,
            limit=PAGE,
        )
        people = names_of(session, [each.owner_id for each in items])
    next_cursor = pagination.encode(last, "dashboard.schedules")
    rules = {each.id: in_words(each.cron) for each in items}
    return render_template("dashboard/schedules.html", items=items, people=people, rules=rules, next_cursor=next_cursor)


@blueprint.get("/schedules/<uuid:schedule_id>")
def show_schedule(schedule_id: UUID) -> str:
    """One schedule: its rule, its next moments, its slots."""
    before = pagination.decode(request.args.get("cursor"), "dashboard.slots", datetime.fromisoformat)
    with transaction() as session:
        schedule = schedules.read(session, schedule_id, visible_to=visible_owner())
        slots, last = schedules.slots(session, schedule_id, state=None, before=before, limit=SLOTS_PAGE)
        people = names_of(session, [schedule.owner_id])
    template = shown_task(schedule.target) or {}
    return render_template(
        "dashboard/schedule.html",
        schedule=schedule,
        is_in_code=schedule.declared is not None and schedule.name in load_schedules(),
        template=template,
        payload=template.get("payload"),
        words=in_words(schedule.cron),
        coming=_coming(schedule),
        slots=slots,
        people=people,
        next_cursor=pagination.encode(last, "dashboard.slots"),
    )


@blueprint.get("/schedules/<uuid:schedule_id>/<any(run, enable, disable, delete):action>")
@access(Access.WRITE)
def ask_schedule(schedule_id: UUID, action: str) -> str:
    """Ask first."""
    with transaction() as session:
        schedule = schedules.read(session, schedule_id, visible_to=visible_owner())
    return render_template("dashboard/confirm_schedule.html", schedule=schedule, action=action)


@blueprint.post("/schedules/<uuid:schedule_id>/<any(run, enable, disable, delete):action>")
def act_on_schedule(schedule_id: UUID, action: str) -> Response:
    """Do it."""
    with transaction() as session:
        if action == "delete":
            schedules.delete(session, schedule_id, visible_to=visible_owner())
        else:
            place = _do(session, schedule_id, action)
    if action == "delete":
        flash("Deleted, with its slots; tasks that it submitted stay.")
        return redirect(url_for("dashboard.list_schedules"))
    flash(DONE[action])
    return redirect(place)


def _do(session: Session, schedule_id: UUID, action: str) -> str:
    if action == "run":
        allowance = quotas.allowance_in(session)
        id_, _ = schedules.run_once_now(
            session, schedule_id, key=None, visible_to=visible_owner(), now=utcnow(), allowance=allowance
        )
        is_task = "task" in schedules.read(session, schedule_id, visible_to=visible_owner()).target
        return url_for("dashboard.show_task", task_id=id_) if is_task else url_for("dashboard.show_run", run_id=id_)
    schedules.change(
        session,
        schedule_id,
        {"enabled": action == "enable"},
        visible_to=visible_owner(),
        now=utcnow(),
        allowance=quotas.allowance_in(session),
    )
    return url_for("dashboard.show_schedule", schedule_id=schedule_id)


def in_words(cron: str | None) -> str:
    """A cron expression in English; empty for none, and for one that cannot be explained."""
    try:
        return crons.parse(cron).explain() if cron else ""
    except Refused:
        return ""


def _coming(schedule: ScheduleRecord) -> list[datetime]:
    """The next moments, as the schedule's own clocks show them; none for a schedule that is held."""
    if not schedule.enabled:
        return []
    try:
        zone = zones.find(schedule.time_zone)
        moments = islice(Rule.of(schedule).slots(after=utcnow(), until=LATEST), COMING)
        return [moment.astimezone(zone) for moment in moments]
    except Refused:
        return []
