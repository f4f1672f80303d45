"""/users: accounts, for admins."""

from typing import Any
from uuid import UUID

import marshmallow as ma

from app.api.accounts.log_in import AccountView
from app.clock import utcnow
from app.errors import NotFound
from app.models import Role, UserRecord
from app.models.page import Page
from app.services.accounts import audit, passwords, registration, sessions, users
from app.web.access import KEYS, Access, access, current_actor
from app.web.blueprint import Blueprint
from app.web.fields import text
from app.web.requests.pagination import PageQuery
from app.web.schemas.accounts import ChangeUser, NewUser
from app.web.transactions import transaction
from taskledger_sdk.payload.fields import UUID_TEXT

blueprint = Blueprint("users", __name__, url_prefix="/api/v1", description="Accounts, for admins")

USER_ID = [{"name": "user_id", "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}}]


class UserFilter(PageQuery):
    """Query parameters of the list."""

    q = text(200, metadata={"description": "Part of the name or the e-mail address; case does not matter"})


class UserList(ma.Schema):
    """A page of accounts, newest first."""

    items = ma.fields.List(ma.fields.Nested(AccountView), required=True)
    next = ma.fields.String(required=True, allow_none=True)


@blueprint.get("/users")
@blueprint.pages(UserList(), "users", query=UserFilter())
@access(Access.ADMIN)
def list_users(query: dict[str, Any]) -> Page[UserRecord]:
    """List accounts."""
    with transaction(autocommit=True) as session:
        return users.find(session, text=query.get("q"), before=query["before"], limit=query["limit"])


@blueprint.post("/users")
@blueprint.arguments(NewUser())
@blueprint.response(201, AccountView())
@blueprint.problem(409, "There is an account of this address")
@access(Access.ADMIN)
def create_user(asked: dict[str, Any]) -> UserRecord:
    """Make an account for somebody; also while registration is closed."""
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
    return made


@blueprint.get("/users/<user_id>", parameters=USER_ID)
@blueprint.response(200, AccountView())
@access(Access.ADMIN)
def read_user(user_id: str) -> UserRecord:
    """Read an account."""
    id_ = _parse_id(user_id)
    with transaction(autocommit=True) as session:
        return users.read(session, id_)


@blueprint.patch("/users/<user_id>", parameters=USER_ID)
@blueprint.arguments(ChangeUser())
@blueprint.response(200, AccountView())
@blueprint.problem(409, "It is the last open admin account")
@access(Access.ADMIN)
def change_user(fields: dict[str, Any], user_id: str) -> UserRecord:
    """Change role, name, quotas or rights of an account, or close it; a new role ends its log-ins at once.

    New quotas and rights hold for API keys within 2 seconds in every process, for access tokens and SQL at once.
    """
    id_ = _parse_id(user_id)
    with transaction() as session:
        changed = users.change(session, id_, fields, now=utcnow())
        audit.record(session, "user.changed", current_actor(), now=utcnow(), subject=f"user:{id_}", **fields)
    KEYS.forget()
    return changed


@blueprint.post("/users/<user_id>/logout", parameters=USER_ID)
@blueprint.response(204, description="Every log-in of the account has ended; its API keys stay")
@access(Access.ADMIN)
def log_user_out(user_id: str) -> None:
    """End every log-in of an account, everywhere and at once; somebody may have lost a device."""
    id_ = _parse_id(user_id)
    with transaction() as session:
        users.read(session, id_)
        sessions.end_all(session, id_, now=utcnow())
        audit.record(session, "user.log_ins_ended", current_actor(), now=utcnow(), subject=f"user:{id_}")


def _parse_id(text_: str) -> UUID:
    if not UUID_TEXT.fullmatch(text_):
        raise NotFound("There is no such account: GET /api/v1/users lists them.")
    return UUID(text_)
