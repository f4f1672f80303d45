"""Limits that task types declare: kept in step with the code by `setup`, unless somebody has set another by hand.

A limit is the code's own while its row says what the code would write for the same numbers. Whoever changes it, over
HTTP or by SQL, makes it theirs, and `setup` leaves it alone.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from app.database import Session
from app.services.admission.limits import Limit, Rate, read, remove, set_limit, write
from taskledger_sdk.registry import TaskType

CODE = "task type"
KIND = "type"


def sync(session: Session, task_types: Iterable[TaskType], *, now: datetime) -> list[str]:
    """Set the limits that these types declare, and remove those that no type declares any more; a line for each."""
    stored = {each.name: each for each in read(session) if each.kind == KIND}
    declared = {each.name: limit for each in task_types if (limit := limit_of(each)) is not None}
    lines = []
    for name, limit in declared.items():
        old = stored.get(name)
        if old is None or (is_of_code(old) and not _is_same(old, limit)):
            set_limit(session, replace(limit, changed_at=now))
            lines.append(f"Set the limit of the type {name}: {limit.reason}.")
    for name, old in stored.items():
        if name not in declared and is_of_code(old):
            remove(session, KIND, name)
            lines.append(f"Removed the limit of the type {name}: it declares none any more.")
    return lines


def sync_one(session: Session, task_type: TaskType, *, now: datetime) -> None:
    """The same for one type, as it was just declared."""
    limit = limit_of(task_type)
    if limit is None:
        remove_one(session, task_type.name)
        return
    old = _stored(session, task_type.name)
    if old is None or is_of_code(old):
        write(session, replace(limit, changed_at=now))


def remove_one(session: Session, name: str) -> None:
    """Remove the limit that a type declared, if there is one and nobody has touched it."""
    old = _stored(session, name)
    if old is not None and is_of_code(old):
        remove(session, KIND, name)


def _stored(session: Session, name: str) -> Limit | None:
    return next((each for each in read(session) if (each.kind, each.name) == (KIND, name)), None)


def limit_of(task_type: TaskType) -> Limit | None:
    """The limit that a type declares; None where it declares none."""
    starts = task_type.starts
    if starts is None and task_type.concurrency is None:
        return None
    rate = None if starts is None else Rate(count=starts.count, seconds=starts.seconds)
    return _written(task_type.name, task_type.concurrency, rate)


def is_of_code(limit: Limit) -> bool:
    """Whether the code has set it, and nobody has touched it since."""
    return _is_same(limit, _written(limit.name, limit.max_running, limit.rate))


def _written(name: str, max_running: int | None, rate: Rate | None) -> Limit:
    parts = [
        *([] if max_running is None else [f"at most {max_running} at once"]),
        *([] if rate is None else [f"{rate.count} in {rate.seconds:g} s"]),
    ]
    reason = f"declared by the task type: {', '.join(parts)}"
    return Limit(kind=KIND, name=name, max_running=max_running, rate=rate, reason=reason, changed_by=CODE)


def _is_same(one: Limit, other: Limit) -> bool:
    return replace(one, changed_at=None) == replace(other, changed_at=None)
