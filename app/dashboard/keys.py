"""One's own account: API keys, the password, log-ins."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from flask import flash, redirect, render_template, request, session, url_for
from marshmallow import ValidationError
from werkzeug.wrappers import Response

from app.clock import utcnow
from app.dashboard import rights_form
from app.dashboard.blueprint import blueprint
from app.dashboard.form_keys import form_key
from app.errors import NotFound, Refused
from app.models import Scope
from app.services.accounts import api_keys, audit, sessions, usage, users
from app.web import passwords
from app.web.access import KEYS, Access, access, current_actor, current_principal
from app.web.current_settings import current_settings
from app.web.responses.forgetting import have_browser_forget
from app.web.schemas.accounts import NewApiKey
from app.web.transactions import transaction

PAGE = 100
MAX_NAME = 200
LIFETIMES = {"30": timedelta(days=30), "90": timedelta(days=90), "365": timedelta(days=365), "": None}


@blueprint.get("/account")
@access(Access.ACCOUNT)
def show_account() -> str:
    """The account, and its keys."""
    return _page()


@blueprint.post("/account/keys")
@access(Access.ACCOUNT)
def make_key() -> Any:
    """Make a key; it is shown on the page that answers, and never again."""
    principal = current_principal()
    name = request.form.get("name", "").strip()[:MAX_NAME].replace("\0", "")
    scopes = [scope for scope in request.form.getlist("scope") if scope in set(Scope)]
    limited = rights_form.lists(request.form)
    lifetime = LIFETIMES.get(request.form.get("days", ""))
    try:
        if not name:
            raise Refused({"name": ["is missing: say what the key is for"]})
        if not scopes:
            raise Refused({"scopes": ["must be one at least"]})
        limited = _checked(limited)
        with transaction() as database:
            made, key = api_keys.create(
                database,
                principal.user_id,
                name=name,
                scopes=scopes,
                expires_at=utcnow() + lifetime if lifetime else None,
                now=utcnow(),
                is_admin=principal.is_admin,
                once=form_key(
                    "api-keys",
                    {"name": name, "scopes": scopes, "days": request.form.get("days", ""), **limited},
                ),
                allowed_types=limited["allowed_types"],
                allowed_queues=limited["allowed_queues"],
            )
            if key is not None:
                subject = f"api_key:{made.id}"
                actor = current_actor()
                audit.record(
                    database,
                    "api_key.created",
                    actor,
                    now=utcnow(),
                    subject=subject,
                    name=name,
                    scopes=scopes,
                    **limited,
                )
    except Refused as error:
        return _page(fault=str(error)), 422
    return _page(made=made, new_key=key)  # without a key where this form had made it before


@blueprint.get("/account/keys/<uuid:key_id>/revoke")
@access(Access.ACCOUNT)
def ask_revoke_key(key_id: UUID) -> str:
    """Ask first."""
    principal = current_principal()
    with transaction() as database:
        keys, _ = api_keys.find(database, principal.user_id, before=None, limit=PAGE)
    key = next((each for each in keys if each.id == key_id), None)
    if key is None:
        raise NotFound("There is no such key among yours.")
    return render_template("dashboard/confirm_key.html", key=key)


@blueprint.post("/account/keys/<uuid:key_id>/revoke")
@access(Access.ACCOUNT)
def revoke_key(key_id: UUID) -> Response:
    """Refuse a key of one's own from now on."""
    with transaction() as database:
        revoked = api_keys.revoke(database, key_id, owner=current_principal().user_id, now=utcnow())
        audit.record(database, "api_key.revoked", current_actor(), now=utcnow(), subject=f"api_key:{revoked.id}")
    KEYS.forget()
    flash(f"The key {revoked.name} is revoked.")
    return redirect(url_for("dashboard.show_account"))


@blueprint.post("/account/password")
@access(Access.ACCOUNT)
def change_password() -> Any:
    """Change the password; every log-in ends, this one included."""
    current, new = (request.form.get(name, "") for name in ("current_password", "new_password"))
    try:
        passwords.change_password(current, new)
    except Refused as error:
        return _page(password_fault=str(error)), 422
    session.clear()
    have_browser_forget()
    flash("The password is changed and every log-in has ended: log in with the new one.")
    return redirect(url_for("dashboard.log_in"))


@blueprint.post("/account/log-out-everywhere")
@access(Access.ACCOUNT)
def log_out_everywhere() -> Response:
    """End every log-in of the account."""
    principal = current_principal()
    with transaction() as database:
        sessions.end_all(database, principal.user_id, now=utcnow())
        audit.record(database, "user.logged_out_everywhere", current_actor(), now=utcnow())
    session.clear()
    have_browser_forget()
    flash("Every log-in has ended; API keys go on.")
    return redirect(url_for("dashboard.log_in"))


def _checked(limited: dict[str, list[str] | None]) -> dict[str, list[str] | None]:
    """The lists as the API takes them. Raises Refused."""
    try:
        checked = NewApiKey(only=tuple(rights_form.LISTS)).load(limited)
    except ValidationError as error:
        raise Refused(error.normalized_messages()) from None
    return {name: checked[name] for name in rights_form.LISTS}


def _page(**more: Any) -> str:
    principal = current_principal()
    with transaction() as database:
        account = users.read(database, principal.user_id)
        keys, _ = api_keys.find(database, principal.user_id, before=None, limit=PAGE)
        used = usage.of_account(database, account, settings=current_settings())
    scopes = [scope for scope in Scope if scope not in (Scope.WORK, Scope.ADMIN) or principal.is_admin]
    return render_template(
        "dashboard/account.html",
        account=account,
        keys=keys,
        used=used,
        reaches_outside=all(each.reaches_outside for each in principal.rights),
        scopes=scopes,
        lifetimes=list(LIFETIMES),
        form_key=uuid4(),
        **more,
    )
