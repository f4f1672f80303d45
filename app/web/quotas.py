"""Quotas of the caller, and of others whose tasks the caller starts: room for waiting tasks, the size of payloads."""

from typing import Any
from uuid import UUID

from flask import request

from app.database import Session
from app.services.accounts import quotas
from app.services.accounts.allowance import Allowance
from app.services.accounts.quotas import WAITING_TASKS, MakeRoom, RoomOf, TakeRoom, check_payload
from app.services.accounts.rights import OF_KEY
from app.web.access import current_principal, current_rights
from app.web.current_settings import current_settings
from app.web.transactions import transaction


def has_plain_room(tasks: int) -> bool:
    """Make room for new tasks outside of any transaction, mostly without asking the database.

    False near the quota: then nothing was taken, and the places must be taken in the transaction that stores the tasks.
    """
    owner_id, most = _quota()
    if WAITING_TASKS.take_known(owner_id, tasks, most=most):
        return True
    if not WAITING_TASKS.needs_look(owner_id, tasks, most=most):
        return False
    with transaction(autocommit=True) as session:
        return WAITING_TASKS.take_far(session, owner_id, tasks, most=most)


def room_in(session: Session) -> MakeRoom:
    """Makes room for so many tasks. Raises QuotaReached (too many wait); then there is room for none of them."""
    owner_id, most = _quota()
    return lambda tasks: WAITING_TASKS.take(session, owner_id, tasks, most=most)


def some_room_in(session: Session) -> TakeRoom:
    """Makes room for as many of so many tasks as there are places."""
    owner_id, most = _quota()
    return lambda tasks: WAITING_TASKS.take_some(session, owner_id, tasks, most=most)


def rooms_in(session: Session) -> RoomOf:
    """The same of whichever account the tasks will belong to: an admin may start what is somebody else's."""
    return quotas.rooms(session, default=current_settings().max_waiting_tasks)


def allowance_in(session: Session) -> Allowance:
    """What the caller may start in a transaction: types by the caller's rights, and as many tasks as there is room."""
    return Allowance(rights=current_rights(), room_of=rooms_in(session))


def compensation_allowance() -> Allowance:
    """What the caller may compensate: an account everything that it did, a limited API key only tasks of its own types.

    No quota and no right of the account stops a compensation: what was done may have to be taken back.
    """
    return Allowance(rights=tuple(each for each in current_rights() if each.holder == OF_KEY))


def _quota() -> tuple[UUID, int]:
    principal = current_principal()
    own = principal.max_waiting_tasks
    return principal.user_id, current_settings().max_waiting_tasks if own is None else own


def may_be_large() -> bool:
    """Whether a payload of this request may be too large; those of a body that is small enough are not looked at."""
    return request.content_length is None or request.content_length > current_settings().max_payload_bytes


def check_size(payload: Any) -> None:
    """Raises Refused for a payload that is too large."""
    if may_be_large():
        check_payload(payload, most_bytes=current_settings().max_payload_bytes)
