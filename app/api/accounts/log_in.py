"""/auth: register, log in, refresh, log out; who am I."""

from typing import Any

import marshmallow as ma
from flask import Response, g, request
from werkzeug.exceptions import Forbidden

from app.clock import utcnow
from app.models import Role, UserRecord
from app.services.accounts import audit, passwords, registration, rights, sessions, tokens, usage, users
from app.services.accounts.sessions import LoggedIn, Reused
from app.web import passwords as logging_in
from app.web.access import Access, access, current_actor, current_principal, gate, unauthorized
from app.web.blueprint import Blueprint
from app.web.current_settings import current_settings
from app.web.fields import Instant, one_of, text
from app.web.requests.parsing import StrictSchema
from app.web.responses.forgetting import have_browser_forget
from app.web.schemas.accounts import email, new_password
from app.web.transactions import transaction

blueprint = Blueprint(
    "auth", __name__, url_prefix="/api/v1/auth", description="Accounts: people log in, programs use keys"
)

MAX_TOKEN = 200


class Registration(StrictSchema):
    """A new account."""

    email = email()
    password = new_password()
    name = text(200, required=True, metadata={"examples": ["Ada"]})


class LogIn(StrictSchema):
    """Who it is. An address that registering would refuse today may be that of an account of before."""

    email = text(1000, required=True, metadata={"examples": ["ada@example.com"]})
    password = text(1000, required=True, metadata={"format": "password", "examples": ["correct horse battery"]})


class RefreshTokenBody(StrictSchema):
    """The refresh token of the last answer."""

    refresh_token = text(MAX_TOKEN, required=True)


class LogOut(StrictSchema):
    """The log-in to end: of this refresh token, or of the access token that is sent as usual."""

    may_be_left_out = True

    refresh_token = text(MAX_TOKEN)


class NewPassword(StrictSchema):
    """The old password and the new one."""

    current_password = text(1000, required=True, metadata={"format": "password"})
    new_password = new_password()


def _limit(description: str) -> ma.fields.List[str]:
    return ma.fields.List(ma.fields.String(), required=True, allow_none=True, metadata={"description": description})


class AccountView(ma.Schema):
    """An account."""

    id = ma.fields.UUID(required=True)
    email = ma.fields.String(required=True)
    name = ma.fields.String(required=True)
    role = one_of(Role, required=True)
    max_waiting_tasks = ma.fields.Integer(
        required=True, allow_none=True, metadata={"description": "A quota of its own; null: the service's"}
    )
    max_stored_bytes = ma.fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "A quota of its own for stored files; null: the service's"},
    )
    allowed_types = _limit("Task types that it may use; null: all")
    allowed_queues = _limit("Queues whose task types it may use; null: all")
    may_reach_outside = ma.fields.Boolean(
        required=True,
        allow_none=True,
        metadata={
            "description": "Whether it may use what reaches outside; null: no admin has decided, and "
            "NEW_ACCOUNTS_REACH_OUTSIDE says"
        },
    )
    created_at = Instant(required=True)
    last_login_at = Instant(required=True, allow_none=True)
    disabled_at = Instant(required=True, allow_none=True, metadata={"description": "Since when it is closed"})


class QuotaView(ma.Schema):
    """How much of something is used."""

    used = ma.fields.Integer(required=True)
    allowed = ma.fields.Integer(required=True, allow_none=True, metadata={"description": "null: no quota"})


class QuotasView(ma.Schema):
    """The quotas of an account."""

    waiting_tasks = ma.fields.Nested(
        QuotaView,
        required=True,
        metadata={"description": "Tasks that wait, and steps of runs that have a place and no task yet"},
    )
    stored_bytes = ma.fields.Nested(
        QuotaView, required=True, metadata={"description": "Bytes of files, uploaded or made by tasks"}
    )


class Me(AccountView):
    """The caller's account, and what the credential may be used for."""

    scopes = ma.fields.List(ma.fields.String(), required=True)
    allowed_types = _limit("Task types that both the account and the credential may use; null: all")
    allowed_queues = _limit("Queues whose task types both may use; null: all")
    reaches_outside = ma.fields.Boolean(
        required=True, metadata={"description": "Whether it may use now what reaches outside"}
    )
    quotas = ma.fields.Nested(QuotasView, required=True)


class TokensView(ma.Schema):
    """An access token for requests, and a refresh token for the next pair; each refresh token is good for one use."""

    access_token = ma.fields.String(required=True)
    token_type = ma.fields.String(required=True, metadata={"enum": ["Bearer"]})
    expires_in = ma.fields.Integer(required=True, metadata={"description": "Seconds until the access token ends"})
    refresh_token = ma.fields.String(required=True)


