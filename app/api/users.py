"""/users: accounts, for admins."""

from typing import Any
from uuid import UUID

import marshmallow as ma

from app.api import pagination
from app.api.accounts import AccountView, email, new_password
from app.api.auth import KEYS, Access, access, current_actor
from app.api.fields import one_of, text, whole
from app.api.pagination import Page
from app.api.parsing import Blueprint, StrictSchema
from app.api.rights_fields import allowed_queues_field, allowed_types_field
from app.api.transaction import single_statement, transaction
from app.clock import utcnow
from app.errors import NotFound
from app.models import Role, UserRecord
from app.services.accounts import audit, passwords, registration, users
from tasks import fields as strict
from tasks.fields import UUID_TEXT

blueprint = Blueprint("users", __name__, url_prefix="/api/v1", description="Accounts, for admins")

USER_ID = [{"name": "user_id", "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}}]
READ_ONLY = frozenset({"id", "created_at", "last_login_at", "disabled_at"})


class UserFilter(Page):
    """Query parameters of the list."""

    q = text(200, metadata={"description": "Part of the name or the e-mail address; case does not matter"})


class NewUser(StrictSchema):
    """An account that an admin makes for somebody."""

    read_only = READ_ONLY

    email = email()
    password = new_password()
    name = text(200, required=True)
    role = one_of(Role, load_default=Role.USER.value)


class ChangeUser(StrictSchema):
    """What an admin changes; what is left out stays."""

    read_only = READ_ONLY | {"email"}

    name = text(200)
    role = one_of(Role)
    is_disabled = strict.Flag(metadata={"description": "A closed account's keys and log-ins are refused"})
    max_waiting_tasks = whole(
        0, 1_000_000_000, allow_none=True, metadata={"description": "0: no quota; null: the service's own"}
    )
    max_stored_bytes = whole(
        0, 2**60, allow_none=True, metadata={"description": "Of files; 0: no quota; null: the service's own"}
    )
    allowed_types = allowed_types_field()
    allowed_queues = allowed_queues_field()
    may_reach_outside = strict.Flag(
        allow_none=True,
        metadata={
            "description": "Whether it may use task types that reach outside, webhooks and callbacks; null: "
            "NEW_ACCOUNTS_REACH_OUTSIDE says"
        },
    )


class UserList(ma.Schema):
    """A page of accounts, newest first."""

    items = ma.fields.List(ma.fields.Nested(AccountView), required=True)
    next = ma.fields.String(required=True, allow_none=True)


@blueprint.get("/users")
@blueprint.arguments(UserFilter(), location="query")
@blueprint.response(200, UserList())
@access(Access.ADMIN)
def list_users(query: dict[str, Any]) -> dict[str, Any]:
    """List accounts."""
    before = pagination.decode(query["cursor"], "users")
    with single_statement() as session:
        items, last = users.find(session, text=query.get("q"), before=before and UUID(before), limit=query["limit"])
    return {"items": items, "next": pagination.encode(last and str(last), "users")}


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
    with single_statement() as session:
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


def _parse_id(text_: str) -> UUID:
    if not UUID_TEXT.fullmatch(text_):
        raise NotFound("There is no such account: GET /api/v1/users lists them.")
    return UUID(text_)
