"""/webhooks: where an account wants to be told of events, and what was delivered there."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import marshmallow as ma

from app.clock import rfc_3339, utcnow
from app.models import DeliveryRecord, WebhookRecord
from app.models.page import Page
from app.services import circuits, webhooks
from app.services.accounts import audit
from app.services.accounts.rights import check_outside
from app.services.circuits import Circuit, State
from app.services.webhooks import NewWebhook
from app.web.access import current_actor, current_principal, current_rights, visible_owner
from app.web.blueprint import Blueprint, Created
from app.web.fields import Instant, Verbatim
from app.web.requests.idempotency import key_of
from app.web.responses.masking import payload_keys
from app.web.schemas.webhooks import CreateWebhook, WebhookFields
from app.web.transactions import transaction
from taskledger_sdk.payload import fields as strict
from tasks.masking import mask_url

blueprint = Blueprint("webhooks", __name__, url_prefix="/api/v1", description="Being told when something happens")


class ChangeWebhook(WebhookFields):
    """A change; what is left out stays."""

    enabled = strict.Flag(metadata={"description": "Whether events are sent; enabling forgets past failures"})


class CircuitView(ma.Schema):
    """Whether deliveries are made to a receiver. While its circuit is open they wait; none is lost."""

    state = ma.fields.String(
        required=True,
        metadata={"enum": [each.value for each in State], "description": "half_open: one delivery tries just now"},
    )
    since = Instant(required=True, allow_none=True, metadata={"description": "null: no attempt has ever failed"})
    failures = ma.fields.Integer(required=True, metadata={"description": "Attempts that failed in a row"})
    retry_at = Instant(required=True, allow_none=True, metadata={"description": "Open until then; one delivery tries"})
    reason = ma.fields.String(required=True, allow_none=True, metadata={"description": "What the last of them met"})


class CallbackReceiver(CircuitView):
    """A receiver of callbacks, all that have the same scheme, host and port, at which attempts have failed."""

    origin = ma.fields.String(required=True)
    owner = ma.fields.UUID(required=True, allow_none=True, attribute="owner_id")


class CallbackReceiverList(ma.Schema):
    """A page of them, by origin."""

    items = ma.fields.List(ma.fields.Nested(CallbackReceiver), required=True)
    next = ma.fields.String(required=True, allow_none=True)


class WebhookView(ma.Schema):
    """A webhook."""

    id = ma.fields.UUID(required=True)
    owner = ma.fields.UUID(required=True, attribute="owner_id")
    url = ma.fields.Function(
        lambda webhook: mask_url(webhook.url),
        required=True,
        metadata={"type": "string", "description": "Secrets in it show as [redacted]"},
    )
    events = ma.fields.List(ma.fields.String(), required=True)
    types = ma.fields.List(ma.fields.String(), required=True)
    description = ma.fields.String(required=True, allow_none=True)
    enabled = ma.fields.Boolean(required=True)
    failing_since = Instant(required=True, allow_none=True, metadata={"description": "No attempt succeeded since"})
    circuit = ma.fields.Nested(CircuitView, required=True)
    disabled_at = Instant(required=True, allow_none=True)
    disabled_reason = ma.fields.String(required=True, allow_none=True)
    previous_secret_until = Instant(
        required=True, allow_none=True, metadata={"description": "Until then the secret before signs, too"}
    )
    created_at = Instant(required=True)
    updated_at = Instant(required=True)
    links = ma.fields.Function(
        lambda webhook: {"self": webhook_path(webhook), "deliveries": f"{webhook_path(webhook)}/deliveries"},
        required=True,
        metadata={"type": "object", "properties": {"self": {"type": "string"}, "deliveries": {"type": "string"}}},
    )


class WebhookWithSecret(WebhookView):
    """A webhook with its signing secret, which is shown this once."""

    secret = ma.fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "whsec_ and base64; null where an Idempotency-Key is used again"},
    )


class WebhookList(ma.Schema):
    """A page of webhooks, newest first."""

    items = ma.fields.List(ma.fields.Nested(WebhookView), required=True)
    next = ma.fields.String(required=True, allow_none=True)


class Attempts(Verbatim):
    """What became of each attempt; those noted by older versions have another form of their moment."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **options: Any) -> Any:
        return [each | {"at": rfc_3339(datetime.fromisoformat(each["at"]))} for each in value]


