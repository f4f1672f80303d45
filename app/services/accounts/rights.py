"""Rights by type: which task types and queues an account, or an API key, may use, and whether it may reach outside."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.config import Settings
from app.database import Session
from app.errors import ProblemError
from app.models import Role
from taskledger_sdk.registry import TaskType, find_type

CALLBACKS = "webhook_delivery"
"""The type of the tasks that call `callback_url` and webhooks: what is asked of who wants them."""
OF_ACCOUNT, OF_KEY = "account", "API key"
MAX_NAMED = 100  # of a list of types or queues
_OF_ACCOUNT = sa.text("SELECT role, allowed_types, allowed_queues, may_reach_outside FROM users WHERE id = :id")


class TypeNotAllowed(ProblemError):
    """Whoever asks may not use this task type, or its queue, or what reaches outside."""

    status, code = 403, "type_not_allowed"

    def __init__(self, type_name: str, message: str) -> None:
        super().__init__(message)
        self.errors = {"type": [f"{type_name} is not allowed"]}


@dataclass(frozen=True, kw_only=True, slots=True)
class Rights:
    """What one holder may use; None is everything. `holder` is OF_ACCOUNT or OF_KEY."""

    holder: str = OF_ACCOUNT
    types: frozenset[str] | None = None
    queues: frozenset[str] | None = None
    reaches_outside: bool = True

    def check(self, task_type: TaskType, *, queue: str | None = None) -> None:
        """Raises TypeNotAllowed, which says whom to ask. `queue`: where its task is to go instead."""
        name, whose = task_type.name, f"This {self.holder}"
        if self.types is not None and name not in self.types:
            raise TypeNotAllowed(
                name,
                f"{whose} may not use tasks of type {name}; it may use {_listed(self.types)}. {self._ask('types')}",
            )
        for goes_to in dict.fromkeys((task_type.queue, queue or task_type.queue)) if self.queues is not None else ():
            self._check_queue(name, goes_to)
        if task_type.reaches_outside and not self.reaches_outside:
            self.refuse_outside(name)

    def _check_queue(self, type_name: str, queue: str) -> None:
        if self.queues is None or queue in self.queues:
            return
        raise TypeNotAllowed(
            type_name,
            f"This {self.holder} may not use tasks of type {type_name}, because they go to the queue {queue}; it may "
            f"use the queues {_listed(self.queues)}. {self._ask('queues')}",
        )

    def refuse_outside(self, name: str) -> None:
        """Raises TypeNotAllowed for something that reaches outside."""
        what = "webhooks and callback_url" if name == CALLBACKS else f"tasks of type {name}"
        raise TypeNotAllowed(
            name,
            f"{what[0].upper()}{what[1:]} reach outside of the service ({name}), and this {self.holder} may not do so "
            "yet: ask an admin of this installation to allow it (may_reach_outside of the account).",
        )

    def _ask(self, what: str) -> str:
        if self.holder == OF_ACCOUNT:
            return f"Ask an admin of this installation to allow it (allowed_{what} of the account)."
        return f"Use another key, or make one whose allowed_{what} name it."


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def of_row(row: Any, *, outside: bool) -> Rights:
    """The rights of an account, from its row; `outside`: what holds for accounts that no admin has decided about."""
    said = row["may_reach_outside"]
    return Rights(
        types=_set(row["allowed_types"]),
        queues=_set(row["allowed_queues"]),
        reaches_outside=row["role"] == Role.ADMIN or (outside if said is None else said),
    )


def of_key(types: list[str] | None, queues: list[str] | None) -> Rights | None:
    """The rights of an API key; None for one that is not limited."""
    if types is None and queues is None:
        return None
    return Rights(holder=OF_KEY, types=_set(types), queues=_set(queues))


def common(limits: Iterable[frozenset[str] | None]) -> list[str] | None:
    """What all of these limits allow, sorted; None where none of them limits anything."""
    limited = [each for each in limits if each is not None]
    return sorted(frozenset.intersection(*limited)) if limited else None


def _set(names: list[str] | None) -> frozenset[str] | None:
    return None if names is None else frozenset(names)


def of_account(session: Session, owner_id: UUID | None, *, settings: Settings) -> tuple[Rights, ...]:
    """What an account may use now; the service itself, everything."""
    if owner_id is None:
        return ()
    row = session.execute(_OF_ACCOUNT, {"id": owner_id}).mappings().first()
    return () if row is None else (of_row(row, outside=settings.lets_new_accounts_out),)


def check(rights: Iterable[Rights], task_type: TaskType, *, queue: str | None = None) -> None:
    """Raises TypeNotAllowed unless every holder may use this type, and the queue where it has another than its own."""
    for each in rights:
        each.check(task_type, queue=queue)


def check_names(rights: Iterable[Rights], names: Iterable[str]) -> None:
    """The same of several types by name; those that are not known are for others to refuse."""
    held = tuple(rights)
    for name in dict.fromkeys(names) if held else ():
        kind = find_type(name)
        if kind is not None and not kind.internal:  # what the service submits itself, it may
            check(held, kind)


def check_outside(rights: Iterable[Rights]) -> None:
    """Raises TypeNotAllowed unless every holder may have webhooks and callbacks."""
    for each in rights:
        if not each.reaches_outside:
            each.refuse_outside(CALLBACKS)
