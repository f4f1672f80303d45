"""/audit: who did what to accounts, keys and queues; for admins."""

from typing import Any

import marshmallow as ma

from app.models import AuditRecord
from app.models.page import Page
from app.services.accounts import audit
from app.web.access import Access, access
from app.web.blueprint import Blueprint
from app.web.fields import Instant, Verbatim, text
from app.web.requests.pagination import PageQuery
from app.web.transactions import transaction
from taskledger_sdk.payload import fields as strict

blueprint = Blueprint("audit", __name__, url_prefix="/api/v1", description="The audit log")


class AuditFilter(PageQuery):
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
@blueprint.pages(AuditList(), "audit", query=AuditFilter(), key=int)
@access(Access.ADMIN)
def list_entries(query: dict[str, Any]) -> Page[AuditRecord]:
    """Read the audit log, newest first."""
    with transaction(autocommit=True) as session:
        return audit.find(
            session,
            action=query.get("action"),
            actor_id=query.get("actor_id"),
            before=query["before"],
            limit=query["limit"],
        )