@blueprint.post("/register")
@blueprint.arguments(Registration())
@blueprint.response(201, AccountView())
@blueprint.problem(403, "Registration is closed")
@blueprint.problem(409, "There is an account of this address")
@access(Access.OPEN)
def register_account(asked: dict[str, Any]) -> UserRecord:
    """Make an account of one's own."""
    if current_settings().registration == "closed":
        raise Forbidden("Registration is closed here: ask an admin for an account.")
    passwords.check_new(asked["password"], email=asked["email"], name=asked["name"])
    password_hash = passwords.hashed(asked["password"])
    with transaction() as session:
        made = registration.create(
            session,
            email=asked["email"],
            name=asked["name"],
            password_hash=password_hash,
            now=utcnow(),
            may_reach_outside=None,
        )
        audit.record(session, "user.registered", current_actor(), now=utcnow(), subject=f"user:{made.id}")
    return made


@blueprint.post("/login")
@blueprint.arguments(LogIn())
@blueprint.response(200, TokensView())
@blueprint.problem(401, "Wrong e-mail address or password; the answer does not tell which")
@access(Access.OPEN)
def log_in(asked: dict[str, Any]) -> dict[str, Any]:
    """Log in."""
    return _tokens(logging_in.log_in(asked["email"], asked["password"]))


@blueprint.post("/refresh")
@blueprint.arguments(RefreshTokenBody())
@blueprint.response(200, TokensView())
@blueprint.problem(401, "Not a refresh token of ours, used before, expired or revoked")
@access(Access.OPEN)
def refresh(asked: dict[str, Any]) -> dict[str, Any]:
    """Get the next pair of tokens; using a refresh token twice ends the log-in, for it may have been stolen."""
    with transaction() as session:
        max_age = current_settings().max_log_in
        outcome = sessions.rotate(session, asked["refresh_token"], max_age=max_age, now=utcnow())
        if isinstance(outcome, Reused):
            audit.record(
                session, "session.token_reused", current_actor(), now=utcnow(), subject=f"user:{outcome.user_id}"
            )
    if isinstance(outcome, LoggedIn):
        return _tokens(outcome)
    raise unauthorized("The refresh token is not valid, or was used before: log in again.")


@blueprint.post("/logout")
@blueprint.arguments(LogOut(), required=False)
@blueprint.response(204, description="Ended; also when it had ended before")
@blueprint.problem(401, "Neither a refresh token nor an access token was sent")
@access(Access.OPEN)
def log_out(asked: dict[str, Any]) -> None:
    """End this log-in: its refresh token and its access tokens are refused from now on."""
    is_caller_known = "Authorization" in request.headers
    if is_caller_known:
        g.principal = gate().identify(Access.ANY)
    elif "refresh_token" not in asked:
        raise unauthorized("Send the access token as usual, or the refresh token in the body.")
    with transaction() as session:
        families = [g.principal.family] if is_caller_known else []
        if "refresh_token" in asked:
            families.append(sessions.family_of(session, asked["refresh_token"]))
        for family in filter(None, families):
            sessions.end_family(session, family, now=utcnow())
        audit.record(session, "user.logged_out", current_actor(), now=utcnow())
    have_browser_forget()


@blueprint.post("/logout-all")
@blueprint.response(204, description="Every log-in of the account has ended; API keys stay")
@access(Access.ACCOUNT)
def log_out_everywhere() -> None:
    """End every log-in of the account, everywhere and at once."""
    principal = current_principal()
    with transaction() as session:
        sessions.end_all(session, principal.user_id, now=utcnow())
        audit.record(session, "user.logged_out_everywhere", current_actor(), now=utcnow())
    have_browser_forget()


@blueprint.post("/password")
@blueprint.arguments(NewPassword())
@blueprint.response(204, description="Changed; every log-in has ended")
@blueprint.problem(422, "The current password is wrong, or the new one too easy to guess")
@access(Access.ACCOUNT)
def change_password(asked: dict[str, Any]) -> None:
    """Change the password; every log-in ends, API keys stay."""
    logging_in.change_password(asked["current_password"], asked["new_password"])


@blueprint.get("/me")
@blueprint.response(200, Me())
@access(Access.ANY)
def read_me() -> dict[str, Any]:
    """Read the caller's own account."""
    principal = current_principal()
    with transaction(autocommit=True) as session:
        account = users.read(session, principal.user_id)
        used = usage.of_account(session, account, settings=current_settings())
    return {
        **{name: getattr(account, name) for name in UserRecord.__slots__},
        "allowed_types": rights.common(each.types for each in principal.rights),
        "allowed_queues": rights.common(each.queues for each in principal.rights),
        "scopes": sorted(principal.scopes),
        "reaches_outside": all(each.reaches_outside for each in principal.rights),
        "quotas": used,
    }


def _tokens(begun: LoggedIn) -> dict[str, Any]:
    return {
        "access_token": gate().token_for(begun.claims),
        "token_type": "Bearer",
        "expires_in": int(tokens.LIFETIME.total_seconds()),
        "refresh_token": begun.refresh_token,
    }


@blueprint.after_request
def _keep_nothing(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"  # tokens must not lie in a cache
    return response
