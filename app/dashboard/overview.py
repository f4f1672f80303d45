"""The first page: how much waits, what happened lately, who works, what comes."""

from dataclasses import asdict
from datetime import timedelta
from threading import Condition
from typing import Any
from uuid import UUID

from cachetools import TTLCache, cached
from flask import current_app, render_template, request

from app.clock import utcnow
from app.dashboard.blueprint import blueprint
from app.database import Session
from app.services import schedules
from app.services.dispatch import queues
from app.services.events import sinks
from app.services.measuring import overview
from app.services.tasks import dead_letters
from app.services.tasks.records import Filter
from app.services.tasks.search import search
from app.web.access import current_principal
from app.web.transactions import transaction

WINDOWS = {"15min": timedelta(minutes=15), "1h": timedelta(hours=1), "24h": timedelta(hours=24)}
DEFAULT_WINDOW = "1h"
MAX_KEPT, KEPT_SECONDS = 1000, 2.0
COMING_SHOWN, CAUSES_SHOWN, RECENT_SHOWN = 6, 5, 8


@blueprint.get("/")
def show_overview() -> str:
    """The overview."""
    window = request.args.get("window", DEFAULT_WINDOW)
    if window not in WINDOWS:
        window = DEFAULT_WINDOW
    found = _look(current_principal().sees, WINDOWS[window])
    return render_template("dashboard/overview.html", window=window, windows=list(WINDOWS), **found)


def forget() -> None:
    """Look anew: something has changed that the overview warns of."""
    _look.cache_clear()


def _key(owner: UUID | None, window: timedelta) -> tuple[int, UUID | None, timedelta]:
    """The tests make several applications in one process."""
    return id(current_app.extensions["taskledger.gate"]), owner, window


# Many viewers cost no more than one: with a condition, one thread looks up what several ask for at once.
@cached(TTLCache[Any, dict[str, Any]](MAX_KEPT, KEPT_SECONDS), key=_key, condition=Condition())
def _look(owner: UUID | None, window: timedelta) -> dict[str, Any]:
    now = utcnow()
    is_admin = current_principal().is_admin
    with transaction() as session:
        standing = overview.standing(session, owner=owner)
        series = overview.recent(session, owner=owner, waiting=standing.waiting, now=now, window=window)
        return {
            "standing": standing,
            "series": asdict(series),
            "totals": series.totals,
            "seconds_shown": series.width_seconds * (len(series.times) + 1),
            "workers": overview.workers(session, now=now) if is_admin else [],
            "sinks": sinks.statuses(session, now=now) if is_admin else [],
            "late_duties": _late(session) if is_admin else [],
            "paused": queues.pauses(session),
            "coming": schedules.soonest(session, visible_to=owner, limit=COMING_SHOWN),
            "causes": dead_letters.groups(session, owner=owner, now=now, days=1, limit=CAUSES_SHOWN),
            "recent": search(session, Filter(), owner=owner, before=None, limit=RECENT_SHOWN).items,
        }


def _late(session: Session) -> list[overview.DutyState]:
    duties = overview.duties(session, now=utcnow())
    return [duty for duty in duties if duty.is_late or duty.last_error]
