"""The audit log; for admins."""

from uuid import UUID

from flask import render_template, request

from app.dashboard.account_names import names_of
from app.dashboard.blueprint import blueprint
from app.models import AuditRecord
from app.services.accounts import audit, users
from app.web.access import Access, access
from app.web.requests import pagination
from app.web.transactions import transaction

PAGE = 50
LONGEST = 100


@blueprint.get("/audit")
@access(Access.ADMIN)
def list_audit() -> str:
    """Who did what, newest first."""
    action, email = (request.args.get(name, "").strip()[:LONGEST].replace("\0", "") for name in ("action", "actor"))
    before = pagination.decode(request.args.get("cursor"), "dashboard.audit", int)
    actor: UUID | None = None
    with transaction() as session:
        account = users.by_email(session, email) if email else None
        actor = account.id if account else None
        items: list[AuditRecord] = []
        last: int | None = None
        if not email or account is not None:
            items, last = audit.find(session, action=action or None, actor_id=actor, before=before, limit=PAGE)
        people = names_of(session, [entry.actor_id for entry in items])
    next_cursor = pagination.encode(last, "dashboard.audit")
    return render_template("dashboard/audit.html", items=items, people=people, next_cursor=next_cursor)
