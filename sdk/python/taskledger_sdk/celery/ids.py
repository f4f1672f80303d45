"""Ids of adopted calls: UUIDs of version 7 that say by themselves whether they stand for a task or a step of a run.

A step has no task before its turn comes, and its caller wants an id at once. So the id of a step is that of its run,
with the number of the step in twelve bits that are zero in the run's: whoever has it finds the run. Ids of tasks have
a number there that no step has.
"""

from __future__ import annotations

import time
from uuid import UUID

from taskledger_sdk.random_bits import random_bits

MAX_STEPS = 1_000
MAX_AWAY_MS = 23 * 3600 * 1000
"""The ledger takes ids whose moment is within a day of its own now; clocks differ."""
_NUMBER_PLACE = 64
_NUMBER_MASK = 0xFFF << _NUMBER_PLACE
_OF_TASKS = 0xC00


def new_task_id() -> UUID:
    """An id for a task of its own."""
    random = random_bits()
    return _made(random, _OF_TASKS | random >> 62 & 0x3FF)


def new_run_id() -> UUID:
    """An id for a run, whose steps get theirs from it."""
    return _made(random_bits(), 0)


def step_id(run: UUID, number: int) -> UUID:
    """The id of a step; `number` is from 1 to MAX_STEPS."""
    return UUID(int=run.int & ~_NUMBER_MASK | number << _NUMBER_PLACE)


def step_of(text: str) -> tuple[UUID, int] | None:
    """The run and the number of a step; None for what is the id of no step."""
    id_ = parsed(text)
    if id_ is None or id_.version != 7:
        return None
    number = (id_.int & _NUMBER_MASK) >> _NUMBER_PLACE
    return (UUID(int=id_.int & ~_NUMBER_MASK), number) if 1 <= number <= MAX_STEPS else None


def parsed(text: str) -> UUID | None:
    """The UUID that a text is; None for any other text."""
    try:
        return UUID(str(text))
    except ValueError:
        return None


def as_chosen(text: str) -> UUID | None:
    """The id that a caller gave, where the ledger takes it for a task's; None for any other."""
    id_ = parsed(text)
    if id_ is None or id_.version != 7 or str(id_) != str(text):
        return None
    return id_ if abs((id_.int >> 80) - _now_ms()) < MAX_AWAY_MS else None


def _made(random: int, number: int) -> UUID:
    value = _now_ms() << 80 | 0x7 << 76 | number << _NUMBER_PLACE | 0x2 << 62 | random & 0x3FFF_FFFF_FFFF_FFFF
    return UUID(int=value)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000 & 0xFFFF_FFFF_FFFF
