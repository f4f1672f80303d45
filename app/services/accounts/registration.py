"""Making accounts."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from app.database import Session
from app.errors import ProblemError
from app.models import Role, User, UserRecord, new_id
from app.services.accounts import addresses
from app.services.accounts.sessions import end_all

USERS = User.metadata.tables["users"]
RECORD_COLUMNS = [USERS.c[name] for name in UserRecord.__slots__]


class EmailTaken(ProblemError):
    """There is an account of this e-mail address already."""

    status, code = 409, "email_taken"


def create(
    session: Session,
    *,
    email: str,
    name: str,
    password_hash: str,
    now: datetime,
    role: Role = Role.USER,
    may_reach_outside: bool | None = True,
) -> UserRecord:
    """Make an account; passwords.check_new and passwords.hashed come before, outside of any transaction.

    `may_reach_outside` None: no admin has decided, and NEW_ACCOUNTS_REACH_OUTSIDE says. Raises EmailTaken, also for an
    address that only differs in case.
    """
    values = {
        "id": new_id(),
        "email": addresses.checked(email),
        "name": name,
        "password_hash": password_hash,
        "role": role.value,
        "may_reach_outside": may_reach_outside,
        "created_at": now,
        "updated_at": now,
    }
    # Not by way of an error: PostgreSQL would write the whole statement, hash included, into its log.
    statement = insert(USERS).values(values).on_conflict_do_nothing(index_elements=[sa.func.lower(USERS.c.email)])
    row = session.execute(statement.returning(*RECORD_COLUMNS)).mappings().first()
    if row is None:
        raise EmailTaken(f"There is an account for {email} already: log in, or register another address.")
    return UserRecord(**row)


def set_password(session: Session, user_id: UUID, password_hash: str, *, now: datetime) -> None:
    """Replace a password; every log-in of the account ends, API keys stay."""
    session.execute(sa.update(USERS).where(USERS.c.id == user_id).values(password_hash=password_hash, updated_at=now))
    end_all(session, user_id, now=now)
