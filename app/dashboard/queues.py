"""Queues and task types: what waits and runs, and what is paused; admins pause and resume."""

from threading import Condition
from typing import Any

from cachetools import TTLCache, cached
from flask import flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from app.clock import utcnow
from app.dashboard import overview
from app.dashboard.blueprint import blueprint
from app.database import Session
from app.services.accounts import audit
from app.services.dispatch import queues
from app.services.measuring import queue_report
from app.services.measuring.queue_report import QueueFigures
from app.web.access import Access, access, current_actor
from app.web.transactions import transaction
from taskledger_sdk.registry import known_types

MAX_REASON = 500
KINDS: dict[str, queues.Kind] = {"queues": "queue", "types": "type"}

KEPT_SECONDS = 2.0


@blueprint.get("/queues")
def list_queues() -> str:
    """All of them."""
    with transaction() as session:
        paused = queues.pauses(session)
        status = _status(session)
    return render_template(
        "dashboard/queues.html",
        queues=status,
        paused={(each.kind, each.name): each for each in paused},
        types=list(known_types().values()),
    )


@blueprint.get("/queues/<any(queues, types):kinds>/<name>/<any(pause, resume):action>")
@access(Access.ADMIN)
def ask_queue(kinds: str, name: str, action: str) -> str:
    """Ask first."""
    kind = KINDS[kinds]
    with transaction() as session:
        status = queue_report.read(session, now=utcnow())[1]
        paused = queues.pauses(session)
    return render_template(
        "dashboard/confirm_queue.html",
        kind=kind,
        kinds=kinds,
        name=name,
        action=action,
        queue=next((each for each in status if each.name == name), None) if kind == "queue" else None,
        paused=next((each for each in paused if (each.kind, each.name) == (kind, name)), None),
    )


@blueprint.post("/queues/<any(queues, types):kinds>/<name>/<any(pause, resume):action>")
@access(Access.ADMIN)
def change_queue(kinds: str, name: str, action: str) -> Response:
    """Pause or resume it."""
    kind, actor = KINDS[kinds], current_actor()
    reason = request.form.get("reason", "")[:MAX_REASON].replace("\0", "").strip() or None
    with transaction() as session:
        said: dict[str, Any] = {"subject": f"{kind}:{name}"}
        if action == "pause":
            queues.pause(session, kind, name, by=str(actor.user_id), reason=reason, now=utcnow())
            said |= {"reason": reason} if reason else {}
        else:
            queues.resume(session, kind, name, now=utcnow())
        audit.record(session, f"{kind}.{action}d", actor, now=utcnow(), **said)
    _status.cache_clear()
    overview.forget()
    said_then = "paused: workers stop taking from it within 3 seconds" if action == "pause" else "resumed"
    flash(f"The {kind} {name} is {said_then}.")
    return redirect(url_for("dashboard.list_queues"))


# Many viewers cost no more than one. It is the same for all of them.
@cached(TTLCache[str, list[QueueFigures]](1, KEPT_SECONDS), key=lambda _: "all", condition=Condition())
def _status(session: Session) -> list[QueueFigures]:
    return queue_report.read(session, now=utcnow())[1]