class DeliveryView(ma.Schema):
    """One event for one webhook, and what came of sending it."""

    id = ma.fields.UUID(required=True, metadata={"description": "The header webhook-id"})
    event = ma.fields.String(required=True)
    source_task = ma.fields.UUID(required=True, allow_none=True, attribute="source_task_id")
    status = ma.fields.String(
        required=True, metadata={"description": "Of the task that sends it; DELETED: that task is gone"}
    )
    task = ma.fields.UUID(required=True, attribute="task_id", metadata={"description": "The task that sends it"})
    attempts = Attempts(
        {"type": "array", "items": {"type": "object"}},
        required=True,
        metadata={"description": "at, attempt, and the status of the answer or the error"},
    )
    body = Verbatim({"type": "object"}, required=True, metadata={"description": "What is sent"})
    delivered_at = Instant(required=True, allow_none=True)
    next_attempt_at = Instant(required=True, allow_none=True)
    created_at = Instant(required=True)


class DeliveryList(ma.Schema):
    """A page of deliveries, newest first."""

    items = ma.fields.List(ma.fields.Nested(DeliveryView), required=True)
    next = ma.fields.String(required=True, allow_none=True)


class AccountSecret(ma.Schema):
    """The secret that signs callbacks, shown this once."""

    secret = ma.fields.String(required=True, metadata={"description": "whsec_ and base64"})
    previous_secret_until = Instant(
        required=True, allow_none=True, metadata={"description": "Until then the one before signs, too"}
    )


def webhook_path(webhook: WebhookRecord) -> str:
    """Where a webhook is read."""
    return f"/api/v1/webhooks/{webhook.id}"


@blueprint.post("/webhooks")
@blueprint.arguments(CreateWebhook())
@blueprint.creates(WebhookWithSecret(), "webhook")
@blueprint.problem(403, "The account may not reach outside: `type_not_allowed`")
def create_webhook(wanted: NewWebhook, headers: dict[str, Any]) -> Created[SimpleNamespace]:
    """Make a webhook for the caller's own tasks; keep the secret, it is not shown again."""
    key = key_of(headers, "webhooks", wanted)
    now = utcnow()
    check_outside(current_rights())
    with transaction() as session:
        owner_id = current_principal().user_id
        made, secret = webhooks.create(session, wanted, owner_id=owner_id, key=key, keys=payload_keys(), now=now)
        if secret is not None:
            audit.record(session, "webhook.created", current_actor(), now=now, subject=f"webhook:{made.id}")
        circuit = webhooks.circuits_of(session, [made])
    return Created(record=_with(made, circuit, secret=secret), path=webhook_path(made), is_new=secret is not None)


@blueprint.get("/webhooks")
@blueprint.pages(WebhookList(), "webhooks")
def list_webhooks(page: dict[str, Any]) -> Page[SimpleNamespace]:
    """List webhooks, newest first."""
    with transaction() as session:
        found = webhooks.find(session, owner=visible_owner(), before=page["before"], limit=page["limit"])
        of_each = webhooks.circuits_of(session, found.items)
    return Page([_with(webhook, of_each) for webhook in found.items], found.next)


@blueprint.get("/webhooks/callbacks")
@blueprint.pages(CallbackReceiverList(), "callbacks", key=str)
def list_callback_receivers(page: dict[str, Any]) -> Page[Circuit]:
    """List where callbacks (`callback_url`) have failed since they last succeeded, with the state of their circuits."""
    with transaction(autocommit=True) as session:
        return circuits.of_callbacks(session, owner=visible_owner(), after=page["before"], limit=page["limit"])


@blueprint.post("/webhooks/secret")
@blueprint.response(200, AccountSecret())
def rotate_account_secret() -> dict[str, str | datetime | None]:
    """Make or rotate the secret that signs what is sent to `callback_url`; the old one signs, too, for a day."""
    now = utcnow()
    with transaction() as session:
        owner_id = current_principal().user_id
        secret, until = webhooks.rotate_account(session, owner_id, keys=payload_keys(), now=now)
        audit.record(session, "webhook.account_secret_rotated", current_actor(), now=now)
    return {"secret": secret, "previous_secret_until": until}


