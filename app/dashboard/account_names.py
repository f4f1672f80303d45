"""Accounts by id, as pages name them."""

from collections.abc import Iterable
from uuid import UUID

from app.database import Session
from app.services.accounts import users
from app.web.access import current_principal


def names_of(session: Session, ids: Iterable[UUID | None]) -> dict[UUID, str]:
    """E-mail addresses by account; for admins only, as others see nothing but their own."""
    wanted = {id_ for id_ in ids if id_ is not None}
    return users.emails(session, wanted) if wanted and current_principal().is_admin else {}
