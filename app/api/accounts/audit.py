"""/audit: who did what to accounts, keys and queues; for admins."""

from typing import Any

import marshmallow as ma

from app.services.accounts import audit
from app.web.access import Access, access
from app.web.fields import Instant, Verbatim, text
from app.web.requests import pagination
from app.web.requests.pagination import Page
from app.web.requests.parsing import Blueprint
from app.web.transactions import single_statement
from tasks import fields as strict

blueprint = Blueprint("audit", __name__, url_prefix="/api/v1", description="The audit log")


class AuditFilter(Page):
    """Query parameters of the log."""

    action = text(100, metadata={"description": "Such as user.changed"})
    actor_id = strict.Identifier(metadata={"description": "What this account did"})


class AuditView(ma.Schema):
    """One entry."""

    id = ma.fields.Integer(required=True)
    at = Instant(required=True)
    action = ma.fields.String(required=True)
    actor_id = ma.fields.UUID(required=True, allow_none=True, metadata={"description": "null: the command line"})
    key_id = ma.fields.UUID(required=True, allow_none=True, metadata={"description": "The API key it was done with"})
    subject = ma.fields.String(required=True, allow_none=True)
    address = ma.fields.String(required=True, allow_none=True)
    request_id = ma.fields.String(required=True, allow_none=True)
    detail = Verbatim({"type": "object"}, required=True)


class AuditList(ma.Schema):
    """A page of entries, newest first."""

    items = ma.fields.List(ma.fields.Nested(AuditView), required=True)
    next = ma.fields.String(required=True, allow_none=True)


@blueprint.get("/audit")
@blueprint.arguments(AuditFilter(), location="query")
@blueprint.response(200, AuditList())
@access(Access.ADMIN)
def list_entries(query: dict[str, Any]) -> dict[str, Any]:
    """Read the audit log, newest first."""
    before = pagination.decode(query["cursor"], "audit")
    with single_statement() as session:
        items, last = audit.find(
            session, action=query.get("action"), actor_id=query.get("actor_id"), before=before, limit=query["limit"]
        )
    return {"items": items, "next": pagination.encode(last, "audit")}
