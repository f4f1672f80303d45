"""What may be said of accounts and their keys, over HTTP and in forms."""

from marshmallow import validate

from app.models import Role, Scope
from app.services.accounts import passwords
from app.web.fields import Few, one_of, text, whole
from app.web.requests.parsing import StrictSchema
from app.web.schemas.rights import allowed_queues_field, allowed_types_field
from taskledger_sdk.payload import fields as strict

READ_ONLY = frozenset({"id", "created_at", "last_login_at", "disabled_at"})


def email() -> strict.MailAddress:
    """The e-mail address of an account, in the form in which it is stored; without a name."""
    return strict.MailAddress(required=True, metadata={"examples": ["ada@example.com"]})


def new_password() -> strict.Text:
    """A password to be."""
    length = validate.Length(passwords.SHORTEST, passwords.LONGEST, error="must have {min} to {max} characters")
    metadata = {"format": "password", "pattern": r"^[^\u0000]*$", "description": "None of the most common ones"}
    return strict.Text(required=True, validate=[length], metadata={**metadata, "examples": ["correct horse battery"]})


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


class NewApiKey(StrictSchema):
    """A key to be made."""

    name = text(200, required=True, metadata={"description": "What it is for", "examples": ["nightly import"]})
    scopes = Few(
        one_of(Scope),
        required=True,
        validate=validate.Length(1, len(Scope), error="must be {min} to {max} scopes"),
        metadata={
            "description": "What it may be used for; admin includes the others and needs an admin's account",
            "examples": [["tasks:read", "tasks:write"]],
        },
    )
    expires_at = strict.Moment(
        load_default=None, allow_none=True, metadata={"description": "Refused from then on; null: never"}
    )
    allowed_types = allowed_types_field(load_default=None)
    allowed_queues = allowed_queues_field(load_default=None)
