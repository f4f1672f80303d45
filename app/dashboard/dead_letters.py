"""Dead letters by cause, and starting all of a cause over, or deleting them, after a look at how many that are."""

from dataclasses import replace as with_fields
from datetime import UTC, datetime
from typing import Any

from flask import flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from app.clock import rfc_3339, utcnow
from app.dashboard.blueprint import blueprint
from app.errors import Refused
from app.services.accounts.quotas import QuotaReached
from app.services.tasks import dead_letter_group, dead_letters, replay
from app.services.tasks.dead_letters import DeadLetterFilter
from app.web import quotas
from app.web.access import Access, access, visible_owner
from app.web.dead_letter_choice import DEAD_LETTER_ACTIONS, dead_letter_filter
from app.web.oversight import counted
from app.web.responses.masking import presentable
from app.web.transactions import transaction
from tasks.masking import masked

DAYS = {"1": 1, "7": 7, "30": 30, "90": 90}
DEFAULT_DAYS = "30"
MAX_SHOWN = 5
ACTIONS = {"replay": "Start over", "purge": "Delete"}


@blueprint.get("/dead-letters")
def list_causes() -> str:
    """Causes, most frequent first."""
    days = request.args.get("days", DEFAULT_DAYS)
    days = days if days in DAYS else DEFAULT_DAYS
    with transaction() as session:
        groups = dead_letters.groups(session, owner=visible_owner(), now=utcnow(), days=DAYS[days])
    return render_template("dashboard/dead_letters.html", groups=groups, days=days, all_days=list(DAYS))


@blueprint.get("/dead-letters/groups/<fingerprint>")
def show_cause(fingerprint: str) -> str:
    """One cause in detail."""
    with transaction() as session:
        group = dead_letter_group.read_group(
            session, fingerprint.replace("\0", ""), owner=visible_owner(), now=utcnow()
        )
    example = presentable(group.example)
    series = {
        "times": [round(hour.at.timestamp()) for hour in group.hours],
        "width_seconds": 3_600,
        "failed": [hour.count for hour in group.hours],
    }
    payload = masked(example.type, example.payload)
    return render_template("dashboard/cause.html", group=group, payload=payload, series=series)


@blueprint.get("/dead-letters/<any(replay, purge):action>")
@access(Access.WRITE)
def preview_mass_change(action: str) -> str:
    """Say how many it will touch, and show some of them."""
    # What fails from now on was not counted, so it is not changed either.
    wanted = with_fields(_filter(request.args), failed_before=utcnow())
    with transaction() as session:
        count = dead_letters.count(session, wanted)
        belonging = dead_letters.count_belonging(session, wanted)
        examples, _ = dead_letters.find(session, wanted, before=None, limit=MAX_SHOWN, by_itself=True)
    return render_template(
        "dashboard/confirm_dead_letters.html",
        action=action,
        verb=ACTIONS[action],
        wanted=wanted,
        before=rfc_3339(wanted.failed_before) if wanted.failed_before else "",
        count=count,
        belonging=belonging,
        examples=examples,
    )


@blueprint.post("/dead-letters/<any(replay, purge):action>")
def change_many(action: str) -> Response:
    """Do it, in batches, to what was counted."""
    wanted = _filter(request.form)
    if wanted.failed_before is None:
        raise Refused({"failed_before": ["is missing: open the preview again"]})
    with counted(*DEAD_LETTER_ACTIONS[action], filter=dead_letter_filter(wanted)) as done:
        try:
            while changed := _batch(action, wanted):
                done.count += changed
        except QuotaReached as error:
            if not done.count:
                raise
            flash(f"The others were not: {error}")
    flash(f"{done.count} dead letters were {'started over' if action == 'replay' else 'deleted'}.")
    return redirect(url_for("dashboard.list_causes"))


def _batch(action: str, wanted: DeadLetterFilter) -> int:
    with transaction() as session:
        if action == "purge":
            return dead_letters.purge_batch(session, wanted)
        return replay.replay_batch(session, wanted, now=utcnow(), allowance=quotas.allowance_in(session))


def _filter(sent: Any) -> DeadLetterFilter:
    """Of the caller's own dead letters only, whatever was sent."""
    texts = {name: sent.get(name, "").replace("\0", "") or None for name in ("type", "fingerprint")}
    return DeadLetterFilter(**texts, failed_before=_moment(sent.get("failed_before")), owner_id=visible_owner())


def _moment(text: str | None) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text) if text else None
        return moment.astimezone(UTC) if moment is not None and moment.tzinfo is not None else None
    except (ValueError, OverflowError):  # in UTC it may lie before the year 1
        return None
