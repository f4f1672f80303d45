"""E-mail addresses of accounts: in one form, and equal whatever their case, as the index of the table has it."""

import sqlalchemy as sa

from app.errors import Refused
from app.models import User
from taskledger_sdk.payload.mail_addresses import canonical

USERS = User.metadata.tables["users"]


def checked(email: str) -> str:
    """The form in which it is stored. Raises Refused (email)."""
    try:
        return canonical(email)
    except ValueError as fault:
        raise Refused({"email": [str(fault)]}) from None


def known(email: str) -> str:
    """The form in which it is looked for; what is no address (or was one by the rules of before) stays as it is."""
    try:
        return canonical(email)
    except ValueError:
        return email


def is_of(email: str) -> sa.ColumnElement[bool]:
    """Rows of accounts with this address. PostgreSQL lowers both sides, because Python lowers other letters than it."""
    return sa.func.lower(USERS.c.email) == sa.func.lower(sa.literal(known(email)))
