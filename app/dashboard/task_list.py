"""The list of tasks: filters that live in the address, newest first."""

from datetime import UTC, datetime, timedelta

from flask import redirect, render_template, request, url_for
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response

from app.clock import utcnow
from app.dashboard.account_names import names_of
from app.dashboard.blueprint import blueprint
from app.models import Status
from app.services.accounts import users
from app.services.tasks.records import Filter
from app.services.tasks.search import search
from app.web.access import current_principal, visible_owner
from app.web.requests import pagination
from app.web.transactions import transaction
from taskledger_sdk.payload.fields import UUID_TEXT
from taskledger_sdk.registry import known_types

PAGE = 50
MAX_TEXT = 200
SINCE = {
    "15min": timedelta(minutes=15),
    "1h": timedelta(hours=1),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}


@blueprint.get("/tasks")
def list_tasks() -> str | Response:
    """Tasks that match the filters."""
    arguments = request.args
    text = arguments.get("q", "").strip()
    if UUID_TEXT.fullmatch(text):
        return redirect(url_for("dashboard.show_task", task_id=text))
    wanted, faults = read_filter(arguments)
    before = pagination.decode(arguments.get("cursor"), "dashboard.tasks")
    with transaction() as session:
        owner, is_known = visible_owner(), True
        if current_principal().is_admin and arguments.get("owner"):
            account = users.by_email(session, arguments["owner"].strip().replace("\0", ""))
            owner, is_known = (account.id, True) if account else (None, False)
            if account is None:
                faults.append(f"There is no account {arguments['owner']}.")
        found = search(session, wanted, owner=owner, before=before, limit=PAGE) if is_known else None
        people = names_of(session, [task.owner_id for task in found.items] if found else [])
    return render_template(
        "dashboard/tasks.html",
        found=found,
        people=people,
        faults=faults,
        types=list(known_types()),
        since=list(SINCE),
        is_filtered=any(arguments.get(name) for name in ("status", "type", "label", "owner", "since", "q", "after")),
        next_cursor=found and pagination.encode(found.next_before, "dashboard.tasks"),
    )


def read_filter(arguments: MultiDict[str, str]) -> tuple[Filter, list[str]]:
    """The filter in an address, and what in it was not understood and left out. Pure but for the clock."""
    faults: list[str] = []
    labels = [tuple(part.strip() for part in each.split(":", 1)) for each in arguments.getlist("label") if each.strip()]
    if any(len(label) != 2 for label in labels):
        faults.append("A label is written key:value, such as team:billing.")
    known = {status.value for status in Status}
    since = SINCE.get(arguments.get("since", ""))
    wanted = Filter(
        statuses=[status for status in arguments.getlist("status") if status in known],
        types=[name for name in arguments.getlist("type") if name.strip() and "\0" not in name],
        labels=[label for label in labels if len(label) == 2 and "\0" not in "".join(label)],
        created_after=_moment(arguments, "after", faults) or (utcnow() - since if since else None),
        created_before=_moment(arguments, "before", faults),
        text=arguments.get("q", "").strip()[:MAX_TEXT].replace("\0", "") or None,
    )
    return wanted, faults


def _moment(arguments: MultiDict[str, str], name: str, faults: list[str]) -> datetime | None:
    """From <input type=datetime-local>, which has no zone: here everything is in UTC."""
    text = arguments.get(name, "")
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        faults.append(f"{name}: {text[:40]} is no moment such as 2026-11-22T09:30.")
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
