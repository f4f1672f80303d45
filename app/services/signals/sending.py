"""Sending a signal: it is kept until a wait takes it, and wakes the task that waits for it now.

The task's row is locked first and looked at afterwards, in statements of their own: whoever suspends the task does the
same, so that none of them misses what the other has done (docs/decisions/0046-a-signal-is-a-row.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.database import Session, to_json
from app.errors import Conflict, ProblemError, Refused
from app.models import Status, TaskRecord
from app.services import lifecycle, workflows
from app.services.accounts.allowance import ANYTHING, Allowance
from app.services.encryption import ciphertexts
from app.services.idempotency import fingerprint, reused
from app.services.remote.schemas import SchemaCheck
from app.services.signals import reading
from app.services.signals.limits import MAX_UNTAKEN, check_data, check_name, too_many
from app.services.signals.reading import Signal
from app.services.tasks import records, waits
from taskledger_sdk.errors import PayloadRefused
from taskledger_sdk.registry import find_type

_TASKS_OF_RUN = sa.text("""
    SELECT tasks.id
    FROM tasks
    JOIN workflow_steps ON workflow_steps.task_id = tasks.id
    WHERE workflow_steps.run_id = :run_id AND tasks.finished_at IS NULL
    ORDER BY tasks.id
    FOR UPDATE OF tasks
""")
COLUMN = "signal"
"""What encrypted data of a signal is bound to, beside its task."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NewSignal:
    """What is sent; the same `key` once more is answered with the first signal of it."""

    name: str
    data: Any = None
    key: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Sender:
    """Who sends, whose tasks they reach (None: everybody's), and which task types they may use."""

    account: UUID | None = None
    reaches: UUID | None = None
    allowance: Allowance = ANYTHING
    payload_keys: ciphertexts.Keys = ()


def send_to_task(
    session: Session, task_id: UUID, new: NewSignal, *, sender: Sender, now: datetime
) -> tuple[Signal, bool]:
    """Send a signal to a task; the signal, and whether it is new.

    Raises NotFound, TypeNotAllowed, Conflict (finished), TooManySignals, and Refused for a name or data that no wait
    takes and for a key that was used with something else.
    """
    check_name(new.name)
    text = check_data(new.data)
    task = records.lock(session, task_id, owner=sender.reaches)
    sender.allowance.check_types([task.type])
    refusal = _why_not(task, new)
    if refusal is None:
        waiting = [task_id] if task.status == Status.WAITING else []
        kept = _kept_text(task, new, text, sender)
        signal = _recorded(session, task_id, new, kept, waiting=waiting, sent_by=sender.account, now=now)
        if signal is not None:
            return signal, True
    refusal = refusal or too_many(f"task {task_id}")
    return _known(session, task_id, new, keys=sender.payload_keys, otherwise=refusal), False


def send_to_run(
    session: Session, run_id: UUID, new: NewSignal, *, sender: Sender, now: datetime
) -> tuple[Signal, bool]:
    """The same for a run: whichever of its steps waits for the signal takes it."""
    check_name(new.name)
    text = check_data(new.data)
    run = workflows.lock_run(session, run_id, visible_to=sender.reaches)
    sender.allowance.check_types(workflows.types_of(workflows.definition_of(session, run.version_id)))
    if run.is_finished:
        refusal: ProblemError = Conflict(f"The run is {run.status}; nothing waits for a signal any more.")
    else:
        waiting = _lock_tasks_of(session, run_id)
        signal = _recorded(session, run_id, new, text, waiting=waiting, sent_by=sender.account, now=now)
        if signal is not None:
            return signal, True
        refusal = too_many(f"run {run_id}")
    return _known(session, run_id, new, keys=(), otherwise=refusal), False


def _known(
    session: Session, target: UUID, new: NewSignal, *, keys: ciphertexts.Keys, otherwise: ProblemError
) -> Signal:
    """The signal that was sent with this key before.

    Looked for only where nothing could be recorded. Raises Refused where it said something else, and `otherwise` where
    there is none.
    """
    first = None if new.key is None else reading.by_key(session, target, new.key)
    if first is None:
        raise otherwise
    data = ciphertexts.decrypted(first.data, target, COLUMN, keys=keys)
    if (first.name, fingerprint(data)) != (new.name, fingerprint(new.data)):
        raise reused("Idempotency-Key")
    return replace(first, data=data)


def _kept_text(task: TaskRecord, new: NewSignal, text: str, sender: Sender) -> str:
    """What is stored of the data: of a sensitive type only the encrypted form. Raises Refused without a key for it."""
    kind = find_type(task.type)
    if kind is None or not kind.sensitive:
        return text
    return to_json(ciphertexts.encrypted(new.data, task.id, COLUMN, keys=sender.payload_keys))


def _why_not(task: TaskRecord, new: NewSignal) -> ProblemError | None:
    """Why a task is not told this: it has ended, or its wait does not take the data.

    At the data of a signal that comes early, the handler looks itself.
    """
    if task.is_finished:
        return Conflict(f"The task is {task.status}; nothing waits for a signal any more.")
    wait = waits.of(task)
    if wait is None or wait.name != new.name or not wait.schema:
        return None
    try:
        SchemaCheck(wait.schema).load(new.data)
    except PayloadRefused as error:
        return Refused({"data": error.errors["payload"]}, code="signal_refused")
    return None


def _recorded(
    session: Session,
    target: UUID,
    new: NewSignal,
    text: str,
    *,
    waiting: Sequence[UUID],
    sent_by: UUID | None,
    now: datetime,
) -> Signal | None:
    """The new signal; None where there is one with its key, or no room."""
    signal_id = lifecycle.send_signal(
        session,
        target,
        new.name,
        waiting=waiting,
        data=text,
        key=new.key,
        sent_by=sent_by,
        most=MAX_UNTAKEN,
        now=now,
    )
    if signal_id is None:
        return None
    return Signal(
        id=signal_id,
        target=target,
        name=new.name,
        data=new.data,
        key=new.key,
        sent_by=sent_by,
        at=now,
        taken_by=None,
        taken_at=None,
    )


def _lock_tasks_of(session: Session, run_id: UUID) -> list[UUID]:
    """The unfinished tasks of a run, locked: one that is about to wait has done so, or looks afterwards."""
    return list(session.scalars(_TASKS_OF_RUN, {"run_id": run_id}))