@blueprint.get("/webhooks/<uuid:webhook_id>")
@blueprint.response(200, WebhookView())
def read_webhook(webhook_id: UUID) -> SimpleNamespace:
    """Read a webhook."""
    with transaction() as session:
        webhook = webhooks.read(session, webhook_id, owner=visible_owner())
        return _with(webhook, webhooks.circuits_of(session, [webhook]))


@blueprint.patch("/webhooks/<uuid:webhook_id>")
@blueprint.arguments(ChangeWebhook())
@blueprint.response(200, WebhookView())
def change_webhook(given: dict[str, Any], webhook_id: UUID) -> SimpleNamespace:
    """Change, enable or disable a webhook; what happened while it was disabled is not sent later."""
    if "url" in given or given.get("enabled"):
        check_outside(current_rights())
    now, subject = utcnow(), f"webhook:{webhook_id}"
    with transaction() as session:
        changed = webhooks.change(session, webhook_id, given, owner=visible_owner(), now=now)
        # Which fields, and not the new address: it may hold a secret.
        audit.record(session, "webhook.changed", current_actor(), now=now, subject=subject, fields=sorted(given))
        return _with(changed, webhooks.circuits_of(session, [changed]))


@blueprint.delete("/webhooks/<uuid:webhook_id>")
@blueprint.response(204, description="Deleted, with its delivery log")
def delete_webhook(webhook_id: UUID) -> None:
    """Delete a webhook and its delivery log; what waits to be sent is not sent."""
    now = utcnow()
    with transaction() as session:
        webhooks.delete(session, webhook_id, owner=visible_owner())
        audit.record(session, "webhook.deleted", current_actor(), now=now, subject=f"webhook:{webhook_id}")


@blueprint.post("/webhooks/<uuid:webhook_id>/secret")
@blueprint.response(200, WebhookWithSecret())
def rotate_secret(webhook_id: UUID) -> SimpleNamespace:
    """Give a webhook a new secret; for a day both sign, so that receivers can change over."""
    now = utcnow()
    with transaction() as session:
        changed, secret = webhooks.rotate(session, webhook_id, owner=visible_owner(), keys=payload_keys(), now=now)
        audit.record(session, "webhook.secret_rotated", current_actor(), now=now, subject=f"webhook:{webhook_id}")
        circuit = webhooks.circuits_of(session, [changed])
    return _with(changed, circuit, secret=secret)


@blueprint.post("/webhooks/<uuid:webhook_id>/test")
@blueprint.response(202, DeliveryView())
@blueprint.problem(409, "It is disabled")
def test_webhook(webhook_id: UUID) -> DeliveryRecord:
    """Send a `webhook.test` to a webhook; its delivery log shows what came of it."""
    check_outside(current_rights())
    with transaction() as session:
        return webhooks.send_test(session, webhook_id, owner=visible_owner(), now=utcnow())


@blueprint.get("/webhooks/<uuid:webhook_id>/deliveries")
@blueprint.pages(DeliveryList(), "deliveries")
def list_deliveries(page: dict[str, Any], webhook_id: UUID) -> Page[DeliveryRecord]:
    """List what was sent, or is to be sent, to a webhook in the last 30 days, newest first."""
    with transaction(autocommit=True) as session:
        return webhooks.find_deliveries(
            session, webhook_id, owner=visible_owner(), before=page["before"], limit=page["limit"]
        )


@blueprint.post("/webhooks/<uuid:webhook_id>/deliveries/<uuid:delivery_id>/redeliver")
@blueprint.response(202, DeliveryView())
@blueprint.problem(409, "It is still under way, or the webhook is disabled")
def redeliver(webhook_id: UUID, delivery_id: UUID) -> DeliveryRecord:
    """Send a delivery once more, with the same id and body."""
    check_outside(current_rights())
    with transaction() as session:
        return webhooks.send_again(session, webhook_id, delivery_id, owner=visible_owner(), now=utcnow())


NEVER_FAILED = {"state": State.CLOSED.value, "since": None, "failures": 0, "retry_at": None, "reason": None}


def _with(webhook: WebhookRecord, found: Mapping[UUID, Circuit], **more: str | None) -> SimpleNamespace:
    return SimpleNamespace(**asdict(webhook), circuit=found.get(webhook.id, NEVER_FAILED), **more)
