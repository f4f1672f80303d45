"""Accounts; for admins."""

from typing import Any
from uuid import UUID

from flask import flash, redirect, render_template, request, url_for
from marshmallow import ValidationError

from app.api import pagination
from app.api.auth import KEYS, Access, access, current_actor
from app.api.environment import current_settings
from app.api.transaction import transaction
from app.api.users import ChangeUser, NewUser
from app.clock import utcnow
from app.dashboard import rights_form
from app.dashboard.blueprint import blueprint
from app.errors import Conflict, Refused, flatten
from app.models import Role, UserRecord
from app.services.accounts import audit, passwords, registration, usage, users
from app.services.accounts.registration import EmailTaken

PAGE = 50
LONGEST = 200
QUOTAS = ("max_waiting_tasks", "max_stored_bytes")
OUTSIDE = {"yes": True, "no": False, "": None}


@blueprint.get("/accounts")
@access(Access.ADMIN)
def list_accounts() -> str:
    """All of them, newest first."""
    return _list()


@blueprint.post("/accounts")
@access(Access.ADMIN)
def make_account() -> Any:
    """Make an account for somebody."""
    sent = {name: request.form.get(name, "") for name in ("email", "name", "password", "role")}
    try:
        asked = NewUser().load({**sent, "email": sent["email"].strip()})
        passwords.check_new(asked["password"], email=asked["email"], name=asked["name"])
        password_hash = passwords.hashed(asked["password"])
        with transaction() as session:
            made = registration.create(
                session,
                email=asked["email"],
                name=asked["name"],
                password_hash=password_hash,
                now=utcnow(),
                role=Role(asked["role"]),
            )
            subject = f"user:{made.id}"
            audit.record(session, "user.created", current_actor(), now=utcnow(), subject=subject, role=made.role)
    except (ValidationError, Refused, EmailTaken) as error:
        return _list(faults=_messages(error), sent=sent), 422
    flash(f"Made an account for {made.email}.")
    return redirect(url_for("dashboard.list_accounts"))


@blueprint.get("/accounts/<uuid:user_id>")
@access(Access.ADMIN)
def show_user(user_id: UUID) -> str:
    """One account, with the form that changes it."""
    with transaction() as session:
        account = users.read(session, user_id)
    return _one(account)


@blueprint.post("/accounts/<uuid:user_id>")
@access(Access.ADMIN)
def change_account(user_id: UUID) -> Any:
    """Change role, name, quotas or rights, or close the account; what the form does not hold stays."""
    sent: dict[str, Any] = {
        "name": request.form.get("name", ""),
        "role": request.form.get("role", ""),
        "is_disabled": "is_disabled" in request.form,
        **{name: _number(request.form[name]) for name in QUOTAS if name in request.form},
        **rights_form.lists(request.form),
    }
    if "may_reach_outside" in request.form:
        sent["may_reach_outside"] = OUTSIDE.get(request.form["may_reach_outside"])
    with transaction() as session:
        account = users.read(session, user_id)
    try:
        fields = ChangeUser().load(sent)
        with transaction() as session:
            account = users.change(session, user_id, fields, now=utcnow())
            audit.record(session, "user.changed", current_actor(), now=utcnow(), subject=f"user:{user_id}", **fields)
    except (ValidationError, Refused, Conflict) as error:
        return _one(account, faults=_messages(error)), 422
    KEYS.forget()
    flash(f"Changed {account.email}.")
    return redirect(url_for("dashboard.show_user", user_id=user_id))


def _number(text: str) -> int | str | None:
    """What a field for a number holds; None when it is blank, and the text itself where it is no number."""
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() else text or None


def _list(**more: Any) -> str:
    text = request.args.get("q", "").strip()[:LONGEST].replace("\0", "")
    before = pagination.decode(request.args.get("cursor"), "dashboard.accounts")
    with transaction() as session:
        items, last = users.find(session, text=text or None, before=before and UUID(before), limit=PAGE)
    next_cursor = pagination.encode(last and str(last), "dashboard.accounts")
    return render_template("dashboard/accounts.html", items=items, next_cursor=next_cursor, roles=list(Role), **more)


def _one(account: UserRecord, **more: Any) -> str:
    with transaction() as session:
        used = usage.of_account(session, account, settings=current_settings())
    return render_template(
        "dashboard/account_edit.html",
        account=account,
        roles=list(Role),
        used=used,
        outside="open" if current_settings().lets_new_accounts_out else "closed",
        **more,
    )


def _messages(error: Exception) -> list[str]:
    if isinstance(error, ValidationError):
        return [f"{path}: {message}" for path, message in flatten(error.normalized_messages())]
    return [str(error)]
