"""Webhooks: where an account is told of events, what was sent there and what came of it."""

from typing import Any
from uuid import UUID, uuid4

from flask import flash, redirect, render_template, request, url_for
from marshmallow import ValidationError
from werkzeug.wrappers import Response

from app.clock import utcnow
from app.dashboard.account_names import names_of
from app.dashboard.blueprint import blueprint
from app.dashboard.form_keys import form_key
from app.database import Session
from app.errors import Refused, flatten
from app.services import webhooks
from app.services.accounts import audit
from app.services.accounts.rights import check_outside
from app.services.webhooks import EVENTS, FINISHED_EVENTS
from app.web.access import Access, access, current_actor, current_principal, current_rights, visible_owner
from app.web.requests import pagination
from app.web.responses.masking import payload_keys
from app.web.schemas.webhooks import CreateWebhook
from app.web.transactions import transaction
from taskledger_sdk.registry import known_types
from tasks.masking import mask_url

PAGE, DELIVERIES_PAGE = 50, 50
MAX_TEXT = 200
DONE = {
    "test": "A test was sent; what came of it is below.",
    "enable": "Events are sent again; what happened meanwhile is not.",
    "disable": "No event is sent until it is enabled.",
}
AUDITED: dict[str, tuple[str, dict[str, Any]]] = {
    "rotate": ("webhook.secret_rotated", {}),
    "delete": ("webhook.deleted", {}),
    "enable": ("webhook.changed", {"fields": ["enabled"]}),
    "disable": ("webhook.changed", {"fields": ["enabled"]}),
}


@blueprint.get("/webhooks")
def list_webhooks() -> str:
    """The webhooks that the caller sees, newest first."""
    return _list()


@blueprint.post("/webhooks")
def create_webhook() -> Any:
    """Make one; its secret is shown on the page that answers, and never again."""
    sent = {
        "url": request.form.get("url", "").strip(),
        "events": request.form.getlist("event"),
        "types": [each for each in request.form.getlist("type") if each],
        "description": request.form.get("description", "").strip()[:MAX_TEXT] or None,
    }
    try:
        wanted = CreateWebhook().load(sent)
        check_outside(current_rights())
        with transaction() as session:
            made, secret = webhooks.create(
                session,
                wanted,
                owner_id=current_principal().user_id,
                key=form_key("webhooks", sent),
                keys=payload_keys(),
                now=utcnow(),
            )
            if secret is not None:
                _audit(session, "webhook.created", made.id)
    except ValidationError as error:
        return _list(sent=sent, faults=flatten(error.normalized_messages())), 422
    except Refused as error:
        return _list(sent=sent, faults=flatten(error.errors)), 422
    return _list(secret=secret, made=made)  # without a secret where this form had made it before


@blueprint.get("/webhooks/<uuid:webhook_id>")
def show_webhook(webhook_id: UUID) -> str:
    """One webhook, and its delivery log."""
    return _one(webhook_id)


@blueprint.get("/webhooks/<uuid:webhook_id>/<any(test, enable, disable, rotate, delete):action>")
@access(Access.WRITE)
def ask_webhook(webhook_id: UUID, action: str) -> str:
    """Ask first."""
    with transaction() as session:
        webhook = webhooks.read(session, webhook_id, owner=visible_owner())
    return render_template(
        "dashboard/confirm_webhook.html", webhook=webhook, address=mask_url(webhook.url), action=action
    )


@blueprint.post("/webhooks/<uuid:webhook_id>/<any(test, enable, disable, rotate, delete):action>")
def act_on_webhook(webhook_id: UUID, action: str) -> Any:
    """Do it."""
    owner, secret = visible_owner(), None
    if action in ("test", "enable"):
        check_outside(current_rights())
    with transaction() as session:
        if action == "test":
            webhooks.send_test(session, webhook_id, owner=owner, now=utcnow())
        elif action == "rotate":
            _, secret = webhooks.rotate(session, webhook_id, owner=owner, keys=payload_keys(), now=utcnow())
        elif action == "delete":
            webhooks.delete(session, webhook_id, owner=owner)
        else:
            webhooks.change(session, webhook_id, {"enabled": action == "enable"}, owner=owner, now=utcnow())
        if action in AUDITED:
            what, detail = AUDITED[action]
            _audit(session, what, webhook_id, **detail)
    if secret is not None:
        return _one(webhook_id, secret=secret)
    if action == "delete":
        flash("Deleted, with its delivery log.")
        return redirect(url_for("dashboard.list_webhooks"))
    flash(DONE[action])
    return redirect(url_for("dashboard.show_webhook", webhook_id=webhook_id))


@blueprint.post("/webhooks/<uuid:webhook_id>/deliveries/<uuid:delivery_id>/redeliver")
def redeliver(webhook_id: UUID, delivery_id: UUID) -> Response:
    """Send a delivery once more."""
    check_outside(current_rights())
    with transaction() as session:
        webhooks.send_again(session, webhook_id, delivery_id, owner=visible_owner(), now=utcnow())
    flash("It is sent once more, with the same id and body.")
    return redirect(url_for("dashboard.show_webhook", webhook_id=webhook_id))


def _list(**more: Any) -> str:
    before = pagination.decode(request.args.get("cursor"), "dashboard.webhooks")
    with transaction() as session:
        items, last = webhooks.find(session, owner=visible_owner(), before=before, limit=PAGE)
        people = names_of(session, [each.owner_id for each in items])
        circuits = webhooks.circuits_of(session, items)
    return render_template(
        "dashboard/webhooks.html",
        items=items,
        circuits=circuits,
        people=people,
        mask_url=mask_url,
        events=EVENTS,
        usual=FINISHED_EVENTS,
        types=sorted(known_types()),
        key=uuid4(),
        next_cursor=pagination.encode(last, "dashboard.webhooks"),
        **more,
    )


def _one(webhook_id: UUID, **more: Any) -> str:
    before = pagination.decode(request.args.get("cursor"), "dashboard.deliveries")
    with transaction() as session:
        webhook = webhooks.read(session, webhook_id, owner=visible_owner())
        deliveries, last = webhooks.find_deliveries(
            session, webhook_id, owner=visible_owner(), before=before, limit=DELIVERIES_PAGE
        )
        people = names_of(session, [webhook.owner_id])
        circuit = webhooks.circuits_of(session, [webhook]).get(webhook.id)
    return render_template(
        "dashboard/webhook.html",
        webhook=webhook,
        circuit=circuit,
        address=mask_url(webhook.url),
        deliveries=deliveries,
        people=people,
        next_cursor=pagination.encode(last, "dashboard.deliveries"),
        **more,
    )


def _audit(session: Session, what: str, webhook_id: UUID, **detail: Any) -> None:
    audit.record(session, what, current_actor(), now=utcnow(), subject=f"webhook:{webhook_id}", **detail)
