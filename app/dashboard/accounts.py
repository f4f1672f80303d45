"""Accounts; for admins."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from flask import flash, redirect, render_template, request, url_for
from marshmallow import ValidationError

from app.clock import utcnow
from app.dashboard import rights_form, untouched
from app.dashboard.blueprint import blueprint
from app.errors import Conflict, Refused, flatten
from app.models import Role, UserRecord
from app.services.accounts import audit, passwords, registration, sessions, usage, users
from app.services.accounts.registration import EmailTaken
from app.web.access import KEYS, Access, access, current_actor
from app.web.current_settings import current_settings
from app.web.requests import pagination
from app.web.schemas.accounts import ChangeUser, NewUser
from app.web.transactions import transaction

PAGE = 50
LONGEST = 200
QUOTAS = ("max_waiting_tasks", "max_stored_bytes")
OUTSIDE = {"yes": True, "no": False, "": None}
KINDS = {
    "name": "text",
    "role": "choice",
    **dict.fromkeys(QUOTAS, "whole"),
    **dict.fromkeys(rights_form.LISTS, "text"),
    "may_reach_outside": "choice",
}
CLOSED = "is_disabled"


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
    """Change role, name, quotas or rights, or close the account; what nobody touched stays."""
    with transaction() as session:
        account = users.read(session, user_id)
    sent = _touched(account)
    if not sent:
        flash("Nothing was changed.")
        return redirect(url_for("dashboard.show_user", user_id=user_id))
    try:
        fields = ChangeUser().load(sent)
        with transaction() as session:
            account = users.change(session, user_id, fields, now=utcnow())
            audit.record(session, "user.changed", current_actor(), now=utcnow(), subject=f"user:{user_id}", **fields)
    except (ValidationError, Refused, Conflict) as error:
        return _one(account, faults=_messages(error), sent=request.form), 422
    KEYS.forget()
    flash(f"Changed {account.email}.")
    return redirect(url_for("dashboard.show_user", user_id=user_id))


@blueprint.post("/accounts/<uuid:user_id>/log-out")
@access(Access.ADMIN)
def end_log_ins(user_id: UUID) -> Any:
    """End every log-in of an account; its keys go on."""
    with transaction() as session:
        account = users.read(session, user_id)
        sessions.end_all(session, user_id, now=utcnow())
        audit.record(session, "user.log_ins_ended", current_actor(), now=utcnow(), subject=f"user:{user_id}")
    flash(f"Every log-in of {account.email} has ended; its keys go on.")
    return redirect(url_for("dashboard.show_user", user_id=user_id))


def _list(**more: Any) -> str:
    text = request.args.get("q", "").strip()[:LONGEST].replace("\0", "")
    before = pagination.decode(request.args.get("cursor"), "dashboard.accounts")
    with transaction() as session:
        items, last = users.find(session, text=text or None, before=before, limit=PAGE)
    next_cursor = pagination.encode(last, "dashboard.accounts")
    return render_template("dashboard/accounts.html", items=items, next_cursor=next_cursor, roles=list(Role), **more)


def _one(account: UserRecord, *, sent: Mapping[str, str] | None = None, **more: Any) -> str:
    """The page; what was sent and refused is drawn again, beside what the form showed at first."""
    with transaction() as session:
        used = usage.of_account(session, account, settings=current_settings())
    shown = _shown(account) if sent is None else _shown_before(account)
    texts = shown if sent is None else {name: sent.get(name, "") for name in (*KINDS, CLOSED)}
    return render_template(
        "dashboard/account_edit.html",
        account=account,
        roles=list(Role),
        used=used,
        outside="open" if current_settings().lets_new_accounts_out else "closed",
        texts=texts,
        shown=untouched.pack(shown),
        **more,
    )


def _shown(account: UserRecord) -> dict[str, str]:
    """The account as the form shows it."""
    quotas = {name: getattr(account, name) for name in QUOTAS}
    return {
        "name": account.name,
        "role": account.role,
        **{name: "" if quota is None else str(quota) for name, quota in quotas.items()},
        **{name: rights_form.shown(getattr(account, name)) for name in rights_form.LISTS},
        "may_reach_outside": next(word for word, value in OUTSIDE.items() if value is account.may_reach_outside),
        CLOSED: "" if account.disabled_at is None else "1",
    }


def _shown_before(account: UserRecord) -> dict[str, str]:
    """What the form that was sent showed; as the account is now where the form does not carry it."""
    found = untouched.unpack(request.form.get(untouched.FIELD, ""))
    stored = _shown(account)
    is_ours = isinstance(found, Mapping) and found.keys() == stored.keys()
    return {name: str(text) for name, text in found.items()} if is_ours else stored


def _touched(account: UserRecord) -> dict[str, Any]:
    """What somebody changed in the form, as the API takes it."""
    shown = _shown_before(account)
    typed = {name: request.form[name] for name in untouched.touched(request.form, shown, KINDS)}
    sent: dict[str, Any] = {**typed, **rights_form.lists(typed)}
    for name in typed.keys() & set(QUOTAS):
        sent[name] = untouched.whole_typed(typed[name])
    if "may_reach_outside" in typed:
        sent["may_reach_outside"] = OUTSIDE.get(typed["may_reach_outside"])
    if (CLOSED in request.form) != bool(shown[CLOSED]):
        sent[CLOSED] = CLOSED in request.form
    return sent


def _messages(error: Exception) -> list[str]:
    if isinstance(error, ValidationError):
        return [f"{path}: {message}" for path, message in flatten(error.normalized_messages())]
    return [str(error)]
