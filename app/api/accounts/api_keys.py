"""/api-keys: keys for programs."""

from typing import Any
from uuid import UUID

import marshmallow as ma
from flask import Response

from app.clock import utcnow
from app.errors import NotFound
from app.models import ApiKeyRecord
from app.models.page import Page
from app.services.accounts import api_keys, audit
from app.web.access import KEYS, Access, access, current_actor, current_principal
from app.web.blueprint import Blueprint, Created
from app.web.fields import Instant
from app.web.requests.idempotency import key_of
from app.web.schemas.accounts import NewApiKey
from app.web.transactions import transaction
from taskledger_sdk.payload.fields import UUID_TEXT

blueprint = Blueprint("api_keys", __name__, url_prefix="/api/v1", description="Keys for programs")

KEY_ID = [{"name": "key_id", "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}}]


class ApiKeyView(ma.Schema):
    """A key, without the key."""

    id = ma.fields.UUID(required=True)
    name = ma.fields.String(required=True)
    prefix = ma.fields.String(required=True, metadata={"description": "The first characters of the key"})
    scopes = ma.fields.List(ma.fields.String(), required=True)
    allowed_types = ma.fields.List(
        ma.fields.String(),
        required=True,
        allow_none=True,
        metadata={"description": "Task types that it may be used for; null: all of its account's"},
    )
    allowed_queues = ma.fields.List(
        ma.fields.String(),
        required=True,
        allow_none=True,
        metadata={"description": "Queues whose task types it may be used for; null: all of its account's"},
    )
    created_at = Instant(required=True)
    expires_at = Instant(required=True, allow_none=True)
    revoked_at = Instant(required=True, allow_none=True)
    last_used_at = Instant(required=True, allow_none=True, metadata={"description": "Exact to a minute"})


class MadeApiKey(ApiKeyView):
    """A new key; it is shown this once."""

    key = ma.fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "Send it as Authorization: Bearer; null where an Idempotency-Key is used again"},
    )


class ApiKeyList(ma.Schema):
    """A page of keys, newest first."""

    items = ma.fields.List(ma.fields.Nested(ApiKeyView), required=True)
    next = ma.fields.String(required=True, allow_none=True)


@blueprint.post("/api-keys")
@blueprint.arguments(NewApiKey())
@blueprint.creates(MadeApiKey(), "API key", headers=None)
@blueprint.problem(422, "The scope admin without being one, or an end in the past")
@access(Access.ACCOUNT)
def create_api_key(asked: dict[str, Any], headers: dict[str, Any]) -> Created[dict[str, Any]]:
    """Make a key; it is shown in this answer and never again."""
    principal, once = current_principal(), key_of(headers, "api-keys", asked)
    with transaction() as session:
        made, key = api_keys.create(
            session, principal.user_id, **asked, now=utcnow(), is_admin=principal.is_admin, once=once
        )
        if key is not None:
            audit.record(
                session,
                "api_key.created",
                current_actor(),
                now=utcnow(),
                subject=f"api_key:{made.id}",
                name=made.name,
                scopes=made.scopes,
                allowed_types=made.allowed_types,
                allowed_queues=made.allowed_queues,
            )
    shown = {**{name: getattr(made, name) for name in ApiKeyRecord.__slots__}, "key": key}
    return Created(record=shown, path=None, is_new=key is not None)


@blueprint.get("/api-keys")
@blueprint.pages(ApiKeyList(), "api-keys")
@access(Access.ACCOUNT)
def list_api_keys(page: dict[str, Any]) -> Page[ApiKeyRecord]:
    """List one's own keys, revoked ones included."""
    with transaction(autocommit=True) as session:
        return api_keys.find(session, current_principal().user_id, before=page["before"], limit=page["limit"])


@blueprint.delete("/api-keys/<key_id>", parameters=KEY_ID)
@blueprint.response(200, ApiKeyView(), description="Refused from now on; by other API processes within 2 seconds")
@access(Access.ACCOUNT)
def revoke_api_key(key_id: str) -> ApiKeyRecord:
    """Revoke a key; an admin, anybody's."""
    if not UUID_TEXT.fullmatch(key_id):
        raise NotFound("There is no such API key: GET /api/v1/api-keys lists yours.")
    principal = current_principal()
    with transaction() as session:
        revoked = api_keys.revoke(session, UUID(key_id), owner=principal.sees, now=utcnow())
        audit.record(session, "api_key.revoked", current_actor(), now=utcnow(), subject=f"api_key:{revoked.id}")
    KEYS.forget()
    return revoked


@blueprint.after_request
def _keep_nothing(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"  # a new key must not lie in a cache
    return response
