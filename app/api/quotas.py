"""Quotas of the caller: room for more waiting tasks, and the size of payloads."""

from typing import Any
from uuid import UUID

from flask import request
from sqlalchemy.orm import Session

from app.api.auth import current_principal
from app.api.environment import current_settings
from app.api.transaction import single_statement
from app.services.accounts.quotas import WAITING_TASKS, MakeRoom, check_payload


def admit_alone(payload: Any) -> None:
    """Make room for one task, outside of any transaction; mostly without asking the database.

    Raises Refused (too large) or QuotaReached (too many wait).
    """
    check_size(payload)
    owner_id, most = _quota()
    if not WAITING_TASKS.take_known(owner_id, 1, most=most):
        with single_statement() as session:
            WAITING_TASKS.take(session, owner_id, 1, most=most)


def room_in(session: Session) -> MakeRoom:
    """Makes room for so many tasks. Raises QuotaReached (too many wait); then there is room for none of them."""
    owner_id, most = _quota()
    return lambda tasks: WAITING_TASKS.take(session, owner_id, tasks, most=most)


def _quota() -> tuple[UUID, int]:
    principal = current_principal()
    own = principal.max_waiting_tasks
    return principal.user_id, current_settings().max_waiting_tasks if own is None else own


def check_size(payload: Any) -> None:
    """Raises Refused for a payload that is too large."""
    check_payload(payload, most_bytes=current_settings().max_payload_bytes, body_bytes=request.content_length)
